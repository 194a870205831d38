//! Clients of object stores.
//!
//! They know a bucket by what its owner said of it, and never take anything from the machine: no variable, no file, no
//! metadata service. What a store answers is foreign: little of it is read, and nothing of it repeated.

mod addresses;
mod gcs;
mod s3;
mod wire;

use std::error::Error;
use std::time::Duration;

use castari_common::buckets::{Bucket, BucketFile, Provider};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use serde::{Deserialize, Serialize};

pub use addresses::base;
use gcs::Gcs;
use wire::Wire;

/// How long anything may take that asks a store.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many pages a list may take. Stores may answer with less than what was asked for, but not for ever.
const MAX_PAGES: usize = 20;

/// Why a bucket could not be used. Each says it to its owner.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BucketError {
    /// No connection, or one that broke off.
    #[error("The store cannot be reached: {0}")]
    Unreachable(&'static str),
    /// No answer within the time there is.
    #[error("The store did not answer in time")]
    TimedOut,
    /// An address that no store has.
    #[error("The store's address is link-local, and not asked")]
    LinkLocal,
    /// The store does not let us in.
    #[error("Access denied by the store: {0}")]
    AccessDenied(&'static str),
    /// The store has no such bucket.
    #[error("The store has no such bucket")]
    Missing,
    /// The store has it in another region.
    #[error("The bucket is in another region or at another address{}", .0.as_ref().map(|region| format!(": its region is {region}")).unwrap_or_default())]
    Elsewhere(Option<String>),
    /// Something else answers there.
    #[error("What answers there is not an object store")]
    NotAStore,
    /// The store has a trouble of its own.
    #[error("The store could not do it (status {0}{1})")]
    Failing(u16, String),
    /// Credentials that are none.
    #[error("The credentials cannot be used: {0}")]
    Unusable(&'static str),
    /// A key that cannot be named exactly.
    #[error("a key must not end in `/`, nor have empty parts, parts that are `.` or `..`, or control characters")]
    UnfitKey,
    /// A directory with such keys in it.
    #[error("Something there has a name that cannot be shown, with empty parts or parts that are `.` or `..`")]
    UnfitDirectory,
}

impl BucketError {
    /// The same for a program.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::LinkLocal | Self::Failing(..) => "bucket_unreachable",
            Self::TimedOut => "bucket_timed_out",
            Self::AccessDenied(_) => "bucket_access_denied",
            Self::Missing => "bucket_missing",
            Self::Elsewhere(_) => "bucket_elsewhere",
            Self::NotAStore => "bucket_not_a_store",
            Self::Unusable(_) => "credentials_unusable",
            Self::UnfitKey | Self::UnfitDirectory => "bucket_key_unfit",
        }
    }
}

/// What a store knows us by. It has no `Debug`, so that it cannot get into a log.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// For S3 and R2.
    AccessKey {
        /// The public half.
        id: String,
        /// The secret half.
        secret: String,
    },
    /// For Google Cloud Storage.
    ServiceAccount(ServiceAccount),
}

/// What is used of a service account's key file. The rest could send requests elsewhere, and is forgotten.
#[derive(Deserialize, Serialize)]
pub struct ServiceAccount {
    private_key: String,
    private_key_id: String,
    client_email: String,
}

/// A part of a list.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files and directories, by path.
    pub files: Vec<BucketFile>,
    /// Whether there are more.
    pub truncated: bool,
}

/// The way to all buckets.
pub struct Buckets {
    wire: Wire,
}

/// A bucket that can be asked.
pub struct Remote {
    store: Store,
}

enum Store {
    S3(AmazonS3),
    Gcs(Gcs),
}

/// What of a list is wanted next.
struct Wanted<'a> {
    prefix: &'a str,
    count: usize,
    after: Option<String>,
}

/// A page of a list, and how to get the next one.
struct Page {
    files: Vec<BucketFile>,
    next: Option<String>,
}

