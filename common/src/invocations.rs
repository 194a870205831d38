//! Invocations: one prompt, one answer.

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError, Meta, Page};

/// The longest prompt, in bytes.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;

/// A request to run an agent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Invoke {
    /// What the agent reads on stdin: at least one character, at most 1 MiB.
    #[schema(min_length = 1, max_length = 1_048_576)]
    pub prompt: String,
    /// The session to run in; made up where left out.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]{1,128}$")]
    pub session_id: Option<String>,
}

/// An invocation that ended, as its caller is told.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct InvocationResponse {
    /// `inv_…`
    pub invocation_id: String,
    /// The session that it ran in.
    pub session_id: String,
    /// `sbx_…`: the sandbox that it ran in, unless it failed before it had one.
    pub sandbox_id: Option<String>,
    /// What the agent wrote to stdout.
    pub response_content: String,
    /// Tokens that went to models.
    pub input_tokens: u64,
    /// Tokens that came from models.
    pub output_tokens: u64,
    /// What the model calls cost.
    pub total_cost_usd: f64,
    /// How long it took, from the request to the end of the agent, in milliseconds.
    pub duration_ms: u64,
    /// `completed` or `failed`.
    pub status: InvocationStatus,
}

/// An invocation that failed: the problem, with the fields of the response beside it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct InvocationFailure {
    /// Why, for a person.
    pub detail: String,
    /// Why, for a program: `agent_failed`, `timeout`, `out_of_memory`, `stopped`, …
    pub code: String,
    /// What was recorded of it.
    #[serde(flatten)]
    pub response: InvocationResponse,
}

/// How far an invocation is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvocationStatus {
    /// It goes on.
    Running,
    /// The agent ended with status 0.
    Completed,
    /// The agent ended in any other way, or was ended.
    Failed,
}

/// The record of an invocation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Invocation {
    /// `inv_…`
    pub id: String,
    /// The agent that ran.
    pub agent_id: String,
    /// That agent's slug.
    pub agent_slug: String,
    /// The session that it ran in.
    pub session_id: String,
    /// The sandbox that it ran in.
    pub sandbox_id: Option<String>,
    /// What the agent was asked; in a list, the first 500 characters.
    pub prompt: String,
    /// What it answered; in a list, the first 500 characters.
    pub response_content: String,
    /// How far it is.
    pub status: InvocationStatus,
    /// Why it failed.
    pub error_message: Option<String>,
    /// Tokens that went to models.
    pub input_tokens: u64,
    /// Tokens that came from models.
    pub output_tokens: u64,
    /// What the model calls cost.
    pub total_cost_usd: f64,
    /// How long it took, in milliseconds; 0 while it runs.
    pub duration_ms: u64,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A page of invocations, newest first.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct InvocationList {
    /// The invocations of this page.
    pub invocations: Vec<Invocation>,
    /// Which page this is.
    pub meta: Meta,
}

/// Which invocations are wanted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct InvocationFilter {
    /// Only those in this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub status: Option<InvocationStatus>,
    /// Only those of the agent with this slug. An agent's own list knows its agent and ignores this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub agent: Option<String>,
    /// Only those in sessions with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub session_id: Option<String>,
}

/// What a streamed invocation says, in this order: one `Start`, any of `Output` and `Log`, one `Done` or `Error`.
#[derive(Clone, Debug, PartialEq)]
pub enum InvocationEvent {
    /// It has a sandbox and starts.
    Start(Started),
    /// A piece of stdout.
    Output(String),
    /// A piece of stderr.
    Log(String),
    /// It completed.
    Done(InvocationResponse),
    /// It failed.
    Error(InvocationFailure),
}

/// The data of a `start` event.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Started {
    /// `inv_…`
    pub invocation_id: String,
    /// The session that it runs in.
    pub session_id: String,
    /// The sandbox that it runs in.
    pub sandbox_id: Option<String>,
}

/// The data of an `output` or `log` event.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Piece {
    /// What the agent wrote.
    pub text: String,
}

impl InvocationEvent {
    /// Reads an event by its name and data; `None` for a name that this client does not know.
    fn read(name: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match name {
            "start" => Self::Start(serde_json::from_str(data)?),
            "output" => Self::Output(serde_json::from_str::<Piece>(data)?.text),
            "log" => Self::Log(serde_json::from_str::<Piece>(data)?.text),
            "done" => Self::Done(serde_json::from_str(data)?),
            "error" => Self::Error(serde_json::from_str(data)?),
            _ => return Ok(None),
        }))
    }
}

impl Client {
    /// Runs an agent and waits for its answer.
    ///
    /// # Errors
    /// As every call of [`Client`]. An invocation that failed is a [`Refusal`](crate::Refusal) with status 500, whose
    /// body is an [`InvocationFailure`].
    pub async fn invoke(&self, slug: &str, invoke: &Invoke) -> Result<InvocationResponse, ClientError> {
        let request = self.request(Method::POST, &["agents", slug, "invoke"]);
        self.json(request.json(invoke)).await
    }

    /// Runs an agent and follows what it writes. Dropping the stream cancels the invocation.
    ///
    /// # Errors
    /// As every call of [`Client`]; each item may also be an error, after which the stream ends.
    pub async fn stream(
        &self,
        slug: &str,
        invoke: &Invoke,
    ) -> Result<impl Stream<Item = Result<InvocationEvent, ClientError>> + Send + use<>, ClientError> {
        let request = self.request(Method::POST, &["agents", slug, "stream"]);
        let events = self.server_sent_events(request.json(invoke)).await?;
        Ok(events.filter_map(async |frame| match frame {
            Err(error) => Some(Err(error)),
            Ok(frame) => {
                let (name, data) = (frame.event?, frame.data?);
                InvocationEvent::read(&name, &data)
                    .map_err(ClientError::garbled)
                    .transpose()
            }
        }))
    }

    /// A page of the invocations of one agent.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn agent_invocations(
        &self,
        slug: &str,
        filter: &InvocationFilter,
        page: Page,
    ) -> Result<InvocationList, ClientError> {
        let request = self.request(Method::GET, &["agents", slug, "invocations"]);
        self.json(request.query(filter).query(&page)).await
    }

    /// A page of the invocations of all agents.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn invocations(&self, filter: &InvocationFilter, page: Page) -> Result<InvocationList, ClientError> {
        let request = self.request(Method::GET, &["invocations"]);
        self.json(request.query(filter).query(&page)).await
    }

    /// One invocation, whole.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn invocation(&self, id: &str) -> Result<Invocation, ClientError> {
        self.json(self.request(Method::GET, &["invocations", id])).await
    }

    /// What an invocation wrote to stderr.
    ///
    /// # Errors
    /// As every call of [`Client`].
    pub async fn invocation_log(&self, id: &str) -> Result<String, ClientError> {
        self.text(self.request(Method::GET, &["invocations", id, "logs"])).await
    }
}
