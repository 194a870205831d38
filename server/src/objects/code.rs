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

    /// Keeps a built tree, which nobody may write to any more; answers its hash.
    ///
    /// # Errors
    /// When the tree holds what cannot be kept, or cannot be moved.
    pub async fn keep(&self, staging: Staging) -> Result<String, ObjectError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let hash = tree::settle(staging.path(), shared.owner)?;
            let path = shared.dir.join(&hash);
            if !path.exists() {
                // What the database will call served has to be on disk, not only in memory.
                let dir = fs::File::open(&shared.dir).map_err(ObjectError::file("open", &shared.dir))?;
                nix::unistd::syncfs(&dir)
                    .map_err(io::Error::from)
                    .map_err(ObjectError::file("sync", &shared.dir))?;
                fs::rename(staging.path(), &path).map_err(ObjectError::file("keep", &path))?;
                dir.sync_all().map_err(ObjectError::file("sync", &shared.dir))?;
            }
            if let Some(users) = shared.users().get_mut(&hash) {
                users.is_discarded = false;
            }
            Ok(hash)
        })
        .await
    }

    /// Keeps a tree from being removed while the lease lives.
    #[must_use]
    pub fn lease(&self, hash: &str) -> CodeLease {
        self.shared.users().entry(hash.to_owned()).or_default().count += 1;
        CodeLease {
            shared: Arc::clone(&self.shared),
            hash: hash.to_owned(),
        }
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
        if let Some(users) = self.shared.users().get_mut(hash) {
            users.is_discarded = true;
            return;
        }
        self.shared.remove(hash);
    }
}

impl Shared {
    fn users(&self) -> MutexGuard<'_, HashMap<String, Users>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves a tree out of the way at once; removing it takes its time elsewhere.
    fn remove(&self, hash: &str) {
        let doomed = self.staging.join(format!("removed-{hash}"));
        if fs::rename(self.dir.join(hash), &doomed).is_ok() {
            std::thread::spawn(move || fs::remove_dir_all(doomed));
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
