//! Secrets: what an agent finds in its environment and nobody else sees.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError};

/// The longest value, in bytes.
pub const MAX_SECRET_BYTES: usize = 64 << 10;

/// A secret, as it may be shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Secret {
    /// The variable that holds it.
    pub key: String,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last set.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// An agent's secrets, by their keys.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SecretList {
    /// All of them.
    pub secrets: Vec<Secret>,
}

/// A request to set a secret. One that is there already is overwritten.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SetSecret {
    /// The variable that the agent finds it in.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
    pub key: String,
    /// What it holds: at most 64 KiB.
    #[schema(max_length = 65_536, pattern = r"^[^\x00]*$")]
    pub value: String,
}

impl std::fmt::Debug for SetSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetSecret")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// An agent's secrets, without their values.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn secrets(&self, slug: &str) -> Result<SecretList, ClientError> {
        self.json(self.request(Method::GET, &["agents", slug, "secrets"])).await
    }

    /// Sets a secret of an agent, which counts from the next invocation.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn set_secret(&self, slug: &str, secret: &SetSecret) -> Result<Secret, ClientError> {
        let request = self.request(Method::POST, &["agents", slug, "secrets"]);
        self.json(request.json(secret)).await
    }

    /// Deletes a secret of an agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_secret(&self, slug: &str, key: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["agents", slug, "secrets", key]))
            .await
            .map(drop)
    }
}
