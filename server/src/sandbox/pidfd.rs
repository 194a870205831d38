//! A process that cannot be mistaken for another, as its number can.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use tokio::io::unix::AsyncFd;

/// A descriptor of a process.
pub(super) struct PidFd(AsyncFd<OwnedFd>);

impl PidFd {
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned by the AsyncFd and nothing closes it before it is dropped.
        Ok(Self(unsafe { AsyncFd::register(descriptor) }?))
    }

    /// Kills the process; as the PID 1 of a namespace, with everything in it. One that has ended stays so.
    pub fn kill(&self) {
        // SAFETY: the descriptor is open, and without a siginfo the kernel reads no memory of ours.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            );
        }
    }

    /// Waits until the process has ended.
    pub async fn ended(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }
}
