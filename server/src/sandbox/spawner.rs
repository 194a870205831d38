//! The spawner: a process of its own that makes sandboxes and does nothing else.
//!
//! It is this program, started again with [`SPAWNER_ARGUMENT`] before any thread exists, because a process with threads
//! cannot safely fork. It holds no secrets and only ever reads what the server says.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::init::{self, Filters, INSIDE_ID};
use super::wire::{self, SpawnReply, SpawnRequest};

/// The argument that makes this program a spawner. Its stdin is the server's socket, its working directory the data
/// directory: a sandbox reaches that by it, as its init, once it is no longer root, could not walk there by path.
pub const SPAWNER_ARGUMENT: &str = "sandbox-spawner";

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// When the host runs out of memory, a sandbox goes before the server and the user's own programs.
const OOM_SCORE: &str = "500";

/// Runs the spawner until the server goes away. To be called before any thread is started.
#[must_use]
pub fn run_spawner() -> ExitCode {
    // SAFETY: the server started this process with its socket as stdin, which nothing else here uses.
    let server = unsafe { UnixStream::from_raw_fd(libc::STDIN_FILENO) };
    let outcome = prepare().and_then(|filters| serve(&server, &filters));
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let reason = error.to_string();
    let step = "run the spawner".into();
    let _ = wire::send(&server, &SpawnReply::Failed { step, reason }, &[]);
    ExitCode::FAILURE
}

fn prepare() -> io::Result<Filters> {
    let _ = prctl::set_name(c"castari-spawner");
    // No death signal: it would come when the thread ends that started this process, which a server's threads do. The
    // socket reads its end when the server has gone.
    // The terminal's signals are the server's business: the spawner ends when the server does.
    // SAFETY: ignoring a signal installs no handler. An ignored SIGCHLD also reaps inits without a wait.
    unsafe {
        for ignored in [
            Signal::SIGCHLD,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGTERM,
            Signal::SIGTSTP,
        ] {
            signal(ignored, SigHandler::SigIgn)?;
        }
    }
    Filters::compile()
}

fn serve(server: &UnixStream, filters: &Filters) -> io::Result<()> {
    while let Some((request, descriptors)) = wire::receive::<SpawnRequest>(server)? {
        let Some(control) = descriptors.into_iter().next() else {
            return Err(io::Error::other("a request came without its control socket"));
        };
        match spawn(&request, &control, server.as_raw_fd(), filters) {
            Ok(pidfd) => wire::send(server, &SpawnReply::Spawned, &[pidfd.as_raw_fd()])?,
            Err((step, error)) => {
                let reason = error.to_string();
                wire::send(
                    server,
                    &SpawnReply::Failed {
                        step: step.into(),
                        reason,
                    },
                    &[],
                )?;
            }
        }
    }
    Ok(())
}

/// Makes a process in fresh namespaces that becomes the init, and gives it its identity.
fn spawn(
    request: &SpawnRequest,
    control: &OwnedFd,
    server: RawFd,
    filters: &Filters,
) -> Result<OwnedFd, (&'static str, io::Error)> {
    let (gate, gate_inside) = UnixStream::pair().map_err(|error| ("socketpair", error))?;
    let Some((pid, pidfd)) = clone_into_namespaces().map_err(|error| ("clone3 into new namespaces", error))? else {
        drop(gate);
        init::run(control, &gate_inside, server, filters);
    };
    drop(gate_inside);
    map_identity(pid, request)?;
    // A host that forbids this loses nothing but the preference. From root it is also the least that agents can set.
    let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), OOM_SCORE);
    (&gate).write_all(&[1]).map_err(|error| ("wake the init", error))?;
    Ok(pidfd)
}

/// Forks into new namespaces: `None` in the child.
fn clone_into_namespaces() -> io::Result<Option<(libc::pid_t, OwnedFd)>> {
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero clone_args asks for nothing; the fields that matter follow.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((NAMESPACES | libc::CLONE_PIDFD).cast_unsigned());
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: `args` is as long as said and `pidfd` outlives the call. Without CLONE_VM and a stack this is a fork; this
    // process has one thread, so that the child may use all of the standard library.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => {
            let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
            // SAFETY: clone3 just made this descriptor for us.
            Ok(Some((pid, unsafe { OwnedFd::from_raw_fd(pidfd) })))
        }
    }
}

/// Maps the one identity that exists inside. Who is not root may only map themselves, and must give up `setgroups`.
fn map_identity(pid: libc::pid_t, request: &SpawnRequest) -> Result<(), (&'static str, io::Error)> {
    let write = |file: &str, content: String| std::fs::write(format!("/proc/{pid}/{file}"), content);
    if !nix::unistd::geteuid().is_root() {
        write("setgroups", "deny".into()).map_err(|error| ("write setgroups", error))?;
    }
    write("uid_map", format!("{INSIDE_ID} {} 1", request.uid)).map_err(|error| ("write uid_map", error))?;
    write("gid_map", format!("{INSIDE_ID} {} 1", request.gid)).map_err(|error| ("write gid_map", error))
}
