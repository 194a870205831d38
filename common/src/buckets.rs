//! Buckets: places in object stores, which agents mount.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::agents::present;
use crate::{Client, ClientError, Meta, Page};

/// A bucket.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Bucket {
    /// `bkt_…`
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// What people call it.
    pub name: String,
    /// What URLs call it; unique for its user.
    pub slug: String,
    /// Whose protocol its store speaks.
    pub provider: Provider,
    /// What the store calls it.
    pub bucket_name: String,
    /// Where the store keeps it.
    pub region: Option<String>,
    /// The store's address, where it is not the provider's own.
    pub endpoint_url: Option<String>,
    /// Whether credentials are stored for it. They are never shown.
    pub has_credentials: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it or its credentials were last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Whose protocol an object store speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Amazon S3, or any store that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Cloudflare R2.
    R2,
}

/// A page of buckets, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct BucketList {
    /// The buckets of this page.
    pub buckets: Vec<Bucket>,
    /// Which page this is.
    pub meta: Meta,
}

/// A request to make a bucket known. Nothing is made at the store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CreateBucket {
    /// What people call it.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
    )]
    pub name: String,
    /// What URLs call it; made from the name where left out.
    #[schema(min_length = 1, max_length = 100, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
    pub slug: Option<String>,
    /// Whose protocol its store speaks.
    pub provider: Provider,
    /// What the store calls it; at most 63 characters for `s3` and `r2`.
    #[schema(min_length = 3, max_length = 222, pattern = "^[a-z0-9][a-z0-9._-]*[a-z0-9]$")]
    pub bucket_name: String,
    /// Where the store keeps it; for `s3`, `us-east-1` where left out.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    pub region: Option<String>,
    /// The store's address, where it is not the provider's own; needed for `r2`.
    #[schema(
        max_length = 2048,
        pattern = r"^https?://[^\s/?#@\\\x00-\x1f\x7f]+(/[^\s?#\\\x00-\x1f\x7f]*)?$"
    )]
    pub endpoint_url: Option<String>,
}

/// A request to change a bucket. What is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UpdateBucket {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
    )]
    pub name: Option<String>,
    /// What the store calls it; at most 63 characters for `s3` and `r2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 3, max_length = 222, pattern = "^[a-z0-9][a-z0-9._-]*[a-z0-9]$")]
    pub bucket_name: Option<String>,
    /// Where the store keeps it; `null` clears it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, value_type = Option<String>, pattern = "^[A-Za-z0-9_-]+$")]
    pub region: Option<Option<String>>,
    /// The store's address; `null` clears it, except for `r2`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048, value_type = Option<String>, pattern = r"^https?://[^\s/?#@\\\x00-\x1f\x7f]+(/[^\s?#\\\x00-\x1f\x7f]*)?$")]
    pub endpoint_url: Option<Option<String>>,
}

/// What a store knows us by: the two keys for `s3` and `r2`, the service account for `gcs`.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct BucketCredentials {
    /// The public half of an access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 256, pattern = "^[!-~]+$")]
    pub access_key_id: Option<String>,
    /// The secret half of an access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024, pattern = "^[!-~]+$")]
    pub secret_access_key: Option<String>,
    /// The key file of a service account, as Google gives it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 65_536)]
    pub service_account_json: Option<String>,
}

impl std::fmt::Debug for BucketCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BucketCredentials").finish_non_exhaustive()
    }
}

/// How a try to reach a bucket ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct BucketTest {
    /// Whether the bucket can be read.
    pub success: bool,
    /// What was found, for a person.
    pub message: String,
    /// How long the store took to answer, where it did as it was asked.
    pub latency_ms: Option<u64>,
}

/// Which part of a bucket is wanted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct BucketFilesFilter {
    /// Only paths that begin with this, such as `reports/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024, pattern = r"^([^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?$")]
    pub prefix: Option<String>,
}

/// What lies in one directory of a bucket, by path.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct BucketFileList {
    /// Files and directories, at most 1000.
    pub files: Vec<BucketFile>,
    /// What was asked for.
    pub prefix: Option<String>,
    /// Whether there are more.
    pub truncated: bool,
}

/// A file or a directory in a bucket.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct BucketFile {
    /// Its key; a directory's ends in `/`.
    pub path: String,
    /// How many bytes it has; 0 for a directory.
    pub size: u64,
    /// When it was last written; `null` for a directory.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_modified: Option<Timestamp>,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// A request for a URL that a file can be sent to, or read from, without credentials.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SignUrl {
    /// The file's key.
    #[schema(min_length = 1, max_length = 1024, pattern = r"^[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")]
    pub path: String,
    /// How long the URL works, in seconds; 3600 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 604_800)]
    pub expires_in: Option<u32>,
}

/// A URL that works without credentials, for a while.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SignedUrl {
    /// The URL.
    pub url: String,
    /// Until when it works.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The HTTP method that it works with.
    pub method: String,
}

impl Client {
    /// A page of the account's buckets.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn buckets(&self, page: Page) -> Result<BucketList, ClientError> {
        self.json(self.request(Method::GET, &["buckets"]).query(&page)).await
    }

    /// Makes a bucket known.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn create_bucket(&self, bucket: &CreateBucket) -> Result<Bucket, ClientError> {
        self.json(self.request(Method::POST, &["buckets"]).json(bucket)).await
    }

    /// One bucket.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn bucket(&self, slug: &str) -> Result<Bucket, ClientError> {
        self.json(self.request(Method::GET, &["buckets", slug])).await
    }

    /// Changes a bucket.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn update_bucket(&self, slug: &str, change: &UpdateBucket) -> Result<Bucket, ClientError> {
        self.json(self.request(Method::PATCH, &["buckets", slug]).json(change))
            .await
    }

    /// Forgets a bucket that no agent mounts. The store keeps it.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_bucket(&self, slug: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["buckets", slug]))
            .await
            .map(drop)
    }

    /// Stores what the bucket's store knows us by, in place of what was stored before.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn set_bucket_credentials(&self, slug: &str, credentials: &BucketCredentials) -> Result<(), ClientError> {
        let request = self.request(Method::POST, &["buckets", slug, "credentials"]);
        self.send(request.json(credentials)).await.map(drop)
    }

    /// Forgets a bucket's credentials.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_bucket_credentials(&self, slug: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["buckets", slug, "credentials"]))
            .await
            .map(drop)
    }

    /// Tries to reach a bucket, and says how that ended.
    ///
    /// # Errors
    /// As every call of [`Client`]. That the bucket cannot be reached is none.
    pub async fn test_bucket(&self, slug: &str) -> Result<BucketTest, ClientError> {
        self.json(self.request(Method::POST, &["buckets", slug, "test"])).await
    }

    /// What lies in one directory of a bucket.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn bucket_files(&self, slug: &str, filter: &BucketFilesFilter) -> Result<BucketFileList, ClientError> {
        let request = self.request(Method::GET, &["buckets", slug, "files"]);
        self.json(request.query(filter)).await
    }

    /// A URL that a file of a bucket can be `PUT` to.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn bucket_upload_url(&self, slug: &str, file: &SignUrl) -> Result<SignedUrl, ClientError> {
        self.json(self.request(Method::POST, &["buckets", slug, "upload-url"]).json(file))
            .await
    }

    /// A URL that a file of a bucket can be read from.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn bucket_download_url(&self, slug: &str, file: &SignUrl) -> Result<SignedUrl, ClientError> {
        self.json(
            self.request(Method::POST, &["buckets", slug, "download-url"])
                .json(file),
        )
        .await
    }
}
