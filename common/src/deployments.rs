//! Deployments: each attempt to turn an agent's source into code that runs.

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError, Meta, Page};

/// One attempt to build an agent's code.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Deployment {
    /// `dep_…`
    pub id: String,
    /// How far it is.
    pub status: DeploymentStatus,
    /// The SHA-256 of the uploaded archive or the commit id of the cloned repository, once known.
    pub source_hash: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it succeeded or failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How far a deployment is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStatus {
    /// It goes on.
    Running,
    /// Its code serves, or served until a later one took over.
    Succeeded,
    /// It ended with an error.
    Failed,
}

/// A page of an agent's deployments, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeploymentList {
    /// The deployments of this page.
    pub deployments: Vec<Deployment>,
    /// Which page this is.
    pub meta: Meta,
}

impl Client {
    /// An agent's deployments.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn deployments(&self, slug: &str, page: Page) -> Result<DeploymentList, ClientError> {
        let request = self.request(Method::GET, &["agents", slug, "deployments"]);
        self.json(request.query(&page)).await
    }

    /// What a deployment has logged so far.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn deployment_log(&self, slug: &str, id: &str) -> Result<String, ClientError> {
        let path = ["agents", slug, "deployments", id, "logs"];
        self.text(self.request(Method::GET, &path)).await
    }

    /// A deployment's log from its start, then what is added to it, until the deployment ends.
    ///
    /// # Errors
    /// As every call of [`Client`]; each item may also be an error, after which the stream ends.
    pub async fn follow_deployment_log(
        &self,
        slug: &str,
        id: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + use<>, ClientError> {
        let path = ["agents", slug, "deployments", id, "logs"];
        let request = self.request(Method::GET, &path).query(&[("follow", true)]);
        let answer = self.send(request).await?;
        Ok(answer.bytes_stream().map_err(ClientError::from))
    }
}
