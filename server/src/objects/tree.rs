//! Trees of files that came from a sandbox: made fit to be kept, and hashed.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ObjectError;

/// Makes a tree what every reader may expect: directories, files and links only, without set-id bits, all of them
/// `owner`'s and readable; and hashes its names, kinds and contents. Nobody may write to the tree meanwhile.
pub(super) fn settle(root: &Path, owner: (u32, u32)) -> Result<String, ObjectError> {
    let mut hash = Sha256::new();
    settle_dir(root, owner, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}

fn settle_dir(dir: &Path, owner: (u32, u32), hash: &mut Sha256) -> Result<(), ObjectError> {
    fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(ObjectError::file("set the mode of", dir))?;
    give(dir, owner)?;
    let entries = fs::read_dir(dir).map_err(ObjectError::file("list", dir))?;
    let mut entries = entries
        .collect::<io::Result<Vec<_>>>()
        .map_err(ObjectError::file("list", dir))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(ObjectError::file("look at", &path))?;
        let name = entry.file_name();
        hash.update(name.as_bytes());
        if kind.is_dir() {
            hash.update(b"\0d");
            settle_dir(&path, owner, hash)?;
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

/// Makes a file, directory or link itself `owner`'s.
pub(super) fn give(path: &Path, (uid, gid): (u32, u32)) -> Result<(), ObjectError> {
    lchown(path, Some(uid), Some(gid)).map_err(ObjectError::file("change the owner of", path))
}

/// Removes every entry of a directory whose name `is_used` does not know.
pub(super) fn sweep(dir: &Path, is_used: impl Fn(&str) -> bool) -> Result<(), ObjectError> {
    for entry in fs::read_dir(dir).map_err(ObjectError::file("list", dir))?.flatten() {
        if entry.file_name().to_str().is_some_and(&is_used) {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        removed.map_err(ObjectError::file("remove", &path))?;
    }
    Ok(())
}
