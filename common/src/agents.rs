//! Agents: programs that read a prompt on stdin and answer on stdout.

use jiff::Timestamp;
use reqwest::{Method, multipart};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError, Meta, Page};

/// An agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Agent {
    /// `agt_…`
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// What people call it.
    pub name: String,
    /// What URLs call it; unique for its user.
    pub slug: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where its code comes from.
    pub source_type: SourceType,
    /// The repository that a deploy clones.
    pub git_repo_url: Option<String>,
    /// The branch that a deploy clones.
    pub git_branch: String,
    /// The SHA-256 of the uploaded archive or the commit id of the cloned repository that serves now.
    pub source_hash: Option<String>,
    /// The model that the agent is told to use.
    pub default_model: String,
    /// How many model turns an invocation may take.
    pub max_turns: u32,
    /// How long an invocation may take, in seconds.
    pub timeout_seconds: u32,
    /// Whether it can be invoked.
    pub status: AgentStatus,
    /// Why the status is what it is, where there is something to say.
    pub status_message: Option<String>,
    /// The standing sandbox of the agent; `null`, as each invocation has a sandbox of its own.
    pub sandbox_id: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Where an agent's code comes from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// A git repository that is cloned at each deploy.
    #[default]
    Git,
    /// An archive that was uploaded.
    Local,
}

/// Where an agent is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Never deployed.
    Draft,
    /// A deploy goes on. Where an earlier one succeeded, that still serves.
    Deploying,
    /// It can be invoked.
    Active,
    /// It was stopped.
    Stopped,
    /// Its last deploy failed and no earlier one serves.
    Error,
}

/// A page of agents, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct AgentList {
    /// The agents of this page.
    pub agents: Vec<Agent>,
    /// Which page this is.
    pub meta: Meta,
}

/// Which agents are wanted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct AgentFilter {
    /// Only those in this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub status: Option<AgentStatus>,
    /// Only those with this text in their name, slug or description; the case of `A` to `Z` does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub search: Option<String>,
}

/// A request to make an agent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CreateAgent {
    /// What people call it.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
    )]
    pub name: String,
    /// What URLs call it; made from the name where left out.
    #[schema(min_length = 1, max_length = 100, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
    pub slug: Option<String>,
    /// What it is for.
    #[schema(max_length = 10_000, pattern = r"^[^\x00]*$")]
    pub description: Option<String>,
    /// Where its code comes from; `git` where left out.
    #[schema(inline)]
    pub source_type: Option<SourceType>,
    /// The repository to clone, over `https` or `http`.
    #[schema(max_length = 2048, pattern = r"^https?://[^\s/?#\x00-\x1f\x7f]+[^\s\x00-\x1f\x7f]*$")]
    pub git_repo_url: Option<String>,
    /// The branch to clone; `main` where left out.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^-\s\x00-\x1f~^:?*\[\\][^\s\x00-\x1f~^:?*\[\\]*$"
    )]
    pub git_branch: Option<String>,
    /// The model that the agent is told to use.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f]+$")]
    pub default_model: Option<String>,
    /// How many model turns an invocation may take.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_turns: Option<u32>,
    /// How long an invocation may take, in seconds; 120 where left out.
    #[schema(minimum = 1, maximum = 600)]
    pub timeout_seconds: Option<u32>,
}

/// A request to change an agent. What is left out stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UpdateAgent {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
    )]
    pub name: Option<String>,
    /// What it is for; `null` clears it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10_000, value_type = Option<String>, pattern = r"^[^\x00]*$")]
    pub description: Option<Option<String>>,
    /// The repository to clone; `null` clears it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048, value_type = Option<String>, pattern = r"^https?://[^\s/?#\x00-\x1f\x7f]+[^\s\x00-\x1f\x7f]*$")]
    pub git_repo_url: Option<Option<String>>,
    /// The branch to clone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^-\s\x00-\x1f~^:?*\[\\][^\s\x00-\x1f~^:?*\[\\]*$"
    )]
    pub git_branch: Option<String>,
    /// The model that the agent is told to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f]+$")]
    pub default_model: Option<String>,
    /// How many model turns an invocation may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_turns: Option<u32>,
    /// How long an invocation may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 600)]
    pub timeout_seconds: Option<u32>,
}

/// Tells a field that is `null` (`Some(None)`) from one that is left out (`None`).
#[expect(clippy::option_option, reason = "three states: left out, null, and a value")]
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// The answer to an upload of code.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UploadedCode {
    /// Whose code it is.
    pub agent_id: String,
    /// The SHA-256 of the archive, in hexadecimal.
    pub source_hash: String,
    /// The agent's status after the upload and, where asked for, the deploy.
    pub status: AgentStatus,
    /// As in [`Agent`].
    pub sandbox_id: Option<String>,
    /// What was done, for a person.
    pub message: String,
}

impl Client {
    /// A page of the account's agents.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn agents(&self, filter: &AgentFilter, page: Page) -> Result<AgentList, ClientError> {
        let request = self.request(Method::GET, &["agents"]);
        self.json(request.query(filter).query(&page)).await
    }

    /// Makes an agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn create_agent(&self, agent: &CreateAgent) -> Result<Agent, ClientError> {
        self.json(self.request(Method::POST, &["agents"]).json(agent)).await
    }

    /// One agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn agent(&self, slug: &str) -> Result<Agent, ClientError> {
        self.json(self.request(Method::GET, &["agents", slug])).await
    }

    /// Changes an agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn update_agent(&self, slug: &str, change: &UpdateAgent) -> Result<Agent, ClientError> {
        self.json(self.request(Method::PATCH, &["agents", slug]).json(change))
            .await
    }

    /// Deletes an agent and everything that belongs to it.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn delete_agent(&self, slug: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["agents", slug]))
            .await
            .map(drop)
    }

    /// Starts a deploy; with `wait`, answers when it has ended.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn deploy(&self, slug: &str, wait: bool) -> Result<Agent, ClientError> {
        let request = self.request(Method::POST, &["agents", slug, "deploy"]);
        self.json(request.query(&[("wait", wait)])).await
    }

    /// Deploys again from the latest code; with `wait`, answers when it has ended.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn redeploy(&self, slug: &str, wait: bool) -> Result<Agent, ClientError> {
        let request = self.request(Method::POST, &["agents", slug, "redeploy"]);
        self.json(request.query(&[("wait", wait)])).await
    }

    /// Uploads a `.tar.gz` as the agent's code and, with `auto_deploy`, deploys it before answering.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn upload_code(
        &self,
        slug: &str,
        archive: impl Into<reqwest::Body>,
        auto_deploy: bool,
    ) -> Result<UploadedCode, ClientError> {
        let part = multipart::Part::stream(archive)
            .file_name("code.tar.gz")
            .mime_str("application/gzip")?;
        let request = self
            .request(Method::POST, &["agents", slug, "upload-code"])
            .query(&[("auto_deploy", auto_deploy)])
            .multipart(multipart::Form::new().part("file", part));
        self.json(request).await
    }

    /// Stops an agent: running invocations fail, further ones are refused until it is deployed again.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn stop_agent(&self, slug: &str) -> Result<Agent, ClientError> {
        self.json(self.request(Method::DELETE, &["agents", slug, "sandbox"]))
            .await
    }
}
