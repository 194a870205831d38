//! Attachments: managed files that an agent finds in its sandbox.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError};

/// The directory that everything attached is below.
pub const ATTACHMENTS_DIR: &str = "/files/agent";

/// A managed file that is attached to an agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Attachment {
    /// `att_…`
    pub id: String,
    /// The file.
    pub file_id: String,
    /// What the file is called.
    pub filename: String,
    /// Where the agent finds it.
    pub mount_path: String,
    /// Whether the agent may only read it.
    pub read_only: bool,
    /// How long the file is.
    pub size_bytes: u64,
    /// When it was attached.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// All that is attached to an agent, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct AttachmentList {
    /// All of it.
    pub files: Vec<Attachment>,
    /// How long the files are together.
    pub total_size_bytes: u64,
}

/// A request to attach a file to an agent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct AttachFile {
    /// The file, which has to be confirmed.
    #[schema(min_length = 1, max_length = 128)]
    pub file_id: String,
    /// Where the agent is to find it, below `/files/agent/` and without `.`, `..` and empty parts; where left out,
    /// there under its own name.
    #[schema(
        max_length = 1024,
        pattern = r"^/files/agent(/(\.?[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.\.[^/\x00-\x1f\x7f]+))+$"
    )]
    pub mount_path: Option<String>,
    /// Whether the agent may only read it; `true` where left out.
    pub read_only: Option<bool>,
}

impl Client {
    /// All that is attached to an agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn attachments(&self, slug: &str) -> Result<AttachmentList, ClientError> {
        self.json(self.request(Method::GET, &["agents", slug, "files"])).await
    }

    /// Attaches a file to an agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn attach_file(&self, slug: &str, attach: &AttachFile) -> Result<Attachment, ClientError> {
        self.json(self.request(Method::POST, &["agents", slug, "files"]).json(attach))
            .await
    }

    /// Detaches a file from an agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn detach_file(&self, slug: &str, file_id: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["agents", slug, "files", file_id]))
            .await
            .map(drop)
    }
}
