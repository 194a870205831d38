//! Managed files: what an account keeps on the server, for its agents to read.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use jiff::Timestamp;
use reqwest::header::RANGE;
use reqwest::{Body, Method, multipart};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::agents::present;
use crate::{Client, ClientError, Meta, Page};

/// The longest file name, in bytes.
pub const MAX_FILENAME_BYTES: usize = 255;

/// A file that the server keeps.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ManagedFile {
    /// `file_…`
    pub id: String,
    /// The same as `id`.
    pub file_id: String,
    /// What it is called; no path.
    pub filename: String,
    /// What kind of content it was said to be.
    pub content_type: Option<String>,
    /// How long it is or, while it is pending, has to be.
    pub size_bytes: u64,
    /// The SHA-256 of its content, in hexadecimal; empty while a pending file has none.
    pub sha256_hash: String,
    /// What it belongs to, below its user.
    pub scope: FileScope,
    /// The agent or session that it belongs to.
    pub scope_id: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it can be found by.
    pub tags: Vec<String>,
    /// Whether its content is there and was confirmed.
    pub upload_status: UploadStatus,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What a file belongs to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileScope {
    /// To its user alone.
    #[default]
    User,
    /// To an agent.
    Agent,
    /// To a session, whose invocation wrote it.
    Session,
}

/// How far a file's upload is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadStatus {
    /// Its content is still to come, or to be confirmed.
    Pending,
    /// It is there.
    Confirmed,
}

/// A page of files, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct FileList {
    /// The files of this page.
    pub files: Vec<ManagedFile>,
    /// Which page this is.
    pub meta: Meta,
}

/// Which files are wanted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct FileFilter {
    /// Only those that belong to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub scope: Option<FileScope>,
    /// Only those that have all of these tags, which commas separate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub tags: Option<String>,
    /// Only those with this text in their name or description; the case of `A` to `Z` does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub search: Option<String>,
}

/// A tag as it is given: spaces around it do not count, and nothing is no tag.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[schema(max_length = 64, pattern = r"^[^,\x00-\x1f\x7f]*$")]
pub struct Tag(pub String);

/// A request to change a file. What is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UpdateFile {
    /// What it is for; `null` clears it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10_000, value_type = Option<String>, pattern = r"^[^\x00]*$")]
    pub description: Option<Option<String>>,
    /// All its tags from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    pub tags: Option<Vec<Tag>>,
}

/// The answer to an upload.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UploadedFile {
    /// `file_…`
    pub file_id: String,
    /// What it is called.
    pub filename: String,
    /// What kind of content it was said to be.
    pub content_type: Option<String>,
    /// How long it is.
    pub size_bytes: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256_hash: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// How much an account keeps, what pending uploads reserve included.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct FileUsage {
    /// How many files there are.
    pub total_files: u64,
    /// Their size.
    pub total_bytes: u64,
    /// The same in MiB, to two places.
    pub total_mb: f64,
    /// How much there may be, in MiB.
    pub limit_mb: u64,
    /// How much of that is used, in percent, to two places.
    pub usage_percent: f64,
}

/// A request to upload a file to an address of its own, which needs no credential.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CreateUpload {
    /// What the file is called. Of a path, the last part counts.
    #[schema(min_length = 1, max_length = 4096, pattern = r"^[^\x00-\x1f\x7f]*$")]
    pub filename: String,
    /// Exactly how long it is.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub size_bytes: u64,
    /// What kind of content it is.
    #[schema(
        max_length = 255,
        pattern = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *;[\x20-\x7e]*)?$"
    )]
    pub content_type: Option<String>,
    /// What it is for.
    #[schema(max_length = 10_000, pattern = r"^[^\x00]*$")]
    pub description: Option<String>,
    /// What it can be found by.
    #[schema(max_items = 32)]
    pub tags: Option<Vec<Tag>>,
}

/// Where to upload a file, and until when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UploadUrl {
    /// The file, which is pending.
    pub file_id: String,
    /// Where to send the content. Whoever has it may do so.
    pub upload_url: String,
    /// `PUT`
    pub upload_method: String,
    /// The headers to send along.
    pub upload_headers: BTreeMap<String, String>,
    /// When the address, and the file with it where it was not confirmed, goes.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// What arrived at an [`UploadUrl`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ReceivedUpload {
    /// The file, which is still pending.
    pub file_id: String,
    /// How many bytes arrived.
    pub size_bytes: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256_hash: String,
}

