//! Built trees, kept by the hash of their content.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ObjectError, Staging, blocking, tree};

/// The trees. Clones are of one.
#[derive(Clone)]
pub struct Code {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    staging: PathBuf,
    owner: (u32, u32),
    users: Mutex<HashMap<String, Users>>,
}

/// Who uses a tree, and whether it is to go when the last one is done.
#[derive(Default)]
struct Users {
    count: usize,
    is_discarded: bool,
}

/// Keeps a tree where it is for as long as somebody runs it.
pub struct CodeLease {
    shared: Arc<Shared>,
    hash: String,
}

impl Code {
    pub(super) fn new(data_dir: &Path, owner: (u32, u32)) -> Self {
        Self {
            shared: Arc::new(Shared {
                dir: data_dir.join("code"),
                staging: data_dir.join("staging"),
                owner,
                users: Mutex::default(),
            }),
        }
    }

    /// Makes a tree the sandboxes' own, so that a build may write to it.
    ///
    /// # Errors
    /// When the owner cannot be changed.
    pub async fn hand_over(&self, dir: PathBuf) -> Result<(), ObjectError> {
        let owner = self.shared.owner;
        blocking(move || tree::settle(&dir, owner).map(drop)).await
    }

    /// Prepares a built tree, which nobody may write to any more, to be kept. What takes time is done here.
    ///
    /// # Errors
    /// When the tree holds what cannot be kept.
    pub async fn settle(&self, staging: Staging) -> Result<Settled, ObjectError> {
        let owner = self.shared.owner;
        blocking(move || {
            let hash = tree::settle(staging.path(), owner)?;
            // What the database will call served has to be on disk, not only in memory.
            let dir = fs::File::open(staging.path()).map_err(ObjectError::file("open", staging.path()))?;
            let synced = nix::unistd::syncfs(&dir).map_err(io::Error::from);
            synced.map_err(ObjectError::file("sync", staging.path()))?;
            Ok(Settled { staging, hash })
        })
        .await
    }

    /// Keeps a settled tree; answers its hash.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn keep(&self, settled: Settled) -> Result<String, ObjectError> {
        let Settled { staging, hash } = settled;
        let path = self.shared.dir.join(&hash);
        let mut users = self.shared.users();
        if let Some(users) = users.get_mut(&hash) {
            users.is_discarded = false;
        }
        if !path.exists() {
            fs::rename(staging.path(), &path).map_err(ObjectError::file("keep", &path))?;
            super::sync_dir(&self.shared.dir)?;
        }
        Ok(hash)
    }

    /// Keeps a tree from being removed while the lease lives; `None` where it is gone already.
    #[must_use]
    pub fn lease(&self, hash: &str) -> Option<CodeLease> {
        let mut users = self.shared.users();
        if !self.shared.dir.join(hash).exists() {
            return None;
        }
        users.entry(hash.to_owned()).or_default().count += 1;
        Some(CodeLease {
            shared: Arc::clone(&self.shared),
            hash: hash.to_owned(),
        })
    }

    /// Removes every tree that is not in `used`; one that somebody still runs, as soon as nobody does.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn discard_all_but(&self, used: &[String]) -> Result<(), ObjectError> {
        let dir = &self.shared.dir;
        for entry in fs::read_dir(dir).map_err(ObjectError::file("list", dir))?.flatten() {
            let name = entry.file_name();
            if let Some(hash) = name.to_str().filter(|name| !used.iter().any(|hash| hash == name)) {
                self.discard(hash);
            }
        }
        Ok(())
    }

    fn discard(&self, hash: &str) {
        match self.shared.users().get_mut(hash) {
            Some(users) => users.is_discarded = true,
            None => self.shared.remove(hash),
        }
    }
}

/// A tree that is ready to be kept.
pub struct Settled {
    staging: Staging,
    hash: String,
}

impl Shared {
    fn users(&self) -> MutexGuard<'_, HashMap<String, Users>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a tree out of the way at once, while the users are locked; removing it takes its time elsewhere.
    fn remove(&self, hash: &str) {
        let doomed = self.staging.join(format!("removed-{hash}"));
        if fs::rename(self.dir.join(hash), &doomed).is_ok() {
            std::thread::spawn(move || tree::remove(&doomed));
        }
    }
}

impl CodeLease {
    /// Where the tree is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.shared.dir.join(&self.hash)
    }
}

impl Drop for CodeLease {
    fn drop(&mut self) {
        let mut users = self.shared.users();
        let Some(entry) = users.get_mut(&self.hash) else {
            return;
        };
        entry.count -= 1;
        if entry.count == 0 && users.remove(&self.hash).is_some_and(|users| users.is_discarded) {
            self.shared.remove(&self.hash);
        }
    }
}
