use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use castari_common::agents::{Agent, CreateAgent};
use castari_common::invocations::{InvocationFailure, InvocationResponse, Invoke};
use castari_common::{BASE_PATH, Client, ClientError, Refusal};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Issuer, archive, process, program, within};

/// How long a server may take to start or to end. Debug builds on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    env: Vec<(String, String)>,
    user: Option<u32>,
}

impl Options {
    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Does what the others say as well.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.env.extend(others.env);
        self.user = others.user.or(self.user);
        self
    }

    /// Runs the server as this user. Only root can.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.user = Some(uid);
        self
    }
}

/// A server that runs, on a data directory of its own. Dropping it kills it and removes everything.
pub struct Castari {
    place: TempDir,
    options: Options,
    child: Child,
    /// Held open: a server whose stdout is gone could not say anything.
    stdout: BufReader<ChildStdout>,
    url: String,
    client: Client,
    http: reqwest::Client,
    key: String,
    issuer: Option<Issuer>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's text; empty where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The error's `code`; empty where there is none.
    #[must_use]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().into()
    }
}

impl Castari {
    /// Starts a server without rate limits.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server that may reach one address and port of this machine from its sandboxes.
    pub async fn reaching(address: std::net::SocketAddr) -> Self {
        let allowed = format!("{}/32:{}", address.ip(), address.port());
        Self::with(Options::default().env("CASTARI_EGRESS_ALLOW", &allowed)).await
    }

    /// Starts a server.
    pub async fn with(options: Options) -> Self {
        let place = tempfile::Builder::new().prefix("castari-e2e-").tempdir().unwrap();
        if let Some(uid) = options.user {
            fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
            chown(place.path(), Some(uid), Some(uid)).unwrap();
        }
        let (child, stdout, url) = launch(place.path(), &options).await;
        let key = fs::read_to_string(place.path().join("data/owner.key")).unwrap();
        let key = key.trim().to_owned();
        let client = impatient(&url, &key);
        Self {
            place,
            options,
            child,
            stdout,
            url,
            client,
            http: reqwest::Client::new(),
            key,
            issuer: None,
        }
    }

    /// Starts a server that takes an issuer's tokens. The options come on top of the issuer's own.
    pub async fn with_issuer(issuer: Issuer, options: Options) -> Self {
        let mut castari = Self::with(issuer.options().and(options)).await;
        castari.issuer = Some(issuer);
        castari
    }

