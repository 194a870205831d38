//! Running commands: the part of an init's life that an agent sees.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execve, fork, setsid};

use super::super::wire::{self, Command, Ending, InitReply, InitRequest};

/// How often the memory of what runs is added up. What can be taken between two looks is the overshoot.
const MEMORY_LOOK_MILLISECONDS: u16 = 100;

/// How many files a process may have open.
const OPEN_FILES: u64 = 65_536;

/// The command that runs now, or none.
struct Running {
    pid: Pid,
    out_of_memory: bool,
}

/// Runs what the server asks for, one command after the other, until the server goes away.
pub(super) fn serve(control: &UnixStream, memory_bytes: u64) -> io::Result<()> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut running: Option<Running> = None;
    loop {
        let timeout = match running {
            Some(_) => PollTimeout::from(MEMORY_LOOK_MILLISECONDS),
            None => PollTimeout::NONE,
        };
        let mut events = [
            PollFd::new(control.as_fd(), PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut events, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let asked = events[0].any().unwrap_or(false);
        while children.read_signal()?.is_some() {}
        reap(control, &mut running)?;
        if let Some(running) = &mut running
            && is_above(memory_bytes)
        {
            running.out_of_memory = true;
            // Everything in this namespace but the init itself.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
        if asked {
            let Some((InitRequest::Exec(command), stdio)) = wire::receive(control)? else {
                return Ok(());
            };
            running = start(control, &command, stdio)?;
        }
    }
}

/// Takes note of every process that ended, and tells the server when it was the command.
fn reap(control: &UnixStream, running: &mut Option<Running>) -> io::Result<()> {
    loop {
        let (pid, ending) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => (pid, Ending::Exited(status)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ending::Killed(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(command) = running.take_if(|running| running.pid == pid) {
            let ending = if command.out_of_memory {
                Ending::OutOfMemory
            } else {
                ending
            };
            wire::send(control, &InitReply::Ended(ending), &[])?;
        }
    }
}

/// Starts a command and says whether it started.
fn start(control: &UnixStream, command: &Command, stdio: Vec<OwnedFd>) -> io::Result<Option<Running>> {
    let prepared = Prepared::new(command, stdio);
    match prepared.and_then(|prepared| spawn(&prepared)) {
        Ok(pid) => {
            wire::send(control, &InitReply::Started, &[])?;
            Ok(Some(Running {
                pid,
                out_of_memory: false,
            }))
        }
        Err(error) => {
            let step = command.argv.first().cloned().unwrap_or_default();
            wire::send(
                control,
                &InitReply::Failed {
                    step,
                    reason: error.to_string(),
                },
                &[],
            )?;
            Ok(None)
        }
    }
}

/// A command in the form that `execve` takes.
struct Prepared {
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
    stdio: [OwnedFd; 3],
}

impl Prepared {
    fn new(command: &Command, stdio: Vec<OwnedFd>) -> io::Result<Self> {
        let argv: Vec<CString> = command
            .argv
            .iter()
            .map(|text| CString::new(text.as_str()))
            .collect::<Result<_, _>>()?;
        let env = command
            .env
            .iter()
            .map(|(key, value)| CString::new(format!("{key}={value}")));
        Ok(Self {
            program: argv.first().cloned().ok_or(io::ErrorKind::InvalidInput)?,
            env: env.collect::<Result<_, _>>()?,
            cwd: CString::new(command.cwd.as_os_str().as_bytes())?,
            stdio: stdio
                .try_into()
                .map_err(|_| io::Error::other("a command needs three descriptors"))?,
            argv,
        })
    }
}

/// Forks and execs. A failure up to the exec comes back through a pipe that a successful exec closes.
fn spawn(command: &Prepared) -> io::Result<Pid> {
    let (mut failed, report) = io::pipe()?;
    // SAFETY: this process has one thread, so that the child may do what it likes.
    let child = match unsafe { fork() }? {
        ForkResult::Child => {
            let error = exec(command).raw_os_error().unwrap_or(libc::EINVAL);
            let _ = (&report).write_all(&error.to_ne_bytes());
            // SAFETY: ends the child at once; nothing of the parent's is to be cleaned up here.
            unsafe { libc::_exit(127) }
        }
        ForkResult::Parent { child } => child,
    };
    drop(report);
    let mut error = [0; size_of::<libc::c_int>()];
    match failed.read_exact(&mut error) {
        Err(_) => Ok(child),
        Ok(()) => Err(io::Error::from_raw_os_error(libc::c_int::from_ne_bytes(error))),
    }
}

/// Becomes the command; returns only with the error that prevented it.
fn exec(command: &Prepared) -> io::Error {
    let become_it = || -> Result<std::convert::Infallible, Errno> {
        setsid()?;
        for inherited in Signal::iterator() {
            // SAFETY: the default action installs no handler. SIGKILL and SIGSTOP have no other and refuse.
            let _ = unsafe { signal(inherited, SigHandler::SigDfl) };
        }
        SigSet::empty().thread_set_mask()?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        // A lower limit of the host's own stays.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES);
        umask(Mode::from_bits_truncate(0o022));
        nix::unistd::chdir(command.cwd.as_c_str())?;
        for (number, descriptor) in (0..).zip(&command.stdio) {
            // SAFETY: plain dup2: the received descriptors are above 2, as 0 to 2 are taken. Its result is checked.
            Errno::result(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })?;
        }
        // Everything else, the control socket included, is close-on-exec already; this makes sure.
        // SAFETY: marks descriptors, closes none that is still used before the exec.
        unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
        execve(&command.program, &command.argv, &command.env)
    };
    match become_it() {
        Err(error) => error.into(),
    }
}

/// Whether the processes here keep more in memory than the limit. What they share counts once, the programs and
/// libraries that they map not at all.
fn is_above(limit: u64) -> bool {
    // Whoever hides what runs is treated as if it were too much.
    let Ok(pids) = processes() else {
        return true;
    };
    // Quick to read and never too little, as it counts what is shared for each.
    let at_most: u64 = pids.iter().filter_map(|pid| resident(*pid)).sum();
    // A process can make its details unreadable, but not its size.
    let exactly = |pid: &u32| proportional(*pid).or_else(|| resident(*pid));
    at_most > limit && pids.iter().filter_map(exactly).sum::<u64>() > limit
}

/// Every process of this namespace but the init.
fn processes() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        pids.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok())
                .filter(|pid| *pid != 1),
        );
    }
    Ok(pids)
}

/// What a process keeps resident, in bytes.
fn resident(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * page_size())
}

/// A process' share of what it keeps resident, without the files that it maps, in bytes.
fn proportional(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kibibytes = |field: &str| -> Option<u64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let files = kibibytes("Pss_File:").unwrap_or(0);
    Some(kibibytes("Pss:")?.saturating_sub(files) * 1024)
}

fn page_size() -> u64 {
    // SAFETY: takes an integer, touches no memory.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
