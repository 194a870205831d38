//! API keys: made, shown once, revoked.

use std::sync::Arc;

use castari_common::account::Me;
use castari_common::api_keys::{ApiKey, ApiKeyList, CreateApiKey, NewApiKey};
use sha2::{Digest, Sha256};

use super::{Platform, PlatformError, World};
use crate::store::api_keys;

const START: &str = "cast_";

/// How many random characters follow [`START`] in what may be shown of a key.
const PUBLIC_CHARACTERS: usize = 8;

const SECRET_CHARACTERS: usize = 40;

/// How long an API key is at the most; longer ones are none and not even hashed.
const MAX_BYTES: usize = 256;

const DEFAULT_NAME: &str = "Default";

/// A key's hash.
pub type KeyHash = [u8; 32];

/// Whether a credential is to be an API key, whatever becomes of it.
#[must_use]
pub fn is_key(credential: &str) -> bool {
    credential.starts_with(START)
}

/// The hash by which a key is known; `None` for what cannot be a key.
#[must_use]
pub fn hash(key: &str) -> Option<KeyHash> {
    (is_key(key) && key.len() <= MAX_BYTES).then(|| Sha256::digest(key).into())
}

/// A new key, and the hash that is kept of it.
pub(super) fn generate(world: &World, name: &str) -> (NewApiKey, KeyHash) {
    let prefix = format!("{START}{}", world.characters(PUBLIC_CHARACTERS));
    let key = format!("{prefix}_{}", world.characters(SECRET_CHARACTERS));
    let hash = Sha256::digest(&key).into();
    let api_key = ApiKey {
        id: world.id("ak"),
        name: name.into(),
        prefix,
        created_at: world.now(),
        last_used_at: None,
    };
    (NewApiKey { api_key, key }, hash)
}

impl Platform {
    /// The account that a key's hash belongs to.
    ///
    /// # Errors
    /// When the store fails.
    pub fn authenticate(&self, hash: KeyHash) -> Result<Option<Arc<Me>>, PlatformError> {
        let found = self.store.recall(&self.memory.callers, hash, |read| {
            Ok(api_keys::owner(read, &hash)?.map(Arc::new))
        });
        Ok(found?)
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn touch_api_key(&self, hash: KeyHash) -> Result<(), PlatformError> {
        let now = self.world.now();
        Ok(self
            .store
            .write(move |write| api_keys::touch(write, &hash, now))
            .await?)
    }

    /// A user's API keys.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn api_keys(&self, user_id: &str) -> Result<ApiKeyList, PlatformError> {
        let user_id = user_id.to_owned();
        let api_keys = self.store.read(move |read| api_keys::list(read, &user_id)).await?;
        Ok(ApiKeyList { api_keys })
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn create_api_key(&self, user_id: &str, create: CreateApiKey) -> Result<NewApiKey, PlatformError> {
        let (new, hash) = generate(&self.world, create.name.as_deref().unwrap_or(DEFAULT_NAME));
        let (user_id, kept) = (user_id.to_owned(), new.api_key.clone());
        self.store
            .write(move |write| api_keys::insert(write, &user_id, &kept, &hash))
            .await?;
        Ok(new)
    }

    /// Revokes a user's API key; answers whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_api_key(&self, user_id: &str, id: &str) -> Result<bool, PlatformError> {
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        Ok(self
            .store
            .write(move |write| api_keys::delete(write, &user_id, &id))
            .await?)
    }

    /// Revokes the API key with this hash.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_api_key_by_hash(&self, hash: KeyHash) -> Result<(), PlatformError> {
        Ok(self
            .store
            .write(move |write| api_keys::delete_by_hash(write, &hash))
            .await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_contract_s_form() {
        let world = World::new(|| jiff::Timestamp::UNIX_EPOCH, |bytes| bytes.fill(7));
        let (new, kept) = generate(&world, "Owner");
        assert_eq!(new.key, format!("cast_hhhhhhhh_{}", "h".repeat(40)));
        assert_eq!(new.api_key.prefix, "cast_hhhhhhhh");
        assert_eq!(hash(&new.key), Some(kept));
        assert_eq!(hash("nonsense"), None);
    }

    #[test]
    fn a_key_is_not_in_its_debug_text() {
        let world = World::new(|| jiff::Timestamp::UNIX_EPOCH, |bytes| bytes.fill(7));
        let (new, _) = generate(&world, "Owner");
        assert!(!format!("{new:?}").contains(&new.key));
    }
}
