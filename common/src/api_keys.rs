//! API keys: what programs show to say whose they are.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError};

/// An API key, as it may be shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ApiKey {
    /// `ak_…`
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The key's first 13 characters, `cast_xxxxxxxx`.
    pub prefix: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last shown, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// An account's API keys, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ApiKeyList {
    /// All of them.
    pub api_keys: Vec<ApiKey>,
}

/// A request to make an API key.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CreateApiKey {
    /// What its owner calls it; `Default` where left out.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
    )]
    pub name: Option<String>,
}

/// A new API key. The whole key is in this answer and nowhere else.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct NewApiKey {
    /// What is kept of it.
    pub api_key: ApiKey,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApiKey")
            .field("api_key", &self.api_key)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// The account's API keys.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn api_keys(&self) -> Result<ApiKeyList, ClientError> {
        self.json(self.request(Method::GET, &["api-keys"])).await
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn create_api_key(&self, create: &CreateApiKey) -> Result<NewApiKey, ClientError> {
        self.json(self.request(Method::POST, &["api-keys"]).json(create)).await
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_api_key(&self, id: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["api-keys", id]))
            .await
            .map(drop)
    }

    /// Revokes the API key that this client shows.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_own_api_key(&self) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["auth", "api-key"]))
            .await
            .map(drop)
    }
}
