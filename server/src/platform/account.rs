//! The owner: the account that a data directory starts with.

use std::path::{Path, PathBuf};

use super::{Platform, PlatformError, api_keys};
use crate::objects::{ObjectError, blocking, write_private};
use crate::store;

/// The address of the owner, who is whoever can read the data directory.
const OWNER_EMAIL: &str = "owner@localhost";

const OWNER_KEY_NAME: &str = "Owner";

/// Where the owner's API key is found in a data directory.
#[must_use]
pub fn owner_key_path(data_dir: &Path) -> PathBuf {
    data_dir.join("owner.key")
}

impl Platform {
    /// Makes the owner on the first start, and the file with the owner's key whenever it is missing.
    ///
    /// # Errors
    /// When the store or the disk fails.
    pub async fn ensure_owner(&self) -> Result<(), PlatformError> {
        let path = owner_key_path(&self.settings.data_dir);
        let owner = self.store.read(store::account::owner).await?;
        if owner.is_some() && path.exists() {
            return Ok(());
        }
        let (new, hash) = api_keys::generate(&self.world, OWNER_KEY_NAME);
        let (id, now, kept) = (self.world.id("usr"), self.world.now(), new.api_key);
        self.store
            .write(move |write| {
                let owner = match owner {
                    Some(owner) => owner,
                    None => store::account::insert(write, &id, OWNER_EMAIL, now).map(|()| id)?,
                };
                store::api_keys::insert(write, &owner, &kept, &hash)
            })
            .await?;
        let key = new.key;
        Ok(blocking(move || write_private(&path, &key).map_err(ObjectError::file("write", &path))).await?)
    }
}
