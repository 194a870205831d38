//! The init: PID 1 of a sandbox. It builds what is seen inside, gives up every right, then runs commands.
//!
//! The order matters, and each step names itself in its error:
//! 1. close what was inherited; read what to build
//! 2. open what will be mounted, while still allowed to walk the data directory
//! 3. become the sandbox's only identity
//! 4. mounts, then the network
//! 5. drop capabilities, forbid new ones, close the calls that agents have no business with
//! 6. serve commands until the server's end of the control socket closes

mod commands;
mod mounts;
mod network;
mod rights;
mod syscalls;

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, signal};

pub(super) use syscalls::Filters;

use super::wire::{self, InitReply, InitRequest, Setup};

/// The user and group that everything inside runs as, as seen from inside.
pub(super) const INSIDE_ID: u32 = 1000;

/// A step that failed, and why.
pub(super) struct Failure {
    step: String,
    error: io::Error,
}

/// Names the step that a failure happened in.
trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            step: step(),
            error: error.into(),
        })
    }
}

/// Lives the whole life of an init, from just after the fork. `gate` opens when the identity is mapped.
pub(super) fn run(control: &OwnedFd, gate: &UnixStream, server: RawFd, filters: &Filters) -> ! {
    let status = i32::from(live(control, gate, server, filters).is_err());
    // SAFETY: ends this process at once, without running what the spawner registered for its own end.
    unsafe { libc::_exit(status) }
}

fn live(control: &OwnedFd, gate: &UnixStream, server: RawFd, filters: &Filters) -> io::Result<()> {
    let _ = prctl::set_name(c"castari-init");
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // SAFETY: the spawner's own socket, which no value in this process uses any more.
    drop(unsafe { OwnedFd::from_raw_fd(server) });
    if (&mut &*gate).read(&mut [0])? == 0 {
        return Ok(());
    }
    let control = keep_only(control)?;
    // SAFETY: the default action installs no handler; ignored, as inherited, children could not be waited for.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl)? };
    let Some((InitRequest::Setup(setup), _)) = wire::receive(&control)? else {
        return Ok(());
    };
    let memory_bytes = setup.memory_bytes;
    match build(&setup, filters) {
        Ok(egress) => {
            let descriptors: Vec<RawFd> = egress.iter().map(AsRawFd::as_raw_fd).collect();
            let egress = egress.is_some();
            wire::send(&control, &InitReply::Ready { egress }, &descriptors)?;
        }
        Err(Failure { step, error }) => {
            let reason = error.to_string();
            return wire::send(&control, &InitReply::Failed { step, reason }, &[]);
        }
    }
    commands::serve(&control, memory_bytes)
}

/// Builds the sandbox around this process; yields the TUN's descriptor where egress is wanted and can be had.
fn build(setup: &Setup, filters: &Filters) -> Result<Option<OwnedFd>, Failure> {
    let sources = mounts::Sources::open(setup)?;
    let tun = if setup.egress { network::open_tun() } else { None };
    rights::become_inside_identity()?;
    mounts::build(setup, &sources)?;
    drop(sources);
    network::configure(tun.as_ref())?;
    nix::unistd::sethostname("sandbox").step(|| "sethostname".into())?;
    rights::drop_all()?;
    filters.apply().step(|| "seccomp".into())?;
    Ok(tun)
}

/// Leaves this process the control socket, and `/dev/null` as stdio.
fn keep_only(control: &OwnedFd) -> io::Result<UnixStream> {
    const CONTROL: RawFd = 3;
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into_raw_fd();
    // SAFETY: dup2, close_range and from_raw_fd on numbers that only this function names from here on. The values that
    // owned the closed descriptors are never dropped: this process ends by `_exit`.
    unsafe {
        let moved = libc::fcntl(control.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10);
        let null = libc::fcntl(null, libc::F_DUPFD_CLOEXEC, 10);
        if moved < 0 || null < 0 {
            return Err(io::Error::last_os_error());
        }
        for stdio in 0..CONTROL {
            libc::dup2(null, stdio);
        }
        libc::dup3(moved, CONTROL, libc::O_CLOEXEC);
        libc::close_range(CONTROL.cast_unsigned() + 1, libc::c_uint::MAX, 0);
        Ok(UnixStream::from_raw_fd(CONTROL))
    }
}