/// A request to make an uploaded file a confirmed one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ConfirmUpload {
    /// The pending file.
    #[schema(min_length = 1, max_length = 128)]
    pub file_id: String,
    /// The SHA-256 that its content has to have, in hexadecimal.
    #[schema(pattern = "^[0-9A-Fa-f]{64}$")]
    pub sha256_hash: String,
}

/// What to upload, and what to say of it.
pub struct Upload {
    /// What it is called.
    pub filename: String,
    /// What kind of content it is, such as `text/csv`.
    pub content_type: Option<String>,
    /// The content: bytes, or a stream.
    pub content: Body,
    /// What it is for.
    pub description: Option<String>,
    /// What it can be found by.
    pub tags: Vec<String>,
}

impl Upload {
    /// A file of which only the name is said.
    pub fn new(filename: impl Into<String>, content: impl Into<Body>) -> Self {
        Self {
            filename: filename.into(),
            content_type: None,
            content: content.into(),
            description: None,
            tags: Vec::new(),
        }
    }
}

impl Client {
    /// A page of the account's files.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn files(&self, filter: &FileFilter, page: Page) -> Result<FileList, ClientError> {
        let request = self.request(Method::GET, &["files"]);
        self.json(request.query(filter).query(&page)).await
    }

    /// Uploads a file.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn upload_file(&self, upload: Upload) -> Result<UploadedFile, ClientError> {
        let mut part = multipart::Part::stream(upload.content).file_name(upload.filename);
        if let Some(kind) = upload.content_type {
            part = part.mime_str(&kind)?;
        }
        let mut form = multipart::Form::new();
        if let Some(description) = upload.description {
            form = form.text("description", description);
        }
        if !upload.tags.is_empty() {
            form = form.text("tags", upload.tags.join(","));
        }
        let request = self.request(Method::POST, &["files"]);
        self.json(request.multipart(form.part("file", part))).await
    }

    /// One file, without its content.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn file(&self, id: &str) -> Result<ManagedFile, ClientError> {
        self.json(self.request(Method::GET, &["files", id])).await
    }

    /// Changes what is said of a file.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn update_file(&self, id: &str, change: &UpdateFile) -> Result<ManagedFile, ClientError> {
        self.json(self.request(Method::PATCH, &["files", id]).json(change))
            .await
    }

    /// Deletes a file and detaches it everywhere.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_file(&self, id: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["files", id])).await.map(drop)
    }

    /// A file's content, from the byte at `from` on. An answer that breaks off is an error of the stream.
    ///
    /// # Errors
    /// As every call of [`Client`]; each item may also be an error, after which the stream ends.
    pub async fn download_file(
        &self,
        id: &str,
        from: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + use<>, ClientError> {
        let mut request = self.request(Method::GET, &["files", id, "download"]);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        Ok(self.send(request).await?.bytes_stream().map_err(ClientError::from))
    }

    /// How much the account keeps.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn file_usage(&self) -> Result<FileUsage, ClientError> {
        self.json(self.request(Method::GET, &["files", "usage"])).await
    }

    /// Makes a pending file, and an address that its content can be sent to without a credential.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn create_upload(&self, create: &CreateUpload) -> Result<UploadUrl, ClientError> {
        self.json(self.request(Method::POST, &["files", "upload-url"]).json(create))
            .await
    }

    /// Sends a pending file's content to its address. This may be done again until the file is confirmed.
    ///
    /// # Errors
    /// As every call of [`Client`]; [`ClientError::Unusable`] when the address is none.
    pub async fn send_upload(
        &self,
        address: &UploadUrl,
        content: impl Into<Body>,
    ) -> Result<ReceivedUpload, ClientError> {
        let mut request = self.elsewhere(Method::PUT, &address.upload_url)?;
        for (name, value) in &address.upload_headers {
            request = request.header(name, value);
        }
        self.json(request.body(content)).await
    }

    /// Makes a pending file whose content has arrived a confirmed one.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn confirm_upload(&self, confirm: &ConfirmUpload) -> Result<ManagedFile, ClientError> {
        let request = self.request(Method::POST, &["files", "confirm-upload"]);
        self.json(request.json(confirm)).await
    }
}
