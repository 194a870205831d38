//! Sandboxes: namespaced child processes that run what nobody vouches for.
//!
//! Three processes take part. The **server** (here: [`Launcher`] and [`Sandbox`]) decides. The **spawner** is a small
//! single-threaded process that makes sandboxes with `clone3` and holds no secrets. Each sandbox's **init** is its PID
//! 1: it builds the file system, configures the network, drops every right, then starts and reaps agent processes.
//!
//! ```text
//! server ── control socket, one a sandbox ──────────► init ── fork, exec ──► agent
//!    └───── spawner socket ──► spawner ── clone3 ───────┘
//! ```
//!
//! Whatever a sandbox may reach, it reaches through a descriptor that its init made inside the namespaces and passed to
//! the server. If the server dies, every socket reads end-of-file, and spawner and inits end with all below them.
//!
//! This is the only room with unsafe code.

#![expect(
    unsafe_code,
    reason = "namespaces, capabilities and descriptors are reached by system calls that nix does not wrap"
)]

pub mod egress;
pub mod host;
mod init;
mod launcher;
mod pidfd;
mod running;
mod spawner;
mod wire;

pub use launcher::{Identity, Launcher, Spec};
pub use running::{Process, Sandbox, Streams};
pub use spawner::{SPAWNER_ARGUMENT, run_spawner};
pub use wire::{Bind, Command, Ending, Layout, Workspace};

use std::path::PathBuf;

/// Why a sandbox could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The spawner did not start, or ended.
    #[error("the spawner process is gone: {0}")]
    Spawner(String),
    /// The kernel refused a part of the isolation: `step` names it.
    #[error("cannot set up the sandbox: {step}: {reason}")]
    Setup {
        /// What was tried, on what.
        step: String,
        /// What the kernel said.
        reason: String,
    },
    /// A command could not be started inside.
    #[error("cannot start {program}: {reason}")]
    Exec {
        /// The program's path inside the sandbox.
        program: String,
        /// What the kernel said.
        reason: String,
    },
    /// The sandbox ended before it answered.
    #[error("the sandbox ended unexpectedly")]
    Gone,
    /// The host lacks something that sandboxes need.
    #[error("{what} was not found at {path}: {remedy}")]
    Missing {
        /// What is needed.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A system call of the server's own side failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl SandboxError {
    /// For `map_err`: a system call of the server's own side that failed while doing `what`.
    fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            what,
            source: source.into(),
        }
    }
}
