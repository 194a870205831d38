//! A sandbox that stands, as the server holds it.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::net::unix::pipe;

use super::SandboxError;
use super::egress::Egress;
use super::pidfd::PidFd;
use super::wire::{Command, Ending, InitReply, InitRequest, Socket};

/// A sandbox. Dropping it kills everything in it.
pub struct Sandbox {
    id: String,
    control: Socket,
    pidfd: PidFd,
    pub(super) egress: Option<Egress>,
}

/// The server's ends of a command's stdio.
pub struct Streams {
    /// What is written here, the command reads; dropped, the command reads the end.
    pub stdin: Option<pipe::Sender>,
    /// What the command writes to stdout.
    pub stdout: pipe::Receiver,
    /// What the command writes to stderr.
    pub stderr: pipe::Receiver,
}

/// A command that runs in a sandbox.
pub struct Process<'a> {
    sandbox: &'a Sandbox,
}

impl Sandbox {
    pub(super) fn new(id: String, control: Socket, pidfd: PidFd) -> Self {
        Self {
            id,
            control,
            pidfd,
            egress: None,
        }
    }

    /// `sbx_…`
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the network can be reached from inside.
    #[must_use]
    pub fn has_egress(&self) -> bool {
        self.egress.is_some()
    }

    /// Starts a command. One at a time: the borrow lasts until it is given up.
    ///
    /// # Errors
    /// When the program cannot be started, or the sandbox is gone.
    pub async fn start(&self, command: Command) -> Result<(Process<'_>, Streams), SandboxError> {
        let pipe = || io::pipe().map_err(SandboxError::system("make a pipe"));
        let ((stdin, our_stdin), (our_stdout, stdout), (our_stderr, stderr)) = (pipe()?, pipe()?, pipe()?);
        let program = command.argv.first().cloned().unwrap_or_default();
        let request = InitRequest::Exec(command);
        match self
            .ask(&request, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
            .await?
        {
            (InitReply::Started, _) => {}
            (InitReply::Failed { reason, .. }, _) => return Err(SandboxError::Exec { program, reason }),
            _ => return Err(SandboxError::Gone),
        }
        let streams = Streams::new(our_stdin, our_stdout, our_stderr);
        let streams = streams.map_err(SandboxError::system("watch a pipe"))?;
        Ok((Process { sandbox: self }, streams))
    }

    /// Sends a request to the init and waits for its reply.
    pub(super) async fn ask(
        &self,
        request: &InitRequest,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(InitReply, Vec<OwnedFd>), SandboxError> {
        self.control
            .send(request, descriptors)
            .await
            .map_err(SandboxError::system("talk to the init"))?;
        self.reply().await
    }

    async fn reply(&self) -> Result<(InitReply, Vec<OwnedFd>), SandboxError> {
        let reply = self
            .control
            .receive()
            .await
            .map_err(SandboxError::system("listen to the init"))?;
        reply.ok_or(SandboxError::Gone)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.pidfd.kill();
    }
}

impl Streams {
    fn new(stdin: PipeWriter, stdout: PipeReader, stderr: PipeReader) -> io::Result<Self> {
        Ok(Self {
            stdin: Some(pipe::Sender::from_owned_fd(stdin.into())?),
            stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
            stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
        })
    }
}

impl Process<'_> {
    /// Waits until the command has ended or `limit` is done, then kills everything in the sandbox and waits until that is
    /// gone, so that no pipe has a writer any more. `None` when the limit came first.
    ///
    /// # Errors
    /// When the sandbox ends first.
    pub async fn finish(self, limit: impl Future<Output = ()>) -> Result<Option<Ending>, SandboxError> {
        let ending = tokio::select! {
            ending = self.ended() => Some(ending),
            () = limit => None,
        };
        self.sandbox.pidfd.kill();
        self.sandbox
            .pidfd
            .ended()
            .await
            .map_err(SandboxError::system("wait for the sandbox's end"))?;
        ending.transpose()
    }

    /// Waits for the command itself to end; what it started may go on until the sandbox ends.
    async fn ended(&self) -> Result<Ending, SandboxError> {
        match self.sandbox.reply().await? {
            (InitReply::Ended(ending), _) => Ok(ending),
            _ => Err(SandboxError::Gone),
        }
    }
}
