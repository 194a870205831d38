//! Uploaded archives, kept by their hash.

use std::path::{Path, PathBuf};

use super::incoming::Incoming;
use super::{ObjectError, blocking};

/// The archives. Clones are of one.
#[derive(Clone)]
pub struct Uploads {
    dir: PathBuf,
    staging: PathBuf,
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
        self.dir.join(file_name(hash))
    }

    /// Begins to receive an archive; `name` is for this upload alone.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub async fn receive(&self, name: &str) -> Result<Incoming, ObjectError> {
        Incoming::receive(self.staging.join(file_name(name))).await
    }

    /// Keeps a received archive for good; answers its SHA-256 in hexadecimal.
    ///
    /// # Errors
    /// When the file cannot be written or moved.
    pub async fn keep(&self, upload: Incoming) -> Result<String, ObjectError> {
        let sealed = upload.seal().await?;
        let (dir, hash) = (self.dir.clone(), sealed.hash().to_owned());
        blocking(move || sealed.keep(&dir, &file_name(&hash)).map(|()| hash)).await
    }

    /// Removes every archive that is not in `used`.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn sweep(&self, used: &[String]) -> Result<(), ObjectError> {
        super::tree::sweep(&self.dir, |name| used.iter().any(|hash| name == file_name(hash)))
    }
}

fn file_name(hash: &str) -> String {
    format!("{hash}.tar.gz")
}
