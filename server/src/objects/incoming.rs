//! What arrives: written to a file of its own, and hashed meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::ObjectError;

/// Something that arrives. Dropped before it is kept, it leaves nothing.
pub struct Incoming {
    file: File,
    place: Unfinished,
    hash: Sha256,
    length: u64,
}

/// What has arrived whole and is on disk. Dropped before it is kept, it leaves nothing.
pub struct Sealed {
    place: Unfinished,
    hash: String,
    length: u64,
}

/// A file that goes when this does, unless it was moved.
struct Unfinished(PathBuf);

impl Incoming {
    /// Begins to receive something at a path that is for this alone.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) async fn receive(path: PathBuf) -> Result<Self, ObjectError> {
        let file = File::create_new(&path)
            .await
            .map_err(ObjectError::file("make", &path))?;
        Ok(Self {
            file,
            place: Unfinished(path),
            hash: Sha256::new(),
            length: 0,
        })
    }

    /// Adds to it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), ObjectError> {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .await
            .map_err(ObjectError::file("write", self.path()))
    }

    /// Where it is until it is kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.0
    }

    /// Makes what was written visible to readers of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn flush(&mut self) -> Result<(), ObjectError> {
        self.file.flush().await.map_err(ObjectError::file("write", self.path()))
    }

    /// How many bytes have arrived.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Puts all that has arrived on disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn seal(mut self) -> Result<Sealed, ObjectError> {
        self.flush().await?;
        let synced = self.file.sync_all().await;
        synced.map_err(ObjectError::file("write", self.path()))?;
        Ok(Sealed {
            place: self.place,
            hash: hex::encode(self.hash.finalize()),
            length: self.length,
        })
    }
}

impl Sealed {
    /// The SHA-256, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Keeps it in a directory for good, in the place of what has that name there. Blocks.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub(super) fn keep(self, dir: &Path, name: &str) -> Result<(), ObjectError> {
        let path = dir.join(name);
        fs::rename(&self.place.0, &path).map_err(ObjectError::file("keep", &path))?;
        super::sync_dir(dir)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already where it was kept.
        let _ = fs::remove_file(&self.0);
    }
}
