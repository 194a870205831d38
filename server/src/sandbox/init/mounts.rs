//! The file system that is seen inside: a tmpfs with read-only parts of the host, and a scratch tmpfs for what is
//! written.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::super::wire::{Setup, Workspace};
use super::{Failure, Step};

/// Where the new root is put together before it becomes the root. Any directory that every host has will do.
const NEW_ROOT: &str = "/tmp";

/// Where the scratch tmpfs stands while its parts are mounted where they belong.
const SCRATCH: &str = "/tmp/.scratch";

const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Handles of everything of the host that will be mounted.
pub(super) struct Sources {
    binds: Vec<(OwnedFd, PathBuf)>,
    devices: Vec<(OwnedFd, &'static str)>,
    workspace: Option<OwnedFd>,
}

impl Sources {
    pub fn open(setup: &Setup) -> Result<Self, Failure> {
        let binds = setup.layout.binds.iter().chain(&setup.binds);
        let workspace = match &setup.workspace {
            Workspace::Overlay(path) | Workspace::Writable(path) => Some(handle(path)?),
            Workspace::Empty => None,
        };
        Ok(Self {
            binds: binds
                .map(|bind| Ok((handle(&bind.source)?, bind.target.clone())))
                .collect::<Result<_, _>>()?,
            devices: DEVICES
                .iter()
                .map(|name| Ok((handle(&Path::new("/dev").join(name))?, *name)))
                .collect::<Result<_, _>>()?,
            workspace,
        })
    }
}

/// A handle that names a file without opening it.
fn handle(path: &Path) -> Result<OwnedFd, Failure> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC);
    Ok(options.open(path).step(|| format!("open {}", path.display()))?.into())
}

/// The path by which the kernel finds what a handle names.
fn by_handle(handle: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", handle.as_raw_fd()).into()
}

/// Builds the file system and makes it the root.
pub(super) fn build(setup: &Setup, sources: &Sources) -> Result<(), Failure> {
    make_private()?;
    tmpfs(NEW_ROOT, "size=1m,nr_inodes=4096,mode=755")?;
    let scratch_options = format!("size={},nr_inodes=1048576,mode=755", setup.scratch_bytes);
    fs::create_dir(SCRATCH).step(|| format!("mkdir {SCRATCH}"))?;
    tmpfs(SCRATCH, &scratch_options)?;
    for (source, target) in &sources.binds {
        bind_read_only(source, target)?;
    }
    for (link, to) in &setup.layout.links {
        let link = prepare_parent(link)?;
        symlink(to, &link).step(|| format!("symlink {}", link.display()))?;
    }
    for (path, content) in &setup.layout.files {
        let path = prepare_parent(path)?;
        fs::write(&path, content).step(|| format!("write {}", path.display()))?;
    }
    devices(&sources.devices)?;
    proc_file_system()?;
    for (part, target) in [("tmp", "/tmp"), ("home", "/home/agent"), ("shm", "/dev/shm")] {
        from_scratch(part, target)?;
    }
    workspace(&setup.workspace, sources.workspace.as_ref())?;
    umount2(SCRATCH, MntFlags::MNT_DETACH).step(|| "unmount the scratch".into())?;
    fs::remove_dir(SCRATCH).step(|| "remove the scratch's mount point".into())?;
    enter()
}

/// Nothing mounted here shows outside, nor the other way.
fn make_private() -> Result<(), Failure> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .step(|| "make mounts private".into())
}

fn tmpfs(target: &str, options: &str) -> Result<(), Failure> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options)).step(|| format!("mount a tmpfs on {target}"))
}

/// Where a path of the inside is now, with its parent made.
fn prepare_parent(inside: &Path) -> Result<PathBuf, Failure> {
    let path = Path::new(NEW_ROOT).join(inside.strip_prefix("/").unwrap_or(inside));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).step(|| format!("mkdir {}", parent.display()))?;
    }
    Ok(path)
}

/// Makes the file or directory that `source` will be mounted on.
fn prepare_target(source: &OwnedFd, inside: &Path) -> Result<PathBuf, Failure> {
    let target = prepare_parent(inside)?;
    let is_dir = fs::metadata(by_handle(source))
        .step(|| format!("stat the source of {}", inside.display()))?
        .is_dir();
    let made = if is_dir {
        fs::create_dir_all(&target)
    } else {
        File::create(&target).map(drop)
    };
    made.step(|| format!("make {}", target.display()))?;
    Ok(target)
}

fn bind(source: &Path, target: &Path) -> Result<(), Failure> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), target, None::<&str>, flags, None::<&str>).step(|| format!("bind {}", target.display()))
}

