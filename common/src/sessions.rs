//! Sessions: invocations of an agent that belong together. They run one after the other.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError, Meta, Page};

/// A session of an agent. The first invocation that names it makes it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Session {
    /// What invocations call it; unique for its agent.
    pub id: String,
    /// The agent whose it is.
    pub agent_id: String,
    /// The sandbox that stands for it, where one does.
    pub sandbox_id: Option<String>,
    /// When it was first named.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When an invocation last named it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_invocation_at: Option<Timestamp>,
}

/// A page of an agent's sessions, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SessionList {
    /// The sessions of this page.
    pub sessions: Vec<Session>,
    /// Which page this is.
    pub meta: Meta,
}

impl Client {
    /// A page of an agent's sessions.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn sessions(&self, slug: &str, page: Page) -> Result<SessionList, ClientError> {
        let request = self.request(Method::GET, &["agents", slug, "sessions"]);
        self.json(request.query(&page)).await
    }

    /// Deletes a session. What runs in it ends.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_session(&self, slug: &str, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["agents", slug, "sessions", id]);
        self.send(request).await.map(drop)
    }
}
