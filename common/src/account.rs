//! Who is asking.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError};

/// The account that a credential belongs to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Me {
    /// `usr_…`
    pub id: String,
    /// The address that the account is known by.
    pub email: String,
    /// The public first 13 characters of the API key that asks; `null` for other credentials.
    pub api_key_prefix: Option<String>,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl Client {
    /// The account that this client's key belongs to.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn me(&self) -> Result<Me, ClientError> {
        self.json(self.request(Method::GET, &["auth", "me"])).await
    }
}
