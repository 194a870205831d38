//! The server's side of the spawner.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::egress::{Egress, Policy};
use super::host::{self, Host};
use super::pidfd::PidFd;
use super::wire::{InitReply, InitRequest, Setup, Socket, SpawnReply, SpawnRequest};
use super::{Bind, SPAWNER_ARGUMENT, Sandbox, SandboxError, Workspace};

/// What the processes of a sandbox may keep in memory together.
const MEMORY_BYTES: u64 = 2 << 30;

/// The user that sandboxes of a root server run as: above every range that distributions and container tools assign
/// (systemd's documentation, "Users, Groups, UIDs and GIDs", leaves it unused).
const UNPRIVILEGED_ID: u32 = 0x7000_0000;

/// How many requests may wait for the spawner before those that ask wait too.
const REQUESTS: usize = 64;

/// The user for hosts that are containers themselves and have no higher ids.
const NOBODY: u32 = 65_534;

/// The host's user and group that everything inside sandboxes runs as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The user's id on the host.
    pub uid: u32,
    /// The group's id on the host.
    pub gid: u32,
    /// Whether this is another user than the server's, which then has to own what sandboxes write to.
    pub is_other: bool,
}

impl Identity {
    /// The server's own identity or, where the server is root, one that nothing else on the host has.
    #[must_use]
    pub fn of_sandboxes() -> Self {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        if !uid.is_root() {
            return Self {
                uid: uid.as_raw(),
                gid: gid.as_raw(),
                is_other: false,
            };
        }
        let id = if is_mapped(UNPRIVILEGED_ID) {
            UNPRIVILEGED_ID
        } else {
            NOBODY
        };
        Self {
            uid: id,
            gid: id,
            is_other: true,
        }
    }
}

/// Whether an id exists in this process' own user namespace.
fn is_mapped(id: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
        let (first, _, count) = (fields.next().unwrap_or(0), fields.next(), fields.next().unwrap_or(0));
        (first..first + count).contains(&u64::from(id))
    })
}

/// What one sandbox is to be.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `sbx_…`
    pub id: String,
    /// What `/workspace` is.
    pub workspace: Workspace,
    /// Further parts of the host that are seen, read-only.
    pub binds: Vec<Bind>,
    /// What may be written to memory: an overlaid workspace, `/tmp` and the home directory together.
    pub scratch_bytes: u64,
}

/// Makes sandboxes. When it is dropped, the spawner ends, and with it every sandbox.
pub struct Launcher {
    host: Host,
    identity: Identity,
    policy: Arc<Policy>,
    requests: mpsc::Sender<Request>,
}

/// A request for an init that listens to `control`. Whoever asked may have gone by the time it is answered; the unwanted
/// init then reads the end of its control socket and ends.
struct Request {
    control: OwnedFd,
    answer: oneshot::Sender<Result<PidFd, SandboxError>>,
}

impl Launcher {
    /// Starts the spawner: `program` is an executable that calls [`run_spawner`](super::run_spawner) when its first
    /// argument is [`SPAWNER_ARGUMENT`]. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the spawner cannot be started, or the data directory would be seen inside.
    pub fn start(program: &Path, data_dir: &Path, host: Host, policy: Policy) -> Result<Self, SandboxError> {
        let resolved = std::fs::canonicalize(data_dir).map_err(SandboxError::system("find the data directory"))?;
        if let Some(bind) = host.layout.binds.iter().find(|bind| resolved.starts_with(&bind.source)) {
            return Err(SandboxError::Setup {
                step: format!("keep {} out of sandboxes", resolved.display()),
                reason: format!(
                    "it lies in {}, which they see; choose another data directory",
                    bind.source.display()
                ),
            });
        }
        let identity = Identity::of_sandboxes();
        let (requests, waiting) = mpsc::channel(REQUESTS);
        let start = {
            let (program, data_dir) = (program.to_owned(), data_dir.to_owned());
            move || Spawner::start(&program, &data_dir)
        };
        tokio::spawn(serve(start()?, start, identity, waiting));
        Ok(Self {
            host,
            identity,
            policy: Arc::new(policy),
            requests,
        })
    }

    /// The host, as sandboxes see it.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Who everything inside runs as.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether sandboxes can reach the network: whether the host lets this user open TUN devices.
    #[must_use]
    pub fn has_egress(&self) -> bool {
        host::tun().is_ok()
    }

