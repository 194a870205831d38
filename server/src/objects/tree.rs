//! Trees of files that came from a sandbox: made fit to be kept, hashed, removed. Whoever made them may have meant harm.

use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use sha2::{Digest, Sha256};

use super::ObjectError;

/// How deep a tree that is kept may nest.
const MAX_DEPTH: usize = 200;

/// How deep a removal goes down by itself; what lies deeper is moved up first. Each level holds a descriptor.
const REMOVAL_DEPTH: usize = 32;

/// Makes a tree what every reader may expect: directories, files and links only, without set-id bits and extended
/// attributes, all of them `owner`'s and readable; and hashes its names, kinds and contents. Nobody may write to the
/// tree meanwhile.
pub(super) fn settle(root: &Path, owner: (u32, u32)) -> Result<String, ObjectError> {
    let mut hash = Sha256::new();
    settle_dir(root, owner, 0, &mut hash).map_err(|error| match error {
        ObjectError::File { source, .. } if source.kind() == io::ErrorKind::InvalidFilename => {
            ObjectError::Unfit("the built code holds a path that is too long".into())
        }
        error => error,
    })?;
    Ok(hex::encode(hash.finalize()))
}

fn settle_dir(dir: &Path, owner: (u32, u32), depth: usize, hash: &mut Sha256) -> Result<(), ObjectError> {
    if depth > MAX_DEPTH {
        return Err(ObjectError::Unfit(format!(
            "the built code's folders nest deeper than {MAX_DEPTH}"
        )));
    }
    fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(ObjectError::file("set the mode of", dir))?;
    give(dir, owner)?;
    for (name, kind) in list(dir).map_err(ObjectError::file("list", dir))? {
        let path = dir.join(&name);
        hash.update(name.as_bytes());
        if kind.is_dir() {
            hash.update(b"\0d");
            settle_dir(&path, owner, depth + 1, hash)?;
            hash.update(b"\0e");
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(ObjectError::file("read the link", &path))?;
            hash.update(b"\0l");
            hash.update(target.as_os_str().as_bytes());
            hash.update(b"\0");
            give(&path, owner)?;
        } else if kind.is_file() {
            settle_file(&path, owner, hash)?;
        } else {
            let name = name.to_string_lossy();
            return Err(ObjectError::Unfit(format!(
                "`{name}` is neither a file nor a directory nor a link"
            )));
        }
    }
    Ok(())
}

/// A directory's entries in the order of their names. Entries of the standard library would each keep the directory
/// open.
fn list(dir: &Path) -> io::Result<Vec<(OsString, fs::FileType)>> {
    let entries = fs::read_dir(dir)?.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}

