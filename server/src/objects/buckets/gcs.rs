//! Google Cloud Storage.
//!
//! Lists come from its JSON interface, which names keys exactly and which emulators have as well.

use std::sync::Arc;
use std::time::Duration;

use castari_common::buckets::{Bucket, BucketFile};
use jiff::Timestamp;
use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::s3::once;
use super::wire::Wire;
use super::{BucketError, Credentials, Page, ServiceAccount, Wanted, cause, directory};

const DEFAULT_BASE: &str = "https://storage.googleapis.com";

/// The most that the store lists at once.
const MAX_COUNT: usize = 1000;

/// What of a list is read.
const FIELDS: &str = "kind,nextPageToken,prefixes,items(name,size,updated)";

pub(super) struct Gcs {
    store: GoogleCloudStorage,
    wire: Wire,
    objects: Url,
    is_anonymous: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    kind: String,
    next_page_token: Option<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    /// A number as text, as it may be more than a float is exact for.
    size: String,
    updated: Timestamp,
}

impl ServiceAccount {
    /// What is used of a key file.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(key_file: &str) -> Result<Self, BucketError> {
        let account: Self = serde_json::from_str(key_file).map_err(|_| {
            BucketError::Unusable("this is not the JSON of a service account's key, with private_key and client_email")
        })?;
        let is_plain = |text: &str| text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if account.client_email.is_empty() || !is_plain(&account.client_email) || !is_plain(&account.private_key_id) {
            return Err(BucketError::Unusable("client_email or private_key_id is none"));
        }
        Ok(account)
    }
}

impl Gcs {
    pub fn open(
        wire: &Wire,
        bucket: &Bucket,
        base: Option<String>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, BucketError> {
        let base = base.unwrap_or_else(|| DEFAULT_BASE.into());
        let objects = Url::parse(&format!("{base}/storage/v1/b/{}/o", bucket.bucket_name));
        let objects = objects.map_err(|_| BucketError::Unreachable("its address cannot be used"))?;
        let builder = GoogleCloudStorageBuilder::new()
            .with_base_url(&base)
            .with_bucket_name(&bucket.bucket_name)
            .with_http_connector(wire.clone())
            .with_retry(once());
        let builder = match credentials {
            Some(Credentials::ServiceAccount(account)) => {
                builder.with_service_account_key(serde_json::json!(account).to_string())
            }
            Some(Credentials::AccessKey { .. }) => return Err(BucketError::Unusable("they are an access key")),
            // Without any, the client would look for some on this machine.
            None => builder
                .with_skip_signature(true)
                .with_credentials(Arc::new(StaticCredentialProvider::new(GcpCredential {
                    bearer: String::new(),
                }))),
        };
        let store = builder.build();
        Ok(Self {
            store: store.map_err(|_| BucketError::Unusable("private_key is not an RSA key in PEM"))?,
            wire: wire.clone(),
            objects,
            is_anonymous: credentials.is_none(),
        })
    }

    pub async fn list(&self, wanted: Wanted<'_>) -> Result<Page, BucketError> {
        let prefix = wanted.prefix;
        let request = self.list_request(wanted).await?;
        let (_, body) = self.wire.list(request).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| BucketError::NotAStore)?;
        if answer.kind != "storage#objects" {
            return Err(BucketError::NotAStore);
        }
        let files = answer.items.into_iter().map(|item| BucketFile {
            path: item.name,
            size: item.size.parse().unwrap_or_default(),
            last_modified: Some(item.updated),
            is_directory: false,
        });
        // The empty object that some programs make for a directory is the directory itself.
        let files = files.filter(|file| !(file.path == prefix && prefix.ends_with('/')));
        Ok(Page {
            files: answer.prefixes.into_iter().map(directory).chain(files).collect(),
            next: answer.next_page_token,
        })
    }

    async fn list_request(&self, wanted: Wanted<'_>) -> Result<reqwest::Request, BucketError> {
        let mut url = self.objects.clone();
        url.query_pairs_mut()
            .append_pair("delimiter", "/")
            .append_pair("prefix", wanted.prefix)
            .append_pair("maxResults", &wanted.count.min(MAX_COUNT).to_string())
            .append_pair("fields", FIELDS);
        if let Some(after) = wanted.after {
            url.query_pairs_mut().append_pair("pageToken", &after);
        }
        let mut request = reqwest::Request::new(Method::GET, url);
        if !self.is_anonymous {
            let credential = self.store.credentials().get_credential().await;
            let credential = credential.map_err(|error| cause(&error))?;
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", credential.bearer))
                .map_err(|_| BucketError::Unusable("they give no token"))?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        Ok(request)
    }

    pub async fn sign(&self, method: Method, path: &Path, for_how_long: Duration) -> object_store::Result<Url> {
        // Here the client puts paths into URLs as they are, where `?` would end them and `%41` be an `A`.
        let path = Path::parse(escaped(path.as_ref()))?;
        self.store.signed_url(method, &path, for_how_long).await
    }
}

/// A path with every byte escaped that could mean something in a URL.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&hex::encode_upper([byte]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn paths_keep_their_meaning_in_a_url() {
        assert_eq!(escaped("a b/c?d#e%41+\\.txt"), "a%20b/c%3Fd%23e%2541%2B%5C.txt");
        assert_eq!(escaped("ä"), "%C3%A4");
    }
}