fn bind_read_only(source: &OwnedFd, inside: &Path) -> Result<(), Failure> {
    let target = prepare_target(source, inside)?;
    bind(&by_handle(source), &target)?;
    read_only(&target).step(|| format!("make {} read-only", target.display()))
}

/// Makes a mount and all below it read-only, without set-uid programs and devices.
fn read_only(target: &Path) -> io::Result<()> {
    match set_attributes(
        target,
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
    ) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => remount_read_only(target),
        other => other,
    }
}

/// `mount_setattr` on a mount and all below it; since Linux 5.12.
fn set_attributes(target: &Path, attributes: u64) -> io::Result<()> {
    let path = std::ffi::CString::new(target.as_os_str().as_encoded_bytes())?;
    let attr = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_RECURSIVE;
    // SAFETY: path and attributes outlive the call, and the length is the struct's own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The same before Linux 5.12, for the topmost mount: a remount has to repeat the flags that the host's mount has.
fn remount_read_only(target: &Path) -> io::Result<()> {
    let has = statvfs(target)?.flags();
    let mut flags =
        MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for (of_fs, of_mount) in [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        flags.set(of_mount, has.contains(of_fs));
    }
    Ok(mount(None::<&str>, target, None::<&str>, flags, None::<&str>)?)
}

fn devices(devices: &[(OwnedFd, &'static str)]) -> Result<(), Failure> {
    for (source, name) in devices {
        let target = prepare_target(source, &Path::new("/dev").join(name))?;
        bind(&by_handle(source), &target)?;
    }
    for (link, to) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        let link = prepare_parent(&Path::new("/dev").join(link))?;
        symlink(Path::new("/proc/self").join(to), &link).step(|| format!("symlink {}", link.display()))?;
    }
    Ok(())
}

/// Mounted while the host's is still there: the kernel allows a new one only to who sees a whole one.
fn proc_file_system() -> Result<(), Failure> {
    let target = prepare_parent(Path::new("/proc"))?;
    fs::create_dir(&target).step(|| "mkdir /proc".into())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), &target, Some("proc"), flags, None::<&str>).step(|| "mount /proc".into())
}

/// A directory of the scratch.
fn scratch_dir(name: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(SCRATCH).join(name);
    fs::create_dir(&path).step(|| format!("mkdir {}", path.display()))?;
    Ok(path)
}

/// Mounts a fresh directory of the scratch at a path inside.
fn from_scratch(name: &str, inside: &str) -> Result<(), Failure> {
    let source = scratch_dir(name)?;
    let target = prepare_parent(Path::new(inside))?;
    fs::create_dir_all(&target).step(|| format!("mkdir {inside}"))?;
    bind(&source, &target)
}

fn workspace(kind: &Workspace, source: Option<&OwnedFd>) -> Result<(), Failure> {
    let target = prepare_parent(Path::new("/workspace"))?;
    fs::create_dir(&target).step(|| "mkdir /workspace".into())?;
    match (kind, source) {
        (Workspace::Overlay(_), Some(source)) => overlay(source, &target),
        (Workspace::Writable(_), Some(source)) => {
            bind(&by_handle(source), &target)?;
            set_attributes(&target, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV)
                .or_else(|error| {
                    if error.raw_os_error() == Some(libc::ENOSYS) {
                        Ok(())
                    } else {
                        Err(error)
                    }
                })
                .step(|| "restrict /workspace".into())
        }
        _ => bind(&scratch_dir("workspace")?, &target),
    }
}

/// The code below, memory above; where the kernel has no overlay for us, a copy in memory.
fn overlay(source: &OwnedFd, target: &Path) -> Result<(), Failure> {
    let (upper, work) = (scratch_dir("upper")?, scratch_dir("work")?);
    let lower = by_handle(source);
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        lower.display(),
        upper.display(),
        work.display()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if mount(Some("overlay"), target, Some("overlay"), flags, Some(options.as_str())).is_ok() {
        return Ok(());
    }
    let copy = scratch_dir("workspace")?;
    copy_tree(&lower, &copy).step(|| "copy the code to /workspace".into())?;
    bind(&copy, target)
}

/// Copies a tree of directories, files and links; the build left nothing else in it.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Makes the new root the root, and lets go of the host's.
fn enter() -> Result<(), Failure> {
    std::env::set_current_dir(NEW_ROOT).step(|| "enter the new root".into())?;
    fs::set_permissions(".", Permissions::from_mode(0o755)).step(|| "chmod /".into())?;
    nix::unistd::pivot_root(".", ".").step(|| "pivot_root".into())?;
    umount2(".", MntFlags::MNT_DETACH).step(|| "unmount the host's root".into())?;
    std::env::set_current_dir("/").step(|| "chdir /".into())?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).step(|| "make / read-only".into())
}