fn settle_file(path: &Path, owner: (u32, u32), hash: &mut Sha256) -> Result<(), ObjectError> {
    let failed = |error| ObjectError::file("read", path)(error);
    let mode = fs::symlink_metadata(path).map_err(failed)?.permissions().mode();
    let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(ObjectError::file("set the mode of", path))?;
    give(path, owner)?;
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    hash.update(if mode == 0o755 { b"\0x" } else { b"\0f" });
    hash.update(length.to_le_bytes());
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Makes a file, directory or link itself `owner`'s, without extended attributes: overlayfs would take some of them as
/// orders to hide what is below.
fn give(path: &Path, (uid, gid): (u32, u32)) -> Result<(), ObjectError> {
    let attributes = xattr::list(path).map_err(ObjectError::file("list the attributes of", path))?;
    for name in attributes.filter(|name| name.as_bytes().starts_with(b"user.")) {
        xattr::remove(path, &name).map_err(ObjectError::file("remove an attribute of", path))?;
    }
    lchown(path, Some(uid), Some(gid)).map_err(ObjectError::file("change the owner of", path))
}

/// Removes every entry of a directory whose name `is_used` does not know.
pub(super) fn sweep(dir: &Path, is_used: impl Fn(&str) -> bool) -> Result<(), ObjectError> {
    for (name, _) in list(dir).map_err(ObjectError::file("list", dir))? {
        if !name.to_str().is_some_and(&is_used) {
            let path = dir.join(name);
            remove(&path).map_err(ObjectError::file("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes a file or a whole tree, however deep it is and whatever modes its directories have; what is not there needs
/// no removal.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => {}
        Err(Errno::ENOENT) => return Ok(()),
        other => return Ok(other?),
    }
    let root = open_dir(AT_FDCWD, &CString::new(path.as_os_str().as_bytes())?)?;
    let mut moved = 0;
    // What was moved up during one round is removed in the next.
    loop {
        let before = moved;
        empty(&root, &root, 0, &mut moved)?;
        if moved == before {
            return fs::remove_dir(path);
        }
    }
}

fn empty(dir: &OwnedFd, root: &OwnedFd, depth: usize, moved: &mut u64) -> io::Result<()> {
    for name in names(dir)? {
        match unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => {}
            other => {
                other?;
                continue;
            }
        }
        if depth == REMOVAL_DEPTH {
            *moved += 1;
            renameat(dir, name.as_c_str(), root, format!(".removed-{moved}").as_str())?;
            continue;
        }
        empty(&open_dir(dir, &name)?, root, depth + 1, moved)?;
        unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(())
}

fn open_dir(dir: impl AsFd, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(dir.as_fd(), name, flags, Mode::empty()) {
        // A directory that its owner may not enter.
        Err(Errno::EACCES) => {
            fchmodat(dir.as_fd(), name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
            openat(dir.as_fd(), name, flags, Mode::empty())
        }
        opened => opened,
    }
}

fn names(dir: &OwnedFd) -> nix::Result<Vec<CString>> {
    // One that can be listed but not written to cannot be emptied either.
    let mode = fstatat(dir, c"", AtFlags::AT_EMPTY_PATH)?.st_mode;
    if mode & Mode::S_IRWXU.bits() != Mode::S_IRWXU.bits() {
        nix::sys::stat::fchmod(dir, Mode::S_IRWXU)?;
    }
    let mut listing = Dir::openat(dir, c".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let entries = listing
        .iter()
        .map(|entry| entry.map(|entry| (entry.file_name().to_owned(), entry.file_type())));
    let entries = entries.collect::<nix::Result<Vec<(CString, Option<Type>)>>>()?;
    let names = entries.into_iter().map(|(name, _)| name);
    Ok(names.filter(|name| !matches!(name.to_bytes(), b"." | b"..")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes directories in one another, deeper than any path reaches.
    fn nest(root: &Path, depth: usize) {
        let mut dir = open_dir(AT_FDCWD, &CString::new(root.as_os_str().as_bytes()).unwrap()).unwrap();
        for _ in 0..depth {
            nix::sys::stat::mkdirat(&dir, c"nested", Mode::S_IRWXU).unwrap();
            dir = open_dir(&dir, c"nested").unwrap();
        }
    }

    fn owner() -> (u32, u32) {
        (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let work = tempfile::tempdir().unwrap();
        let root = work.path().join("root");
        fs::create_dir(&root).unwrap();
        nest(&root, 5000);
        assert!(matches!(settle(&root, owner()), Err(ObjectError::Unfit(_))));
        remove(&root).unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn modes_and_links_do_not_hinder_a_removal() {
        let work = tempfile::tempdir().unwrap();
        let (root, kept) = (work.path().join("root"), work.path().join("kept"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(&kept, "x").unwrap();
        std::os::unix::fs::symlink(&kept, root.join("a/b/link")).unwrap();
        std::os::unix::fs::symlink(work.path(), root.join("a/dir")).unwrap();
        for dir in ["a/b", "a"] {
            fs::set_permissions(root.join(dir), Permissions::from_mode(0o000)).unwrap();
        }
        remove(&root).unwrap();
        assert!(kept.exists() && !root.exists());
        remove(&root).unwrap();
    }

    #[test]
    fn the_hash_is_of_names_kinds_and_contents() {
        let work = tempfile::tempdir().unwrap();
        let tree = |name: &str, file: &str, content: &str, mode| {
            let root = work.path().join(name);
            fs::create_dir(&root).unwrap();
            fs::write(root.join(file), content).unwrap();
            fs::set_permissions(root.join(file), Permissions::from_mode(mode)).unwrap();
            settle(&root, owner()).unwrap()
        };
        let first = tree("1", "a", "x", 0o600);
        assert_eq!(first, tree("2", "a", "x", 0o4644));
        assert_ne!(first, tree("3", "b", "x", 0o600));
        assert_ne!(first, tree("4", "a", "y", 0o600));
        assert_ne!(first, tree("5", "a", "x", 0o755));
    }

    #[test]
    fn extended_attributes_go() {
        let work = tempfile::tempdir().unwrap();
        if xattr::set(work.path(), "user.overlay.opaque", b"y").is_ok() {
            settle(work.path(), owner()).unwrap();
            assert_eq!(xattr::list(work.path()).unwrap().count(), 0);
        }
    }
}
