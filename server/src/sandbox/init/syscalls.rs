//! Which of the kernel's calls are closed inside: those that reach what no namespace separates, and those by which
//! namespaces are made and mounts changed. All others are open, as nobody can know what a program needs.

use std::io;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// Answered with "no such call", so that programs do without.
const UNKNOWN: [libc::c_long; 4] = [
    // Its flags are in memory, where no filter looks. glibc falls back to `clone`, whose flags are not.
    libc::SYS_clone3,
    // A second way to most calls, past every filter, and a steady source of holes in the kernel.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Answered with "not permitted".
const FORBIDDEN: [libc::c_long; 26] = [
    // Keyrings belong to users of the host, not to namespaces.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Programs that run in the kernel, and a look at it while it works.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    // Stops the kernel in the middle of a copy: the lever of many an exploit.
    libc::SYS_userfaultfd,
    // Namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Mounts.
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_umount2,
    // The machine itself. Each wants a capability that nobody inside has; this stands behind that.
    libc::SYS_acct,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapoff,
    libc::SYS_swapon,
];

/// The address families that a network namespace separates. Others, such as `AF_VSOCK`, reach the host.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// What `clone` may not make.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Ways to type into a terminal that somebody else reads.
const TERMINAL_INPUT: [libc::c_ulong; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// Filters, ready to be applied. Made once: every init inherits them.
pub(in crate::sandbox) struct Filters([BpfProgram; 2]);

impl Filters {
    pub fn compile() -> io::Result<Self> {
        let unknown = UNKNOWN.map(|call| (call, Vec::new()));
        let forbidden = FORBIDDEN.map(|call| (call, Vec::new()));
        let partly = partly_forbidden().map_err(io::Error::other)?;
        Ok(Self([
            compile(unknown, libc::ENOSYS).map_err(io::Error::other)?,
            compile(forbidden.into_iter().chain(partly), libc::EPERM).map_err(io::Error::other)?,
        ]))
    }

    /// Applies the filters to this process and all that it starts, for good.
    pub fn apply(&self) -> io::Result<()> {
        self.0
            .iter()
            .try_for_each(|program| apply_filter(program).map_err(io::Error::other))
    }
}

type Call = (libc::c_long, Vec<SeccompRule>);

/// Calls of which only some uses are closed.
fn partly_forbidden() -> Result<[Call; 9], BackendError> {
    let condition =
        |argument, operator, value: u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
    let families = FAMILIES.map(|family| condition(0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())));
    let families: Vec<_> = families.into_iter().collect::<Result<_, _>>()?;
    let namespaces = NAMESPACES.map(|namespace| {
        let flag = u64::from(namespace.cast_unsigned());
        SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(flag), flag)?])
    });
    let input = TERMINAL_INPUT.map(|request| SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, request)?]));
    // The init has the agent's identity, and must not be slowed or starved by it: its number inside is 1.
    let of_init = || SeccompRule::new(vec![condition(0, SeccompCmpOp::Eq, 1)?]);
    let of_others = || SeccompRule::new(vec![condition(0, SeccompCmpOp::Ne, 0)?]);
    let priority = [
        of_others()?,
        SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, 1)?])?,
    ];
    Ok([
        (libc::SYS_prlimit64, vec![of_others()?]),
        (libc::SYS_sched_setaffinity, vec![of_init()?]),
        (libc::SYS_sched_setattr, vec![of_init()?]),
        (libc::SYS_sched_setparam, vec![of_init()?]),
        (libc::SYS_sched_setscheduler, vec![of_init()?]),
        (libc::SYS_setpriority, priority.into()),
        (libc::SYS_socket, vec![SeccompRule::new(families)?]),
        (libc::SYS_clone, namespaces.into_iter().collect::<Result<_, _>>()?),
        (libc::SYS_ioctl, input.into_iter().collect::<Result<_, _>>()?),
    ])
}

fn compile(calls: impl IntoIterator<Item = Call>, errno: libc::c_int) -> Result<BpfProgram, BackendError> {
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(calls.into_iter().collect(), SeccompAction::Allow, refuse, arch)?.try_into()
}
