//! Who the init is, and what it may do.

use std::io;

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::{Failure, INSIDE_ID, Step};

/// The highest capability that a kernel may know; unknown ones are refused, which is as good as dropped.
const LAST_CAPABILITY: libc::c_ulong = 63;

/// Becomes the one user and group that exist inside.
pub(super) fn become_inside_identity() -> Result<(), Failure> {
    // Denied where the server is not root, which is then in no group that it could drop.
    let _ = setgroups(&[]);
    let (uid, gid) = (Uid::from_raw(INSIDE_ID), Gid::from_raw(INSIDE_ID));
    setresgid(gid, gid, gid).step(|| "setresgid".into())?;
    setresuid(uid, uid, uid).step(|| "setresuid".into())?;
    // A change of identity clears it.
    prctl::set_pdeathsig(Signal::SIGKILL).step(|| "prctl(PR_SET_PDEATHSIG)".into())?;
    leave_keyring().step(|| "keyctl(KEYCTL_JOIN_SESSION_KEYRING)".into())
}

/// Gives up every capability for good, here and in all that is started.
pub(super) fn drop_all() -> Result<(), Failure> {
    // No namespace below this one: most of the kernel's rarely tested code wants to be root of one.
    std::fs::write("/proc/sys/user/max_user_namespaces", "0").step(|| "forbid nested user namespaces".into())?;
    for capability in 0..=LAST_CAPABILITY {
        // SAFETY: takes two integers, touches no memory.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    clear_capabilities().step(|| "capset".into())?;
    prctl::set_no_new_privs().step(|| "prctl(PR_SET_NO_NEW_PRIVS)".into())?;
    // Nobody inside may trace the init, read its memory, or reach its descriptors through /proc.
    prctl::set_dumpable(false).step(|| "prctl(PR_SET_DUMPABLE)".into())
}

/// Leaves the session keyring of whoever started the server for an empty one: no namespace separates keyrings.
fn leave_keyring() -> io::Result<()> {
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: joins a new keyring; the kernel reads no memory of ours for one without a name.
    match unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, unnamed) } {
        -1 => match io::Error::last_os_error() {
            // A kernel without keyrings.
            error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// `capset` with empty effective, permitted and inheritable sets.
fn clear_capabilities() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: two words a set.
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    let sets = [[0_u32; 3]; 2];
    // SAFETY: both arrays are laid out as the kernel's structs of u32, and outlive the call.
    match unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
