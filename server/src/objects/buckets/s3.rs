//! Stores that speak the protocol of Amazon S3.

use std::sync::Arc;

use castari_common::buckets::{Bucket, BucketFile, Provider};
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::{RetryConfig, StaticCredentialProvider};

use super::wire::Wire;
use super::{BucketError, Credentials, Page, Wanted, cause, directory};

const DEFAULT_REGION: &str = "us-east-1";

/// The one region that R2 has.
const R2_REGION: &str = "auto";

/// The most that a store lists at once.
const MAX_COUNT: usize = 1000;

pub(super) fn open(
    wire: &Wire,
    bucket: &Bucket,
    base: Option<String>,
    credentials: Option<&Credentials>,
) -> Result<AmazonS3, BucketError> {
    let default_region = match bucket.provider {
        Provider::R2 => R2_REGION,
        Provider::S3 | Provider::Gcs => DEFAULT_REGION,
    };
    let (id, secret) = match credentials {
        Some(Credentials::AccessKey { id, secret }) => (id.clone(), secret.clone()),
        Some(Credentials::ServiceAccount(_)) => return Err(BucketError::Unusable("they are a service account's")),
        None => Default::default(),
    };
    let credential = AwsCredential {
        key_id: id,
        secret_key: secret,
        token: None,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.bucket_name)
        .with_region(bucket.region.as_deref().unwrap_or(default_region))
        .with_http_connector(wire.clone())
        .with_allow_http(true)
        .with_retry(once())
        .with_skip_signature(credentials.is_none())
        // Also where nothing is signed: without any, the client would ask the machine's cloud for some.
        .with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
    if let Some(base) = base {
        builder = builder.with_endpoint(base);
    }
    builder.build().map_err(|error| cause(&error))
}

/// Whoever waits for an answer can ask again himself.
pub(super) fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

pub(super) async fn list(store: &AmazonS3, wanted: Wanted<'_>) -> Result<Page, BucketError> {
    let options = PaginatedListOptions {
        delimiter: Some("/".into()),
        max_keys: Some(wanted.count.min(MAX_COUNT)),
        page_token: wanted.after,
        ..PaginatedListOptions::default()
    };
    let prefix = Some(wanted.prefix).filter(|prefix| !prefix.is_empty());
    let listed = store.list_paginated(prefix, options).await;
    let listed = listed.map_err(|error| cause(&error))?;
    let directories = listed.result.common_prefixes.iter();
    let directories = directories.map(|path| directory(format!("{path}/")));
    let files = listed.result.objects.into_iter().map(|object| BucketFile {
        path: object.location.into(),
        size: object.size,
        last_modified: Timestamp::from_microsecond(object.last_modified.timestamp_micros()).ok(),
        is_directory: false,
    });
    // The empty object that some programs make for a directory is the directory itself, and has lost its `/` here.
    let files = files.filter(|file| file.path.starts_with(wanted.prefix));
    Ok(Page {
        files: directories.chain(files).collect(),
        next: listed.page_token,
    })
}