    /// The issuer whose tokens the server takes.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        self.issuer.as_ref().expect("the server was started with an issuer")
    }

    /// Starts the server again on the same data directory, ending it first where it still runs.
    pub async fn restart(&mut self) {
        self.kill();
        let (child, stdout, url) = launch(self.place.path(), &self.options).await;
        self.child = child;
        self.stdout = stdout;
        self.client = impatient(&url, &self.key);
        self.url = url;
    }

    /// A client that shows the owner's key.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `http://HOST:PORT`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `HOST:PORT`
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The owner's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("stderr.log")).unwrap_or_default()
    }

    /// Kills the server, without a warning.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// Waits for the server's end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        within("the server ends", PATIENCE, async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// A request to a path below the API's base, with the owner's key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, &format!("{BASE_PATH}{path}"))
            .bearer_auth(&self.key)
    }

    /// A request to a path of the server, without a credential.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// `GET`s a path below the API's base.
    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// `POST`s JSON to a path below the API's base.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        answer(request).await
    }

    /// Makes an agent.
    pub async fn create(&self, slug: &str) -> Agent {
        let create = CreateAgent {
            name: slug.into(),
            slug: Some(slug.into()),
            ..CreateAgent::default()
        };
        self.client.create_agent(&create).await.unwrap()
    }

    /// Makes an agent of one JavaScript module, and deploys it.
    pub async fn deploy_script(&self, slug: &str, script: &str) -> Agent {
        self.create(slug).await;
        self.upload(slug, archive::script(script)).await;
        self.client.agent(slug).await.unwrap()
    }

    /// Uploads code and deploys it.
    pub async fn upload(&self, slug: &str, archive: Vec<u8>) {
        if let Err(error) = self.client.upload_code(slug, archive, true).await {
            panic!(
                "{slug} cannot be deployed: {error}\n{}",
                self.last_deploy_log(slug).await
            );
        }
    }

    /// Uploads code that is refused.
    pub async fn upload_refused(&self, slug: &str, archive: Vec<u8>) -> Refusal {
        match self.client.upload_code(slug, archive, true).await {
            Err(ClientError::Refused(refusal)) => *refusal,
            other => panic!("the upload was not refused but answered {other:?}"),
        }
    }

    /// The log of an agent's last deployment.
    pub async fn last_deploy_log(&self, slug: &str) -> String {
        let deployments = self
            .client
            .deployments(slug, castari_common::Page::default())
            .await
            .unwrap();
        match deployments.deployments.first() {
            Some(last) => self.client.deployment_log(slug, &last.id).await.unwrap(),
            None => String::new(),
        }
    }

    /// Invokes an agent that answers.
    pub async fn invoke(&self, slug: &str, prompt: &str) -> InvocationResponse {
        match self.client.invoke(slug, &self::prompt(prompt)).await {
            Ok(response) => response,
            Err(error) => panic!("{slug} does not answer: {error}"),
        }
    }

    /// Invokes an agent that fails.
    pub async fn invoke_failing(&self, slug: &str, prompt: &str) -> InvocationFailure {
        let error = self.client.invoke(slug, &self::prompt(prompt)).await.unwrap_err();
        let refusal = error.refusal().unwrap_or_else(|| panic!("no answer: {error}"));
        assert_eq!(refusal.status, 500, "{refusal:?}");
        serde_json::from_value(refusal.body.clone()).unwrap_or_else(|error| panic!("{error}: {refusal:?}"))
    }

    /// Waits until these and no others are the files that hold code: what is not needed goes in the background.
    pub async fn keeps(&self, files: &[String]) {
        self.settles("the files that hold code", |kept| kept == files).await;
    }

    /// Waits until the files that hold code are as they have to be.
    pub async fn settles(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let start = Instant::now();
        loop {
            let files = self.files();
            if holds(&files) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{what}: {files:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What lies in the directories that hold code and managed files, by their paths in the data directory.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for name in ["uploads", "code", "files", "staging"] {
            for entry in fs::read_dir(self.data_dir().join(name)).unwrap() {
                files.push(format!("{name}/{}", entry.unwrap().file_name().display()));
            }
        }
        files.sort();
        files
    }
}

impl Drop for Castari {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}---", self.log());
        }
        let below = process::descendants(self.pid());
        self.kill();
        let start = Instant::now();
        while below.iter().any(|pid| process::is_alive(*pid)) && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A client that fails as soon as a call does: what the server says is what a test is to see.
pub(crate) fn impatient(url: &str, credential: &str) -> Client {
    Client::new(url, credential).unwrap().with_patience(Duration::ZERO)
}

/// A prompt without a session.
fn prompt(text: &str) -> Invoke {
    Invoke {
        prompt: text.into(),
        session_id: None,
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// `castari` with these arguments, told nothing by the environment but what `options` say.
pub(crate) fn command(place: &Path, options: &Options) -> Command {
    let mut file = program().to_owned();
    if options.user.is_some() {
        // Another user may not be able to walk to where it was built.
        file = place.join("castari");
        if !file.exists() {
            fs::copy(program(), &file).unwrap();
        }
    }
    let mut command = Command::new(file);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CASTARI_") || text.starts_with("XDG_") {
            command.env_remove(&name);
        }
    }
    command
        .env("HOME", place)
        .env("XDG_CONFIG_HOME", place.join("config"))
        .env("XDG_DATA_HOME", place.join("share"))
        .env("CASTARI_RATE_LIMIT_CRUD", "0")
        .env("CASTARI_RATE_LIMIT_INVOKE", "0")
        .envs(options.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some(uid) = options.user {
        command.uid(uid).gid(uid);
    }
    command
}

async fn launch(place: &Path, options: &Options) -> (Child, BufReader<ChildStdout>, String) {
    let log = File::options()
        .create(true)
        .append(true)
        .open(place.join("stderr.log"))
        .unwrap();
    let mut child = command(place, options)
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(place.join("data"))
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).map(|_| (stdout, line))
    });
    let (stdout, line) = within("the server listens", PATIENCE, reading).await.unwrap().unwrap();
    let Some(url) = line.trim_end().strip_prefix("listening on ") else {
        let status = child.wait();
        let log = fs::read_to_string(place.join("stderr.log")).unwrap_or_default();
        panic!("the server did not start: {status:?}, said {line:?}\n{log}");
    };
    (child, stdout, url.to_owned())
}

/// Runs `castari` with arguments to its end, in a place of its own. It is not to run for long.
#[must_use]
pub fn run(place: &Path, options: &Options, args: &[&str]) -> std::process::Output {
    let mut child = command(place, options)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("castari {args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}