    /// Makes a sandbox. Its egress door is open where the host has TUN devices.
    ///
    /// # Errors
    /// When the spawner is gone, or the kernel refuses a part of the isolation.
    pub async fn sandbox(&self, spec: Spec) -> Result<Sandbox, SandboxError> {
        let (control, theirs) = Socket::pair().map_err(SandboxError::system("make a control socket"))?;
        let pidfd = self.spawn(theirs.into()).await?;
        let mut sandbox = Sandbox::new(spec.id, control, pidfd);
        let setup = Setup {
            layout: self.host.layout.clone(),
            workspace: spec.workspace,
            binds: spec.binds,
            egress: true,
            memory_bytes: MEMORY_BYTES,
            scratch_bytes: spec.scratch_bytes,
        };
        match sandbox.ask(&InitRequest::Setup(Box::new(setup)), &[]).await? {
            (InitReply::Ready { egress: true }, mut descriptors) => {
                let tun = descriptors.pop().ok_or(SandboxError::Gone)?;
                let door = Egress::open(tun, Arc::clone(&self.policy));
                sandbox.egress = Some(door.map_err(SandboxError::system("open the egress door"))?);
                Ok(sandbox)
            }
            (InitReply::Ready { egress: false }, _) => Ok(sandbox),
            (InitReply::Failed { step, reason }, _) => Err(SandboxError::Setup { step, reason }),
            _ => Err(SandboxError::Gone),
        }
    }

    /// Has the spawner make an init that listens to `control`.
    async fn spawn(&self, control: OwnedFd) -> Result<PidFd, SandboxError> {
        let gone = || SandboxError::Spawner("it ended".into());
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(Request { control, answer })
            .await
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// The spawner's process and the socket to it. Dropping it ends both.
struct Spawner {
    socket: Socket,
    process: Child,
}

impl Spawner {
    fn start(program: &Path, data_dir: &Path) -> Result<Self, SandboxError> {
        let (socket, theirs) = Socket::pair().map_err(SandboxError::system("make the spawner's socket"))?;
        let process = std::process::Command::new(program)
            .arg0("castari")
            .arg(SPAWNER_ARGUMENT)
            .current_dir(data_dir)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(SandboxError::system("start the spawner"))?;
        Ok(Self { socket, process })
    }

    async fn spawn(&self, identity: Identity, control: &OwnedFd) -> Result<PidFd, SandboxError> {
        let lost = |error: io::Error| SandboxError::Spawner(error.to_string());
        let request = SpawnRequest {
            uid: identity.uid,
            gid: identity.gid,
        };
        self.socket.send(&request, &[control.as_fd()]).await.map_err(lost)?;
        let reply = self.socket.receive::<SpawnReply>().await.map_err(lost)?;
        match reply.ok_or_else(|| SandboxError::Spawner("it ended".into()))? {
            (SpawnReply::Spawned, mut descriptors) => {
                let pidfd = descriptors.pop().ok_or_else(|| SandboxError::Setup {
                    step: "receive the sandbox's pidfd".into(),
                    reason: "this process has too many files open".into(),
                })?;
                PidFd::new(pidfd).map_err(SandboxError::system("watch the sandbox"))
            }
            (SpawnReply::Failed { step, reason }, _) => Err(SandboxError::Setup { step, reason }),
        }
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes requests to the spawner, one at a time, until the launcher is dropped. A spawner that was lost is replaced for
/// the next request; the sandboxes of the lost one ended with it.
async fn serve(
    first: Spawner,
    start: impl Fn() -> Result<Spawner, SandboxError>,
    identity: Identity,
    mut waiting: mpsc::Receiver<Request>,
) {
    let mut spawner = Some(first);
    while let Some(Request { control, answer }) = waiting.recv().await {
        let current = match spawner.take().map_or_else(&start, Ok) {
            Ok(current) => current,
            Err(error) => {
                let _ = answer.send(Err(error));
                continue;
            }
        };
        let outcome = current.spawn(identity, &control).await;
        if let Err(error @ SandboxError::Spawner(_)) = &outcome {
            tracing::error!(%error, "the sandbox spawner was lost and is started again");
        } else {
            spawner = Some(current);
        }
        // Nobody waits any more: dropping the pidfd is all that is left to do.
        let _ = answer.send(outcome);
    }
}