impl Buckets {
    /// # Errors
    /// When no connection could ever be made, as without any certificate authority.
    pub(super) fn new() -> Result<Self, super::ObjectError> {
        let wire =
            Wire::new().map_err(|error| super::ObjectError::Unfit(format!("no HTTP client can be made: {error}")))?;
        Ok(Self { wire })
    }

    /// A bucket by what its owner said of it. Nothing is asked yet.
    ///
    /// # Errors
    /// When what is known of it cannot be used.
    pub fn open(&self, bucket: &Bucket, credentials: Option<&Credentials>) -> Result<Remote, BucketError> {
        let base = bucket.endpoint_url.as_deref().map(base).transpose();
        let base = base.map_err(|_| BucketError::Unreachable("its address cannot be used"))?;
        let store = match bucket.provider {
            Provider::S3 | Provider::R2 => Store::S3(s3::open(&self.wire, bucket, base, credentials)?),
            Provider::Gcs => Store::Gcs(Gcs::open(&self.wire, bucket, base, credentials)?),
        };
        Ok(Remote { store })
    }
}

impl Remote {
    /// What lies in the directory that a prefix names, or begins as it ends: at most `most` files and directories.
    ///
    /// # Errors
    /// When the store cannot be reached, or says no.
    pub async fn list(&self, prefix: &str, most: usize) -> Result<Listing, BucketError> {
        let listed = tokio::time::timeout(PATIENCE, self.pages(prefix, most)).await;
        listed.unwrap_or(Err(BucketError::TimedOut))
    }

    async fn pages(&self, prefix: &str, most: usize) -> Result<Listing, BucketError> {
        let mut files = Vec::new();
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let count = most - files.len();
            let wanted = Wanted { prefix, count, after };
            let mut page = match &self.store {
                Store::S3(store) => s3::list(store, wanted).await?,
                Store::Gcs(store) => store.list(wanted).await?,
            };
            files.append(&mut page.files);
            after = page.next;
            if after.is_none() || files.len() >= most {
                break;
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let truncated = after.is_some() || files.len() > most;
        files.truncate(most);
        Ok(Listing { files, truncated })
    }

    /// A URL by which whoever has it may do one thing with one key for a while.
    ///
    /// # Errors
    /// When the key cannot be named exactly.
    pub async fn sign(&self, method: Method, key: &str, for_how_long: Duration) -> Result<String, BucketError> {
        let path = exact(key)?;
        let signed = match &self.store {
            Store::S3(store) => store.signed_url(method, &path, for_how_long).await,
            Store::Gcs(store) => store.sign(method, &path, for_how_long).await,
        };
        signed.map(String::from).map_err(|error| cause(&error))
    }
}

/// A key as the client names it, if that is exactly as it was given.
fn exact(key: &str) -> Result<Path, BucketError> {
    let path = Path::parse(key)
        .ok()
        .filter(|path| !key.is_empty() && path.as_ref() == key);
    path.ok_or(BucketError::UnfitKey)
}

/// Checks that a key can be named exactly.
///
/// # Errors
/// When it cannot.
pub fn check_key(key: &str) -> Result<(), BucketError> {
    exact(key).map(drop)
}

fn directory(path: String) -> BucketFile {
    BucketFile {
        path,
        size: 0,
        last_modified: None,
        is_directory: true,
    }
}

/// What [`Wire`] said, below what the client made of it.
fn cause(error: &object_store::Error) -> BucketError {
    if matches!(error, object_store::Error::InvalidPath { .. }) {
        return BucketError::UnfitDirectory;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<BucketError>() {
            return error.clone();
        }
        cause = error.source();
    }
    BucketError::NotAStore
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_exact_or_refused() {
        for key in [
            "a",
            "a b/c",
            "a%20b",
            "a%2Fb",
            "ä/日本語",
            "a?b#c",
            "a\\b",
            "...",
            "a+b",
            "~",
            "a/.b/..c",
        ] {
            assert_eq!(exact(key).unwrap().as_ref(), key);
        }
        for key in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b", "a\nb", "a\u{7f}b",
        ] {
            assert!(exact(key).is_err(), "{key:?}");
        }
    }
}
