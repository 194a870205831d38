//! Object stores that really run: servers in Python that speak the protocols of S3 and of Google Cloud Storage.
//!
//! They are installed once into a directory beside the tests, and end with the test's process: they read their stdin,
//! and when that closes, they go.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};
use reqwest::Method;
use serde_json::{Value, json};

/// What is installed. The S3 server needs Flask, and of its other parts only S3's.
const PACKAGES: [&str; 4] = [
    "moto[s3]==5.2.5",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "gcp-storage-emulator==2026.7.19",
];

const S3: &str = r#"
import logging, os, sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.buffer.read()
os._exit(0)
"#;

const GCS: &str = r#"
import logging, os, sys
logging.disable(logging.CRITICAL)
from gcp_storage_emulator.server import create_server
server = create_server("127.0.0.1", 0, in_memory=True)
server.start()
print(server._api._httpd.server_address[1], flush=True)
sys.stdin.buffer.read()
os._exit(0)
"#;

const SERVICE_ACCOUNT: &str = r#"
import json
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
pem = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
print(json.dumps({
    "type": "service_account",
    "project_id": "tests",
    "private_key_id": "0123456789abcdef",
    "private_key": pem,
    "client_email": "tests@tests.iam.gserviceaccount.com",
    "token_uri": "http://169.254.169.254/token",
}))
"#;

/// A store that runs.
pub struct ObjectStore {
    url: String,
    http: reqwest::Client,
    child: Child,
    /// Held open for as long as the store is to run.
    _stdin: ChildStdin,
}

/// The S3 server that the tests of a process share. It believes every signature.
pub fn s3() -> &'static ObjectStore {
    static SHARED: OnceLock<ObjectStore> = OnceLock::new();
    SHARED.get_or_init(|| ObjectStore::start(S3, &[]))
}

/// An S3 server of one's own that believes its first `count` requests, and then checks signatures.
#[must_use]
pub fn strict_s3(count: u32) -> ObjectStore {
    ObjectStore::start(S3, &[("INITIAL_NO_AUTH_ACTION_COUNT", &count.to_string())])
}

/// The Google Cloud Storage that the tests of a process share. It believes every signature.
pub fn gcs() -> &'static ObjectStore {
    static SHARED: OnceLock<ObjectStore> = OnceLock::new();
    SHARED.get_or_init(|| ObjectStore::start(GCS, &[]))
}

/// The key file of a service account, with a real RSA key.
pub fn service_account() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| {
        let output = python(SERVICE_ACCOUNT).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    })
}

impl ObjectStore {
    fn start(script: &str, env: &[(&str, &str)]) -> Self {
        let mut child = python(script)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port: u16 = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the store did not start: {line:?}"));
        Self {
            url: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::new(),
            _stdin: child.stdin.take().unwrap(),
            child,
        }
    }

    /// `http://HOST:PORT`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a bucket of S3.
    pub async fn make_s3_bucket(&self, name: &str) {
        self.call(Method::PUT, &format!("/{name}"), Vec::new()).await;
    }

    /// Makes a bucket of Google Cloud Storage.
    pub async fn make_gcs_bucket(&self, name: &str) {
        let request = self.http.post(format!("{}/storage/v1/b", self.url));
        let answer = request.json(&json!({"name": name})).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Puts an object; its key goes into the URL as it is.
    pub async fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        self.call(Method::PUT, &format!("/{bucket}/{key}"), content.into())
            .await;
    }

    /// Puts an empty object.
    pub async fn put_owned(&self, bucket: &str, key: String) {
        self.put(bucket, &key, b"").await;
    }

    /// Makes a user of S3 who may do everything; answers the user's access key, id and secret. Three requests.
    pub async fn make_s3_user(&self) -> (String, String) {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
        });
        self.iam(&[("Action", "CreateUser")]).await;
        let key = self.iam(&[("Action", "CreateAccessKey")]).await;
        let policy = policy.to_string();
        self.iam(&[
            ("Action", "PutUserPolicy"),
            ("PolicyName", "all"),
            ("PolicyDocument", &policy),
        ])
        .await;
        let part = |name: &str| {
            let rest = key.split_once(&format!("<{name}>")).unwrap().1;
            rest.split_once('<').unwrap().0.to_owned()
        };
        (part("AccessKeyId"), part("SecretAccessKey"))
    }

    async fn iam(&self, fields: &[(&str, &str)]) -> String {
        let scope =
            "AWS4-HMAC-SHA256 Credential=AKIA/20200101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x";
        let form = reqwest::Url::parse_with_params("http://form/?UserName=tests", fields).unwrap();
        let request = self
            .http
            .post(&self.url)
            .header("Authorization", scope)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap().to_owned());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.text().await.unwrap()
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) {
        let request = self.http.request(method, format!("{}{path}", self.url)).body(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names of what a list of files holds.
#[must_use]
pub fn paths(list: &Value) -> Vec<&str> {
    let files = list["files"].as_array().unwrap();
    files.iter().map(|file| file["path"].as_str().unwrap()).collect()
}

/// A Python that has [`PACKAGES`], about to run a script.
fn python(script: &str) -> Command {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PLACE.get_or_init(install).join("bin/python"));
    command.args(["-c", script]).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Installs [`PACKAGES`], unless an earlier test did. Others wait meanwhile.
fn install() -> PathBuf {
    // TARGET/PROFILE/deps/TEST
    let test = env::current_exe().unwrap();
    let place = test.ancestors().nth(3).unwrap().join("stores");
    fs::create_dir_all(&place).unwrap();
    let lock = File::create(place.join("lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .unwrap();
    let (venv, installed) = (place.join("venv"), place.join("installed"));
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return venv;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
    let pip = venv.join("bin/pip");
    run(Command::new(pip)
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(PACKAGES));
    fs::write(installed, wanted).unwrap();
    venv
}

fn run(command: &mut Command) {
    let remedy = "the tests of buckets need python3 with venv and pip, and a package index at their first run";
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: {remedy}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {remedy}\n{said}");
}
