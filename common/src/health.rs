//! Whether a server is there, and whether it can work.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError};

/// The answer of `/healthz` and `/readyz`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: String,
    /// Always `castari`: tells this server from whatever else may listen on the port.
    pub service: String,
    /// The server's version.
    pub version: String,
}

impl Client {
    /// Asks `/healthz`, which needs no credential and does not count against the rate limits.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.json(self.outside_api(Method::GET, "healthz")).await
    }
}
