//! The steps of a build, in their order.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

use super::{BuildError, Built, Manifest, STRIP_ARGUMENT, Source, Tree};
use super::{archive, install, repository, starter, types};
use crate::objects::{DeployLog, ObjectError, Objects, Staging, blocking};
use crate::platform::World;
use crate::sandbox::{Bind, Command, Ending, Launcher, Spec, Workspace};

/// What builds may write to memory: mostly npm's cache.
const SCRATCH_BYTES: u64 = 4 << 30;

/// How much of a command's output is looked at for reasons. The log has it all.
const REMEMBERED: usize = 64 * 1024;

/// Where this program is found inside a sandbox that strips types.
const OURSELVES: &str = "/opt/castari/castari";

/// Where and with what builds are done.
pub struct Workshop<'a> {
    /// The disk.
    pub objects: &'a Objects,
    /// What makes sandboxes.
    pub launcher: &'a Launcher,
    /// Names for sandboxes.
    pub world: &'a World,
    /// How long one command may take.
    pub timeout: Duration,
    /// Ends the build: a command at once, other steps when they are done, so that nothing writes to a directory that is
    /// being removed.
    pub cancel: &'a CancellationToken,
}

/// A command of a build.
struct Job {
    /// What its owner knows it as.
    name: &'static str,
    argv: Vec<String>,
    /// What comes to the environment that every command has.
    env: Vec<(String, String)>,
    /// What it sees of the host beside what every sandbox does.
    binds: Vec<Bind>,
}

/// How a command ended, and the end of what it wrote.
struct Output {
    stdout: String,
    stderr: String,
    ending: Ending,
}

