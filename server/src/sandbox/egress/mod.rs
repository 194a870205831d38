//! The egress door: what a sandbox may reach of the internet, served without privileges.
//!
//! A sandbox's only way out is a TUN device whose descriptor the server holds. Every packet that the agent sends is
//! read here, and nothing is forwarded: a connection or a datagram flow ends at the door, which opens a socket of its
//! own to the same destination if the [`Policy`] allows it, and carries bytes between the two. So the agent can
//! address nothing that the policy does not allow, whatever it writes into its packets, and a malformed packet never
//! gets past the door.
//!
//! ```text
//!             ┌ tcp: a task and a TCP stack a connection ─ TcpStream ─► destination
//! TUN ─ door ─┼ udp: a task a flow ─────────────────────── UdpSocket ─► destination
//!             └ dns: at the gateway's address ──────────── the host's own resolver
//! ```
//!
//! Each connection has a TCP stack to itself. The door finds it by the flow's ports and addresses, so that no packet
//! costs a walk over all connections, connections use all cores without a lock, and a fault in one is the end of that
//! one alone.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::task::AbortHandle;

mod dns;
mod door;
pub mod link;
mod policy;
mod tcp;
mod tun;
mod udp;
mod wire;

#[cfg(test)]
mod tests;

pub use policy::{Exception, ExceptionError, Policy};

/// A sandbox's open egress door. Dropping it ends every connection, with a reset to the far end of each that was not
/// over yet, and closes the descriptor.
///
/// Drop it when the sandbox ends: an open descriptor keeps the TUN device and its network namespace alive after the
/// last process in it has gone.
#[derive(Debug)]
pub struct Egress {
    task: AbortHandle,
}

impl Egress {
    /// Serves the sandbox behind `tun`: a TUN device made with `IFF_TUN | IFF_NO_PI`, configured as [`link`] says.
    /// The door closes by itself when the device is deleted.
    ///
    /// # Errors
    /// If the descriptor cannot be made non-blocking or cannot be polled.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn open(tun: OwnedFd, policy: Arc<Policy>) -> io::Result<Self> {
        let door = door::Door::new(tun::Tun::new(tun)?, policy);
        Ok(Self {
            task: tokio::spawn(door.serve()).abort_handle(),
        })
    }

    /// Whether the device was deleted, and the door is closed for that.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Refuses a socket that turned out to be connected to this very machine: a local route can make an address the
/// machine's own that no interface has, and an interface can have got one since its addresses were listed.
fn refuse_self(from: IpAddr, to: SocketAddr, policy: &Policy) -> io::Result<()> {
    if from == to.ip() && !policy.allows_by_exception(to) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the destination is this machine",
        ));
    }
    Ok(())
}
