//! What the server, the spawner and the inits say to each other: a length, then JSON, with descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

/// The longest message: above it lies no message of ours.
const MAX_MESSAGE: usize = 16 << 20;

/// The most descriptors that go with one message.
const MAX_DESCRIPTORS: usize = 4;

/// The length of a message stands before it as this many bytes, in the machine's order.
const HEADER: usize = size_of::<u32>();

/// Server to spawner, with the init's end of the control socket.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct SpawnRequest {
    /// The host's user and group that everything inside runs as.
    pub uid: u32,
    pub gid: u32,
}

/// Spawner to server; a success carries a pidfd of the init.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum SpawnReply {
    Spawned,
    Failed { step: String, reason: String },
}

/// Server to init.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum InitRequest {
    /// The first message: what to build.
    Setup(Box<Setup>),
    /// Runs a command, with its stdin, stdout and stderr.
    Exec(Command),
}

/// Init to server.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum InitReply {
    /// The sandbox stands; with egress, the TUN's descriptor comes along.
    Ready { egress: bool },
    /// A part of the sandbox, or the start of a command, failed.
    Failed { step: String, reason: String },
    /// The command runs.
    Started,
    /// The command ended.
    Ended(Ending),
}

/// What an init builds.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Setup {
    pub layout: Layout,
    pub workspace: Workspace,
    /// Further parts of the host, for this sandbox alone.
    pub binds: Vec<Bind>,
    /// Whether to open the egress door.
    pub egress: bool,
    pub memory_bytes: u64,
    pub scratch_bytes: u64,
}

/// The read-only part of a sandbox's file system. Made once for the host, the same for every sandbox.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Layout {
    /// What of the host is seen, and where.
    pub binds: Vec<Bind>,
    /// Symbolic links: where, and to what.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Small files with their content.
    pub files: Vec<(PathBuf, String)>,
}

/// A file or directory of the host that is seen, read-only, inside.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Bind {
    /// The host's path.
    pub source: PathBuf,
    /// The path inside.
    pub target: PathBuf,
}

/// What `/workspace` is. Paths are absolute, or relative to the data directory.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Workspace {
    /// Writes go to memory and vanish with the sandbox.
    Overlay(PathBuf),
    /// Writes go to this directory of the host.
    Writable(PathBuf),
    /// Empty, in memory.
    Empty,
}

/// A command to run inside.
#[derive(Clone, Default, Deserialize, Serialize)]
pub struct Command {
    /// The program's path inside, then its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The working directory inside.
    pub cwd: PathBuf,
}

impl std::fmt::Debug for Command {
    /// Leaves the environment's values out: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Ending {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// By us, for using more memory than the limit.
    OutOfMemory,
}

/// Sends a message; for the spawner and the inits, which block.
pub(super) fn send<T: Serialize>(socket: &UnixStream, message: &T, descriptors: &[RawFd]) -> io::Result<()> {
    let bytes = encode(message)?;
    let sent = send_start(socket.as_raw_fd(), &bytes, descriptors)?;
    (&mut &*socket).write_all(&bytes[sent..])
}

/// Receives a message; `None` at the end of the stream. For the spawner and the inits, which block.
pub(super) fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut header = [0; HEADER];
    let (count, descriptors) = receive_start(socket.as_raw_fd(), &mut header)?;
    if count == 0 {
        return Ok(None);
    }
    (&mut &*socket).read_exact(&mut header[count..])?;
    let mut body = vec![0; length(header)?];
    (&mut &*socket).read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

/// The server's end of a socket to a spawner or an init.
pub(super) struct Socket(AsyncFd<UnixStream>);

impl Socket {
    /// A connected pair: this process' end, and the other's, which blocks.
    pub fn pair() -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // SAFETY: the stream is owned by the AsyncFd and nothing closes its descriptor before it is dropped.
        Ok((Self(unsafe { AsyncFd::register(ours) }?), theirs))
    }

    /// Sends a message. Not to be cancelled: the other side would be left with half a message.
    pub async fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = encode(message)?;
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let mut sent = loop {
            let mut ready = self.0.writable().await?;
            if let Ok(sent) = ready.try_io(|socket| send_start(socket.as_raw_fd(), &bytes, &raw)) {
                break sent?;
            }
        };
        while sent < bytes.len() {
            let mut ready = self.0.writable().await?;
            if let Ok(more) = ready.try_io(|socket| socket.get_ref().write(&bytes[sent..])) {
                sent += more?;
            }
        }
        Ok(())
    }

    /// Receives a message; `None` at the end of the stream.
    pub async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut header = [0; HEADER];
        let (count, descriptors) = loop {
            let mut ready = self.0.readable().await?;
            if let Ok(received) = ready.try_io(|socket| receive_start(socket.as_raw_fd(), &mut header)) {
                break received?;
            }
        };
        if count == 0 {
            return Ok(None);
        }
        self.read_exact(&mut header[count..]).await?;
        let mut body = vec![0; length(header)?];
        self.read_exact(&mut body).await?;
        Ok(Some((serde_json::from_slice(&body)?, descriptors)))
    }

    async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let mut ready = self.0.readable().await?;
            if let Ok(count) = ready.try_io(|socket| socket.get_ref().read(buffer)) {
                match count? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => buffer = &mut buffer[count..],
                }
            }
        }
        Ok(())
    }
}

fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - HEADER)
        .ok()
        .filter(|length| *length as usize <= MAX_MESSAGE);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    bytes[..HEADER].copy_from_slice(&length.to_ne_bytes());
    Ok(bytes)
}

fn length(header: [u8; HEADER]) -> io::Result<usize> {
    match u32::from_ne_bytes(header) as usize {
        length if length <= MAX_MESSAGE => Ok(length),
        _ => Err(io::Error::other("the message is too long")),
    }
}

/// Sends the first bytes, which carry the descriptors.
fn send_start(socket: RawFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let flags = MsgFlags::MSG_NOSIGNAL;
    Ok(sendmsg::<()>(socket, &[IoSlice::new(bytes)], rights, flags, None)?)
}

/// Receives the first bytes and the descriptors that they carry, which are close-on-exec.
fn receive_start(socket: RawFd, header: &mut [u8; HEADER]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut slices = [IoSliceMut::new(header)];
    let message = recvmsg::<()>(socket, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    // Descriptors that found no room in this process are lost; whoever waits for them notices.
    for control in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel just made these descriptors for this process; nothing else owns them.
            descriptors.extend(received.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    Ok((message.bytes, descriptors))
}
