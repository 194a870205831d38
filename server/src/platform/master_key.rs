//! The master key: found or made at the start, and rotated on demand.
//!
//! The database notes which key everything is sealed with. A rotation keeps the new key beside the old one until the
//! database is sealed with it, and only then puts it in the old one's place; so that whenever it is cut off, the key
//! that the database needs is there, and the next start finds out which of the two it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::vault::{MasterKey, Unopened, Vault};
use super::{World, buckets, secrets};
use crate::objects::{ObjectError, write_private};
use crate::settings::{MASTER_KEY_VARIABLE, MasterKeySource};
use crate::store::{self, Store, StoreError};

/// Why there is no master key to work with.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// A file holds something else.
    #[error("{} holds no master key: 64 hexadecimal digits", .0.display())]
    NoKey(PathBuf),
    /// The key is not the one that the database is sealed with, or there is none.
    #[error(
        "the secrets in the database are sealed with another master key (fingerprint {expected}) than {found}: \
        put that key back"
    )]
    Another {
        /// The fingerprint of the key that is needed.
        expected: String,
        /// What was found instead, and where.
        found: String,
    },
    /// A rotation of a key that comes from the environment, without the new one.
    #[error(
        "the master key comes from {MASTER_KEY_VARIABLE}: give the new one, 64 hexadecimal digits, in {}",
        NEW_KEY_VARIABLE
    )]
    NoNewKey,
    /// Something in the database does not open.
    #[error(transparent)]
    Unopened(#[from] Unopened),
    /// The disk failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The variable with the new key for a rotation, where the old one comes from the environment too.
pub const NEW_KEY_VARIABLE: &str = "CASTARI_NEW_MASTER_KEY";

/// The vault that the database is sealed with. The first start makes the key.
///
/// # Errors
/// When the key is missing or another one, or the disk or the store fails.
pub async fn vault(source: &MasterKeySource, store: &Store, world: &World) -> Result<Vault, MasterKeyError> {
    let expected = store.read(store::master_key::fingerprint).await?;
    let key = match source {
        MasterKeySource::Given(key) => key.clone(),
        MasterKeySource::File(path) => from_file(path, expected.as_deref(), world)?,
    };
    let vault = Vault::new(&key);
    let fingerprint = vault.fingerprint().to_owned();
    match expected {
        Some(expected) if expected == fingerprint => {}
        Some(expected) => {
            let found = format!("{} ({fingerprint})", source.name());
            return Err(MasterKeyError::Another { expected, found });
        }
        None => {
            let note = move |write: &store::Write<'_>| store::master_key::set_fingerprint(write, &fingerprint);
            store.write(note).await?;
        }
    }
    Ok(vault)
}

/// Seals everything with a new key.
///
/// # Errors
/// As [`vault`], and when something does not open; then nothing is changed.
pub async fn rotate(
    source: &MasterKeySource,
    new: Option<MasterKey>,
    store: &Store,
    world: &World,
) -> Result<(), MasterKeyError> {
    let old = vault(source, store, world).await?;
    let key = match (source, new) {
        (_, Some(new)) => new,
        (MasterKeySource::File(_), None) => MasterKey::generate(world),
        (MasterKeySource::Given(_), None) => return Err(MasterKeyError::NoNewKey),
    };
    let new = Vault::new(&key);
    if let MasterKeySource::File(path) = source {
        let next = next_to(path);
        write_private(&next, &key.to_hex()).map_err(ObjectError::file("write", &next))?;
    }
    reseal(store, world, &old, &new).await?;
    if let MasterKeySource::File(path) = source {
        put_in_place(path)?;
    }
    Ok(())
}

/// Opens everything sealed with the old vault and seals it with the new one, all or nothing.
async fn reseal(store: &Store, world: &World, old: &Vault, new: &Vault) -> Result<(), MasterKeyError> {
    let mut sealed = store.read(store::secrets::all_sealed).await?;
    for secret in &mut sealed {
        let place = secrets::place(&secret.agent_id, &secret.key);
        secret.sealed = new.seal(world, &place, &old.open(&place, &secret.sealed)?);
    }
    let mut credentials = store.read(store::buckets::all_credentials).await?;
    for (bucket_id, sealed) in &mut credentials {
        let place = buckets::place(bucket_id);
        *sealed = new.seal(world, &place, &old.open(&place, sealed)?);
    }
    let fingerprint = new.fingerprint().to_owned();
    let resealed = store.write(move |write| {
        for secret in &sealed {
            store::secrets::reseal(write, secret)?;
        }
        for (bucket_id, sealed) in &credentials {
            store::buckets::reseal_credentials(write, bucket_id, sealed)?;
        }
        store::master_key::set_fingerprint(write, &fingerprint)
    });
    Ok(resealed.await?)
}

/// The key in a file. Where a rotation was cut off, the file beside it may hold the key that is expected.
fn from_file(path: &Path, expected: Option<&str>, world: &World) -> Result<MasterKey, MasterKeyError> {
    let is_expected = |key: &MasterKey| expected.is_none_or(|expected| Vault::new(key).fingerprint() == expected);
    let found = read(path)?;
    if let Some(key) = found.as_ref().filter(|key| is_expected(key)) {
        // A rotation that did not get as far as the database.
        let _ = fs::remove_file(next_to(path));
        return Ok(key.clone());
    }
    if let Some(key) = read(&next_to(path))?.filter(|key| expected.is_some() && is_expected(key)) {
        put_in_place(path)?;
        return Ok(key);
    }
    match (found, expected) {
        (Some(key), _) => Ok(key),
        (None, None) => {
            let key = MasterKey::generate(world);
            write_private(path, &key.to_hex()).map_err(ObjectError::file("write", path))?;
            Ok(key)
        }
        (None, Some(expected)) => Err(MasterKeyError::Another {
            expected: expected.into(),
            found: format!("none in {}", path.display()),
        }),
    }
}

fn read(path: &Path) -> Result<Option<MasterKey>, MasterKeyError> {
    match fs::read_to_string(path) {
        Ok(text) => match MasterKey::from_hex(&text) {
            Some(key) => Ok(Some(key)),
            None => Err(MasterKeyError::NoKey(path.into())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ObjectError::file("read", path)(error).into()),
    }
}

/// Where a rotation keeps the new key until the database is sealed with it.
fn next_to(path: &Path) -> PathBuf {
    path.with_extension("next")
}

fn put_in_place(path: &Path) -> Result<(), ObjectError> {
    let next = next_to(path);
    fs::rename(&next, path).map_err(ObjectError::file("move", &next))?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(ObjectError::file("sync", dir))
}
