//! Uploaded archives, kept by their hash.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::ObjectError;

/// The archives. Clones are of one.
#[derive(Clone)]
pub struct Uploads {
    dir: PathBuf,
    staging: PathBuf,
}

/// An archive that arrives. Dropped before it is kept, it leaves nothing.
pub struct Upload {
    file: File,
    path: PathBuf,
    hash: Sha256,
    length: u64,
}

impl Uploads {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("uploads"),
            staging: data_dir.join("staging"),
        }
    }

    /// Where the archive with this hash is.
    #[must_use]
    pub fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.tar.gz"))
    }

    /// Begins to receive an archive; `name` is for this upload alone.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub async fn receive(&self, name: &str) -> Result<Upload, ObjectError> {
        let path = self.staging.join(format!("{name}.tar.gz"));
        let file = File::create_new(&path)
            .await
            .map_err(ObjectError::file("make", &path))?;
        Ok(Upload {
            file,
            path,
            hash: Sha256::new(),
            length: 0,
        })
    }

    /// Keeps a received archive for good; answers its SHA-256 in hexadecimal.
    ///
    /// # Errors
    /// When the file cannot be written or moved.
    pub async fn keep(&self, mut upload: Upload) -> Result<String, ObjectError> {
        upload.flush().await?;
        upload
            .file
            .sync_all()
            .await
            .map_err(ObjectError::file("write", &upload.path))?;
        let hash = hex::encode(std::mem::take(&mut upload.hash).finalize());
        let path = self.path(&hash);
        tokio::fs::rename(&upload.path, &path)
            .await
            .map_err(ObjectError::file("keep", &path))?;
        Ok(hash)
    }

    /// Removes every archive that is not in `used`.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn sweep(&self, used: &[String]) -> Result<(), ObjectError> {
        super::tree::sweep(&self.dir, |name| {
            used.iter().any(|hash| name == format!("{hash}.tar.gz"))
        })
    }
}

impl Upload {
    /// Adds to the archive.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), ObjectError> {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .await
            .map_err(ObjectError::file("write", &self.path))
    }

    /// Where the archive is until it is kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes what was written visible to readers of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn flush(&mut self) -> Result<(), ObjectError> {
        self.file.flush().await.map_err(ObjectError::file("write", &self.path))
    }

    /// How many bytes have arrived.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Gone already where it was kept.
        let _ = std::fs::remove_file(&self.path);
    }
}
