//! Buckets: made known, tried, listed, forgotten. What is in them stays at their stores.

use std::time::Duration;

use castari_common::buckets::{
    Bucket, BucketCredentials, BucketFileList, BucketFilesFilter, BucketList, BucketTest, CreateBucket, Provider,
    SignUrl, SignedUrl, UpdateBucket,
};
use castari_common::events::EventKind;
use castari_common::{Meta, Page};
use jiff::SignedDuration;
use tokio::time::Instant;

use super::vault::Unopened;
use super::{Platform, PlatformError, slug};
use crate::objects::buckets::{self as stores, BucketError, Credentials, ServiceAccount};
use crate::store::buckets;

/// The longest name that S3 and R2 give a bucket, in characters.
const MAX_S3_NAME: usize = 63;

/// The longest key of any store, in bytes.
pub(super) const MAX_KEY: usize = 1024;

/// How many files and directories are listed at the most.
const MAX_FILES: usize = 1000;

const DEFAULT_EXPIRY_SECONDS: u32 = 3600;

/// What a signed URL is for.
#[derive(Clone, Copy, Debug)]
pub enum Transfer {
    /// To send a file.
    Upload,
    /// To read one.
    Download,
}

impl Transfer {
    fn method(self) -> reqwest::Method {
        match self {
            Self::Upload => reqwest::Method::PUT,
            Self::Download => reqwest::Method::GET,
        }
    }
}

impl From<BucketError> for PlatformError {
    fn from(error: BucketError) -> Self {
        Self::rejected(error.code(), error.to_string())
    }
}

