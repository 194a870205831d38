//! The content of managed files, kept by its hash, so that the same content is kept once.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::File;

use super::incoming::{Incoming, Sealed};
use super::{ObjectError, blocking};

/// The contents. Clones are of one.
#[derive(Clone)]
pub struct Blobs {
    dir: PathBuf,
    staging: PathBuf,
}

impl Blobs {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("files"),
            staging: data_dir.join("staging"),
        }
    }

    /// Begins to receive content; `name` is for this upload alone.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub async fn receive(&self, name: &str) -> Result<Incoming, ObjectError> {
        Incoming::receive(self.staging.join(name)).await
    }

    /// Keeps received content for good, under its hash.
    ///
    /// # Errors
    /// When the file cannot be moved.
    pub async fn keep(&self, content: Sealed) -> Result<(), ObjectError> {
        let (dir, hash) = (self.dir.clone(), content.hash().to_owned());
        blocking(move || content.keep(&dir, &hash)).await
    }

    /// The content with this hash, to be read; `None` where it is not kept.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn open(&self, hash: &str) -> Result<Option<File>, ObjectError> {
        let path = self.dir.join(hash);
        match File::open(&path).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ObjectError::file("open", path)(error)),
        }
    }

    /// Removes the content with this hash. Who reads it reads on.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub async fn remove(&self, hash: &str) -> Result<(), ObjectError> {
        let path = self.dir.join(hash);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ObjectError::file("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes all content whose hash is not in `used`.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn sweep(&self, used: &HashSet<String>) -> Result<(), ObjectError> {
        super::tree::sweep(&self.dir, |name| used.contains(name))
    }
}
