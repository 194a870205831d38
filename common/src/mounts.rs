//! Mounts: buckets as directories of an agent.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::buckets::Bucket;
use crate::{Client, ClientError};

/// A bucket as a directory of an agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Mount {
    /// `mnt_…`
    pub id: String,
    /// What is mounted.
    pub bucket_id: String,
    /// Where it is mounted.
    pub agent_id: String,
    /// What is mounted.
    pub bucket: Bucket,
    /// The directory that the agent sees it as.
    pub mount_path: String,
    /// What the keys begin with that are seen; it is not part of their names inside.
    pub source_prefix: String,
    /// What may be done below which path.
    pub permission_rules: Vec<PermissionRule>,
    /// Whether what was read is kept for a while.
    pub cache_enabled: bool,
    /// For how long, in seconds.
    pub cache_ttl_seconds: u32,
    /// Whether the agent sees it.
    pub enabled: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What an agent may do below a path of a mount.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct PermissionRule {
    /// The path, as seen from the mount's own directory.
    #[schema(min_length = 1, max_length = 1024, pattern = r"^[^\x00-\x1f\x7f]+$")]
    pub path: String,
    /// What may be done there.
    pub mode: PermissionMode,
}

/// What may be done with files.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PermissionMode {
    /// They may be read.
    Ro,
    /// They may be read and written.
    Rw,
}

/// An agent's mounts, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct MountList {
    /// All of them.
    pub mounts: Vec<Mount>,
}

/// A request to mount a bucket.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CreateMount {
    /// The bucket.
    #[schema(min_length = 1, max_length = 100)]
    pub bucket_slug: String,
    /// The directory that the agent sees it as.
    #[schema(min_length = 1, max_length = 1024, pattern = r"^/[^\x00-\x1f\x7f]*$")]
    pub mount_path: String,
    /// What the keys begin with that are seen; all are where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024, pattern = r"^([^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?$")]
    pub source_prefix: Option<String>,
    /// What may be done below which path; none where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub permission_rules: Option<Vec<PermissionRule>>,
    /// Whether what was read is kept for a while; it is where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_enabled: Option<bool>,
    /// For how long, in seconds; 60 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 86_400)]
    pub cache_ttl_seconds: Option<u32>,
    /// Whether the agent sees it; it does where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A request to change a mount. What is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UpdateMount {
    /// The directory that the agent sees it as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024, pattern = r"^/[^\x00-\x1f\x7f]*$")]
    pub mount_path: Option<String>,
    /// What the keys begin with that are seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024, pattern = r"^([^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?$")]
    pub source_prefix: Option<String>,
    /// What may be done below which path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub permission_rules: Option<Vec<PermissionRule>>,
    /// Whether what was read is kept for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_enabled: Option<bool>,
    /// For how long, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 86_400)]
    pub cache_ttl_seconds: Option<u32>,
    /// Whether the agent sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl Client {
    /// An agent's mounts.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn mounts(&self, agent: &str) -> Result<MountList, ClientError> {
        self.json(self.request(Method::GET, &["agents", agent, "mounts"])).await
    }

    /// Mounts a bucket.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn create_mount(&self, agent: &str, mount: &CreateMount) -> Result<Mount, ClientError> {
        self.json(self.request(Method::POST, &["agents", agent, "mounts"]).json(mount))
            .await
    }

    /// One mount.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn mount(&self, agent: &str, id: &str) -> Result<Mount, ClientError> {
        self.json(self.request(Method::GET, &["agents", agent, "mounts", id]))
            .await
    }

    /// Changes a mount.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn update_mount(&self, agent: &str, id: &str, change: &UpdateMount) -> Result<Mount, ClientError> {
        let request = self.request(Method::PATCH, &["agents", agent, "mounts", id]);
        self.json(request.json(change)).await
    }

    /// Takes a mount away. The bucket stays.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_mount(&self, agent: &str, id: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["agents", agent, "mounts", id]))
            .await
            .map(drop)
    }

    /// Forgets what is cached of an agent's buckets, so that the next read is fresh.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn sync_files(&self, agent: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::POST, &["agents", agent, "files", "sync"]))
            .await
            .map(drop)
    }
}
