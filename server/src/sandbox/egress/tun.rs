//! The descriptor of the TUN device: one read or write, one packet.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(super) struct Tun {
    fd: AsyncFd<OwnedFd>,
}

impl Tun {
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        #[expect(
            deprecated,
            reason = "its replacement is unsafe for the sake of types that can change descriptor"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Self { fd })
    }

    /// Waits for a packet; no bytes mean that the other end is gone.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fd
            .async_io(Interest::READABLE, |fd| Ok(nix::unistd::read(fd.as_fd(), buffer)?))
            .await
    }

    /// Writes a packet, unless the device is full: then it says `false`, and [`Self::writable`] tells when to retry.
    pub fn try_write(&self, packet: &[u8]) -> bool {
        let written = self
            .fd
            .try_io(Interest::WRITABLE, |fd| Ok(nix::unistd::write(fd.as_fd(), packet)?));
        // Any other error is the loss of one packet, as on any wire; an end of the device is seen by whoever reads.
        !matches!(written, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes a packet whose loss does no harm.
    pub fn write_or_drop(&self, packet: &[u8]) {
        match nix::unistd::write(self.fd.get_ref().as_fd(), packet) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(error) => tracing::trace!(%error, "lost a packet to a sandbox"),
        }
    }

    /// Waits until the device takes packets again.
    pub async fn writable(&self) {
        // An error means that the runtime is going away, and this task with it.
        let _ = self.fd.writable().await;
    }
}