impl Platform {
    /// A page of a user's buckets.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn buckets(&self, user_id: &str, page: Page) -> Result<BucketList, PlatformError> {
        let user_id = user_id.to_owned();
        let listed = self.store.read(move |read| buckets::list(read, &user_id, page));
        let (buckets, total) = listed.await?;
        let meta = Meta::new(total, page);
        Ok(BucketList { buckets, meta })
    }

    /// A user's bucket.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn bucket(&self, user_id: &str, slug: &str) -> Result<Bucket, PlatformError> {
        let found = self.store.look_up(|read| buckets::by_slug(read, user_id, slug))?;
        found.ok_or(NOT_FOUND)
    }

    /// Makes a bucket known.
    ///
    /// # Errors
    /// `slug_taken`, what is wrong with a field, or when the store fails.
    pub async fn create_bucket(&self, user_id: &str, create: CreateBucket) -> Result<Bucket, PlatformError> {
        check_name(create.provider, &create.bucket_name)?;
        check_endpoint(create.provider, create.endpoint_url.as_deref())?;
        let now = self.world.now();
        let mut bucket = Bucket {
            id: self.world.id("bkt"),
            user_id: user_id.into(),
            slug: create.slug.unwrap_or_default(),
            name: create.name,
            provider: create.provider,
            bucket_name: create.bucket_name,
            region: create.region,
            endpoint_url: create.endpoint_url,
            has_credentials: false,
            created_at: now,
            updated_at: now,
        };
        let inserted = self.store.write(move |write| {
            let is_taken = |slug: &str| Ok(buckets::by_slug(write, &bucket.user_id, slug)?.is_some());
            if bucket.slug.is_empty() {
                bucket.slug = slug::free(&slug::of(&bucket.name, "bucket"), is_taken)?;
            } else if is_taken(&bucket.slug)? {
                return Ok(Err(bucket.slug));
            }
            buckets::insert(write, &bucket)?;
            Ok(Ok(bucket))
        });
        let bucket = inserted
            .await?
            .map_err(|slug| PlatformError::rejected("slug_taken", format!("The slug `{slug}` is taken")))?;
        self.tell_of_bucket(&bucket);
        Ok(bucket)
    }

    /// Changes a bucket.
    ///
    /// # Errors
    /// When there is none, what is wrong with a field, or when the store fails.
    pub async fn update_bucket(
        &self,
        user_id: &str,
        slug: &str,
        change: UpdateBucket,
    ) -> Result<Bucket, PlatformError> {
        let bucket = self.bucket(user_id, slug)?;
        if let Some(name) = &change.bucket_name {
            check_name(bucket.provider, name)?;
        }
        if let Some(endpoint_url) = &change.endpoint_url {
            check_endpoint(bucket.provider, endpoint_url.as_deref())?;
        }
        let now = self.world.now();
        let updated = self.store.write(move |write| {
            buckets::update(write, &bucket.id, &change, now)?;
            buckets::by_id(write, &bucket.id)
        });
        let bucket = updated.await?.ok_or(NOT_FOUND)?;
        self.tell_of_bucket(&bucket);
        Ok(bucket)
    }

    /// Forgets a bucket.
    ///
    /// # Errors
    /// When there is none, `bucket_in_use` while it is mounted, or when the store fails.
    pub async fn delete_bucket(&self, user_id: &str, slug: &str) -> Result<(), PlatformError> {
        let bucket = self.bucket(user_id, slug)?;
        let id = bucket.id.clone();
        let deleted = self.store.write(move |write| {
            if buckets::is_mounted(write, &id)? {
                return Ok(false);
            }
            buckets::delete(write, &id)?;
            Ok(true)
        });
        if !deleted.await? {
            let detail = "The bucket is mounted by an agent; remove its mounts first";
            return Err(PlatformError::rejected("bucket_in_use", detail));
        }
        self.tell_of_bucket(&bucket);
        Ok(())
    }

    /// Stores a bucket's credentials, in place of earlier ones.
    ///
    /// # Errors
    /// When there is no such bucket, the credentials are of no use for it, or the store fails.
    pub async fn set_bucket_credentials(
        &self,
        user_id: &str,
        slug: &str,
        given: BucketCredentials,
    ) -> Result<(), PlatformError> {
        let bucket = self.bucket(user_id, slug)?;
        let credentials = credentials_for(bucket.provider, given)?;
        self.objects.buckets.open(&bucket, Some(&credentials))?;
        let value = serde_json::json!(credentials).to_string();
        let sealed = self.vault.seal(&self.world, &place(&bucket.id), value.as_bytes());
        self.put_bucket_credentials(bucket, Some(sealed)).await
    }

    /// Forgets a bucket's credentials.
    ///
    /// # Errors
    /// When there is no such bucket, or the store fails.
    pub async fn delete_bucket_credentials(&self, user_id: &str, slug: &str) -> Result<(), PlatformError> {
        let bucket = self.bucket(user_id, slug)?;
        self.put_bucket_credentials(bucket, None).await
    }

    async fn put_bucket_credentials(&self, bucket: Bucket, sealed: Option<Vec<u8>>) -> Result<(), PlatformError> {
        let (id, now) = (bucket.id.clone(), self.world.now());
        let put = move |write: &crate::store::Write<'_>| buckets::set_credentials(write, &id, sealed.as_deref(), now);
        self.store.write(put).await?;
        self.tell_of_bucket(&bucket);
        Ok(())
    }

    /// Tries to reach a bucket.
    ///
    /// # Errors
    /// When there is no such bucket, or the store fails. That the bucket cannot be reached is an answer.
    pub async fn test_bucket(&self, user_id: &str, slug: &str) -> Result<BucketTest, PlatformError> {
        let bucket = self.bucket(user_id, slug)?;
        let credentials = self.bucket_credentials(&bucket)?;
        let start = Instant::now();
        let outcome = match self.objects.buckets.open(&bucket, credentials.as_ref()) {
            Ok(remote) => remote.list("", 1).await,
            Err(error) => Err(error),
        };
        let is_anonymous = credentials.is_none();
        Ok(match outcome {
            Ok(_) => BucketTest {
                success: true,
                message: if is_anonymous {
                    "The bucket can be read, without credentials".into()
                } else {
                    "The bucket can be read".into()
                },
                latency_ms: Some(start.elapsed().as_millis().try_into().unwrap_or(u64::MAX)),
            },
            Err(error) => BucketTest {
                success: false,
                message: explained(&error, is_anonymous),
                latency_ms: None,
            },
        })
    }

    /// What lies in one directory of a bucket.
    ///
    /// # Errors
    /// When there is no such bucket, why it cannot be listed, or when the store fails.
    pub async fn bucket_files(
        &self,
        user_id: &str,
        slug: &str,
        filter: BucketFilesFilter,
    ) -> Result<BucketFileList, PlatformError> {
        let bucket = self.bucket(user_id, slug)?;
        let credentials = self.bucket_credentials(&bucket)?;
        let remote = self.objects.buckets.open(&bucket, credentials.as_ref())?;
        let prefix = filter.prefix.as_deref().unwrap_or_default();
        let listing = remote.list(prefix, MAX_FILES).await;
        let listing =
            listing.map_err(|error| PlatformError::rejected(error.code(), explained(&error, credentials.is_none())))?;
        Ok(BucketFileList {
            files: listing.files,
            prefix: filter.prefix,
            truncated: listing.truncated,
        })
    }

    /// A URL by which whoever has it may send or read one file of a bucket.
    ///
    /// # Errors
    /// When there is no such bucket, `no_credentials`, what is wrong with the path, or when the store fails.
    pub async fn sign_bucket_url(
        &self,
        user_id: &str,
        slug: &str,
        transfer: Transfer,
        file: SignUrl,
    ) -> Result<SignedUrl, PlatformError> {
        check_key("path", &file.path)?;
        let bucket = self.bucket(user_id, slug)?;
        let Some(credentials) = self.bucket_credentials(&bucket)? else {
            let detail = "The bucket has no credentials that a URL could be signed with";
            return Err(PlatformError::rejected("no_credentials", detail));
        };
        let remote = self.objects.buckets.open(&bucket, Some(&credentials))?;
        let seconds = file.expires_in.unwrap_or(DEFAULT_EXPIRY_SECONDS);
        let method = transfer.method();
        let expires_at = self.world.now() + SignedDuration::from_secs(seconds.into());
        let url = remote.sign(method.clone(), &file.path, Duration::from_secs(seconds.into()));
        Ok(SignedUrl {
            url: url.await?,
            expires_at,
            method: method.to_string(),
        })
    }

    fn bucket_credentials(&self, bucket: &Bucket) -> Result<Option<Credentials>, PlatformError> {
        let sealed = self.store.look_up(|read| buckets::credentials(read, &bucket.id))?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let value = self.vault.open(&place(&bucket.id), &sealed)?;
        // What serde says of a value may quote it.
        let credentials = serde_json::from_slice(&value).map_err(|_| Unopened)?;
        Ok(Some(credentials))
    }

    fn tell_of_bucket(&self, bucket: &Bucket) {
        self.events
            .tell(&bucket.user_id, EventKind::Bucket, Some(&bucket.slug), &bucket.id);
    }
}

