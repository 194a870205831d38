//! What is kept on disk beside the database: uploaded archives, built code, deployment logs, managed files; and the
//! buckets of object stores.
//!
//! ```text
//! DATA_DIR/
//!   uploads/SHA256.tar.gz    archives, by their hash
//!   code/HASH/               built trees, by the hash of their content
//!   logs/DEPLOYMENT.log      what deployments logged
//!   files/SHA256             the content of managed files, by its hash
//!   staging/                 what is not finished; emptied at each start
//! ```

mod blobs;
pub mod buckets;
mod code;
mod incoming;
mod logs;
mod tree;
mod uploads;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use blobs::Blobs;
pub use code::{Code, CodeLease, Settled};
pub use incoming::{Incoming, Sealed};
pub use logs::{DeployLog, LogReader, Logs};
pub use uploads::Uploads;

/// Why something on disk could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A file operation failed.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A built tree holds something that cannot be kept.
    #[error("{0}")]
    Unfit(String),
    /// The background task that did the work ended early.
    #[error("the work on disk was interrupted")]
    Interrupted,
}

impl ObjectError {
    /// For `map_err`: what was tried on what.
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// Everything on disk, and the way to what is elsewhere.
pub struct Objects {
    root: PathBuf,
    /// Uploaded archives.
    pub uploads: Uploads,
    /// Built trees.
    pub code: Code,
    /// Deployment logs.
    pub logs: Logs,
    /// The content of managed files.
    pub blobs: Blobs,
    /// Places in object stores.
    pub buckets: buckets::Buckets,
}

impl Objects {
    /// Prepares the directories of a data directory, and empties the staging of an earlier run. Trees will belong to
    /// `owner` (user, group), as whom sandboxes run.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(data_dir: &Path, owner: (u32, u32)) -> Result<Self, ObjectError> {
        let staging = data_dir.join("staging");
        if let Err(error) = tree::remove(&staging) {
            tracing::warn!(%error, path = %staging.display(), "what an earlier run left cannot all be removed");
        }
        for name in ["staging", "uploads", "code", "logs", "files"] {
            private_dir(&data_dir.join(name))?;
        }
        sync_dir(data_dir)?;
        Ok(Self {
            root: data_dir.into(),
            uploads: Uploads::new(data_dir),
            code: Code::new(data_dir, owner),
            logs: Logs::new(data_dir),
            blobs: Blobs::new(data_dir),
            buckets: buckets::Buckets::new()?,
        })
    }

    /// A path from the data directory.
    #[must_use]
    pub fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).into()
    }

    /// A new private directory that is removed when it is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn staging(&self, name: &str) -> Result<Staging, ObjectError> {
        let path = self.root.join("staging").join(name);
        private_dir(&path)?;
        Ok(Staging { path })
    }
}

/// A directory for something unfinished.
pub struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    /// Removes the directory before anything is answered. It may hold a hundred thousand files: other tasks are not to
    /// wait meanwhile.
    fn drop(&mut self) {
        if let Err(error) = tokio::task::block_in_place(|| tree::remove(&self.path)) {
            tracing::warn!(%error, path = %self.path.display(), "an unfinished directory cannot be removed");
        }
    }
}

/// Makes a directory, and those above it, that only this user may enter.
///
/// # Errors
/// When it cannot be made, or exists and is somebody else's.
pub fn private_dir(path: &Path) -> Result<(), ObjectError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(ObjectError::file("make directory", path))?;
    let found = fs::metadata(path).map_err(ObjectError::file("look at", path))?;
    if found.uid() != nix::unistd::geteuid().as_raw() {
        let theirs = io::Error::other("it belongs to another user");
        return Err(ObjectError::file("use directory", path)(theirs));
    }
    if found.mode() & 0o777 != 0o700 {
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, mode).map_err(ObjectError::file("make private", path))?;
    }
    Ok(())
}

/// Writes a line to a file that only this user may read, whole or not at all.
pub(crate) fn write_private(path: &Path, line: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// Puts on disk which entries a directory has. Blocks.
fn sync_dir(dir: &Path) -> Result<(), ObjectError> {
    let open = fs::File::open(dir).map_err(ObjectError::file("open", dir))?;
    open.sync_all().map_err(ObjectError::file("sync", dir))
}

/// Runs blocking work on disk where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ObjectError::Interrupted)?
}
