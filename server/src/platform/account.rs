//! Accounts and the keys that stand for them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use castari_common::account::Me;
use sha2::{Digest, Sha256};

use super::{Platform, PlatformError, World, owner_key_path};
use crate::objects::{ObjectError, blocking};
use crate::store::account::{self, NewKey};

/// `cast_` and eight characters: what may be shown of a key.
const PREFIX_CHARACTERS: usize = 13;

const SECRET_CHARACTERS: usize = 40;

/// The address of the owner, who is whoever can read the data directory.
const OWNER_EMAIL: &str = "owner@localhost";

/// How long an API key is at the most; longer ones are none and not even hashed.
const MAX_KEY_BYTES: usize = 256;

/// A key's hash.
pub type KeyHash = [u8; 32];

/// The hash by which a key is known; `None` for what cannot be a key.
#[must_use]
pub fn hash_key(key: &str) -> Option<KeyHash> {
    let is_key = key.starts_with("cast_") && key.len() <= MAX_KEY_BYTES;
    is_key.then(|| Sha256::digest(key).into())
}

/// A new key, and what is kept of it.
fn new_key(world: &World, name: &str) -> (String, NewKey) {
    let prefix = format!("cast_{}", world.characters(PREFIX_CHARACTERS - "cast_".len()));
    let key = format!("{prefix}_{}", world.characters(SECRET_CHARACTERS));
    let kept = NewKey {
        id: world.id("ak"),
        name: name.into(),
        prefix,
        hash: Sha256::digest(&key).into(),
    };
    (key, kept)
}

impl Platform {
    /// The account that a key's hash belongs to.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn authenticate(&self, hash: KeyHash) -> Result<Option<Me>, PlatformError> {
        Ok(self.store.read(move |read| account::by_key(read, &hash)).await?)
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn touch_key(&self, hash: KeyHash) -> Result<(), PlatformError> {
        let now = self.world.now();
        Ok(self
            .store
            .write(move |write| account::touch_key(write, &hash, now))
            .await?)
    }

    /// Makes the owner on the first start, and the file with the owner's key whenever it is missing.
    ///
    /// # Errors
    /// When the store or the disk fails.
    pub async fn ensure_owner(&self) -> Result<(), PlatformError> {
        let path = owner_key_path(&self.settings.data_dir);
        let owner = self.store.read(account::owner).await?;
        if owner.is_some() && path.exists() {
            return Ok(());
        }
        let (key, kept) = new_key(&self.world, "Owner");
        let (id, now) = (self.world.id("usr"), self.world.now());
        self.store
            .write(move |write| {
                let owner = match owner {
                    Some(owner) => owner,
                    None => account::insert(write, &id, OWNER_EMAIL, now).map(|()| id)?,
                };
                account::insert_key(write, &owner, &kept, now)
            })
            .await?;
        Ok(blocking(move || write_private(&path, &key).map_err(ObjectError::file("write", &path))).await?)
    }
}

/// Writes a file that only this user may read, whole or not at all.
fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    writeln!(file, "{content}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_contract_s_form() {
        let world = World::new(|| jiff::Timestamp::UNIX_EPOCH, |bytes| bytes.fill(7));
        let (key, kept) = new_key(&world, "Owner");
        assert_eq!(key, format!("cast_hhhhhhhh_{}", "h".repeat(40)));
        assert_eq!(kept.prefix, "cast_hhhhhhhh");
        assert_eq!(hash_key(&key), Some(kept.hash));
        assert_eq!(hash_key("nonsense"), None);
    }
}