impl Workshop<'_> {
    /// Builds a source in a staging directory named `name`.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn build(&self, source: &Source, name: &str, log: &mut DeployLog) -> Result<Built, BuildError> {
        let staging = self.objects.staging(name)?;
        let source_hash = self.fetch(source, &staging, log).await?;
        let tree = Tree::open(staging.path())?;
        // Early, so that nobody waits for an installation only to hear this.
        let mut manifest = Manifest::read(&tree)?;
        if let Some(command) = install::command(&tree)? {
            self.install(command, &staging, log).await?;
            // Again: what was installed ran programs that may have changed it.
            manifest = Manifest::read(&tree)?;
        }
        let node_args = self.prepare(&manifest, &tree, &staging, log).await?;
        Ok(Built {
            tree: staging,
            source_hash,
            node_args,
        })
    }

    /// Brings the source into the staging directory.
    async fn fetch(
        &self,
        source: &Source,
        staging: &Staging,
        log: &mut DeployLog,
    ) -> Result<Option<String>, BuildError> {
        let into = staging.path().to_owned();
        match source {
            Source::Archive(path) => {
                log.say("Unpacking the uploaded archive");
                let archive = path.clone();
                let hash = path
                    .file_name()
                    .and_then(|name| name.to_str()?.split('.').next().map(str::to_owned));
                let unpacked = into.clone();
                blocking(move || Ok(archive::unpack(&archive, &unpacked))).await??;
                self.objects.code.hand_over(into).await?;
                Ok(hash)
            }
            Source::Repository { url, branch } => {
                log.say(&format!("Cloning {} at {branch}", without_credentials(url)));
                self.objects.code.hand_over(into).await?;
                let job = Job {
                    name: "git clone",
                    argv: repository::clone_command(url, branch),
                    env: repository::environment().collect(),
                    binds: Vec::new(),
                };
                let output = self.run(job, staging, log).await?;
                if output.ending != Ending::Exited(0) {
                    return Err(self.explain(repository::failure(&output.stderr)));
                }
                Ok(repository::commit(&output.stdout))
            }
            Source::Starter => {
                log.say("Using the bundled starter agent");
                let written = into.clone();
                blocking(move || starter::write(&written)).await?;
                self.objects.code.hand_over(into).await?;
                Ok(None)
            }
        }
    }

    async fn install(&self, command: &'static str, staging: &Staging, log: &mut DeployLog) -> Result<(), BuildError> {
        log.say(&format!("Running npm {command}"));
        let job = Job {
            name: "npm",
            argv: ["/usr/bin/env", "npm", command].map(Into::into).into(),
            env: install::environment(self.launcher.has_egress()).collect(),
            binds: Vec::new(),
        };
        let output = self.run(job, staging, log).await?;
        match output.ending {
            Ending::Exited(0) => Ok(()),
            Ending::OutOfMemory => Err(BuildError::failed(format!(
                "npm {command} failed: it ran out of memory"
            ))),
            _ => Err(self.explain(install::failure(command, &output.stderr))),
        }
    }

    /// Makes the entry point something that node runs; answers node's arguments.
    async fn prepare(
        &self,
        manifest: &Manifest,
        tree: &Tree,
        staging: &Staging,
        log: &mut DeployLog,
    ) -> Result<Vec<String>, BuildError> {
        let entrypoint = manifest.entrypoint.clone();
        if !manifest.is_typed() {
            return Ok(vec![entrypoint]);
        }
        if types::has_own_runner(tree)? {
            log.say("Running TypeScript with the project's own tsx");
            return Ok(vec!["--import".into(), "tsx".into(), entrypoint]);
        }
        log.say("Stripping types");
        let ourselves = Bind {
            source: std::env::current_exe().map_err(ObjectError::file("find", "this program"))?,
            target: OURSELVES.into(),
        };
        let job = Job {
            name: "Stripping types",
            argv: vec![OURSELVES.into(), STRIP_ARGUMENT.into(), "/workspace".into(), entrypoint],
            env: Vec::new(),
            binds: vec![ourselves],
        };
        let output = self.run(job, staging, log).await?;
        match (output.ending, output.stdout.lines().last()) {
            (Ending::Exited(0), Some(stripped)) if tree.has_file(stripped)? => Ok(vec![stripped.to_owned()]),
            _ => Err(types::failure(&output.stderr)),
        }
    }

    /// Runs a command in a sandbox of its own that may write to the staging directory.
    async fn run(&self, job: Job, staging: &Staging, log: &mut DeployLog) -> Result<Output, BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let spec = Spec {
            id: self.world.id("sbx"),
            workspace: Workspace::Writable(self.objects.relative(staging.path())),
            binds: job.binds,
            scratch_bytes: SCRATCH_BYTES,
        };
        let sandbox = self.launcher.sandbox(spec).await?;
        let command = Command {
            argv: job.argv,
            env: self.launcher.host().env.iter().cloned().chain(job.env).collect(),
            cwd: Path::new("/workspace").into(),
        };
        let (process, streams) = sandbox.start(command).await?;
        drop(streams.stdin);
        let limit = async {
            // Either way the command is over.
            let _ = tokio::time::timeout(self.timeout, self.cancel.cancelled()).await;
        };
        let log = Mutex::new(log);
        let (ending, stdout, stderr) = tokio::join!(
            process.finish(limit),
            copy(streams.stdout, &log),
            copy(streams.stderr, &log)
        );
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let ending = ending?.ok_or_else(|| {
            BuildError::failed(format!(
                "{} took longer than {} seconds",
                job.name,
                self.timeout.as_secs()
            ))
        })?;
        Ok(Output { stdout, stderr, ending })
    }

    /// Adds to a failure what the machine may have to do with it.
    fn explain(&self, error: BuildError) -> BuildError {
        match error {
            BuildError::Failed(reason) if !self.launcher.has_egress() => BuildError::Failed(format!(
                "{reason} (sandboxes on this machine have no network: /dev/net/tun cannot be opened; `castari doctor` says more)"
            )),
            error => error,
        }
    }
}

/// A URL as it may be shown: without a user or password in it.
fn without_credentials(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut url) => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.into()
        }
        Err(_) => url.into(),
    }
}

/// Copies what a command writes to the log until it ends; answers the end of it.
async fn copy(mut from: impl AsyncRead + Unpin, log: &Mutex<&mut DeployLog>) -> String {
    let mut tail = Vec::new();
    let mut buffer = Vec::with_capacity(16 * 1024);
    while from.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
        log.lock().unwrap_or_else(PoisonError::into_inner).write(&buffer);
        tail.append(&mut buffer);
        if tail.len() > 2 * REMEMBERED {
            tail.drain(..tail.len() - REMEMBERED);
        }
    }
    String::from_utf8_lossy(&tail).into_owned()
}
