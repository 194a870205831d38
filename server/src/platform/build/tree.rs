//! Reading a tree that somebody else made: no path leads out of it, whatever links it holds.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::BuildError;
use crate::objects::ObjectError;

/// A directory that nothing is read outside of.
pub(super) struct Tree(OwnedFd);

impl Tree {
    pub fn open(path: &Path) -> Result<Self, BuildError> {
        let dir = File::open(path).map_err(ObjectError::file("open", path))?;
        Ok(Self(dir.into()))
    }

    /// The text of a regular file of at most `limit` bytes; `None` where there is no file.
    pub fn text(&self, path: &str, limit: u64) -> Result<Option<String>, BuildError> {
        let Some(file) = self.file(path)? else {
            return Ok(None);
        };
        let failed = |error: io::Error| BuildError::failed(format!("{path} cannot be read: {error}"));
        let mut text = String::new();
        file.take(limit + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > limit {
            return Err(BuildError::failed(format!("{path} is longer than {limit} bytes")));
        }
        Ok(Some(text))
    }

    /// Whether there is a regular file.
    pub fn has_file(&self, path: &str) -> Result<bool, BuildError> {
        Ok(self.file(path)?.is_some())
    }

    fn file(&self, path: &str) -> Result<Option<File>, BuildError> {
        // Not to wait for the other end of a pipe that has a file's name.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = match openat2(&self.0, path, how).map(File::from).map_err(io::Error::from) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            Err(error) if error.raw_os_error() == Some(nix::libc::EXDEV) => {
                return Err(BuildError::failed(format!("{path} leads out of the agent's folder")));
            }
            Err(error) => return Err(BuildError::failed(format!("{path} cannot be opened: {error}"))),
        };
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Ok(is_file.then_some(file))
    }
}