pub(super) const NOT_FOUND: PlatformError = PlatformError::NotFound {
    code: "bucket_not_found",
    detail: "Bucket not found",
};

/// Where a bucket's credentials belong, for the vault.
pub(super) fn place(bucket_id: &str) -> String {
    format!("bucket/{bucket_id}")
}

/// An error as its owner needs it told: without credentials, what is denied is denied to everybody.
fn explained(error: &BucketError, is_anonymous: bool) -> String {
    match error {
        BucketError::AccessDenied(_) if is_anonymous => {
            "Access denied by the store: the bucket is not public, and no credentials are stored for it".into()
        }
        error => error.to_string(),
    }
}

fn check_name(provider: Provider, name: &str) -> Result<(), PlatformError> {
    if provider != Provider::Gcs && name.len() > MAX_S3_NAME {
        let fault = format!("ensure this value has at most {MAX_S3_NAME} characters");
        return Err(PlatformError::invalid("bucket_name", fault));
    }
    Ok(())
}

fn check_endpoint(provider: Provider, endpoint_url: Option<&str>) -> Result<(), PlatformError> {
    match endpoint_url {
        Some(url) => stores::base(url)
            .map(drop)
            .map_err(|fault| PlatformError::invalid("endpoint_url", fault)),
        None if provider == Provider::R2 => Err(PlatformError::Missing("endpoint_url")),
        None => Ok(()),
    }
}

/// Checks that a key can be named exactly by the clients of stores.
pub(super) fn check_key(field: &'static str, key: &str) -> Result<(), PlatformError> {
    if key.len() > MAX_KEY {
        return Err(PlatformError::invalid(
            field,
            format!("ensure this value has at most {MAX_KEY} bytes"),
        ));
    }
    stores::check_key(key).map_err(|error| PlatformError::invalid(field, error.to_string()))
}

/// What is given as the credentials that a provider wants.
fn credentials_for(provider: Provider, given: BucketCredentials) -> Result<Credentials, PlatformError> {
    let wrong = |detail| Err(PlatformError::rejected("wrong_credentials", detail));
    let has_key = given.access_key_id.is_some() || given.secret_access_key.is_some();
    match (provider, given.service_account_json) {
        (Provider::Gcs, Some(json)) => Ok(Credentials::ServiceAccount(ServiceAccount::read(&json)?)),
        (Provider::Gcs, None) if has_key => wrong("A gcs bucket takes service_account_json, not an access key"),
        (Provider::Gcs, None) => Err(PlatformError::Missing("service_account_json")),
        (Provider::S3 | Provider::R2, Some(_)) if !has_key => {
            wrong("An s3 or r2 bucket takes access_key_id and secret_access_key, not a service account")
        }
        (Provider::S3 | Provider::R2, _) => Ok(Credentials::AccessKey {
            id: given.access_key_id.ok_or(PlatformError::Missing("access_key_id"))?,
            secret: given
                .secret_access_key
                .ok_or(PlatformError::Missing("secret_access_key"))?,
        }),
    }
}
