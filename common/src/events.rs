//! What changed on the server, as it happens.

use futures::{Stream, StreamExt};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Client, ClientError};

/// One change of something that belongs to the account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// What changed.
    pub kind: EventKind,
    /// The agent that it concerns or the bucket that it is, where there is one.
    pub slug: Option<String>,
    /// The id of what changed.
    pub id: Option<String>,
}

/// The kinds of things that changes are told of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An agent was made, changed or deleted.
    Agent,
    /// A deployment started or ended.
    Deployment,
    /// An invocation started or ended.
    Invocation,
    /// A session was made or deleted.
    Session,
    /// A managed file was made, changed or deleted, or, where there is an agent, attached or detached.
    File,
    /// A bucket was made, changed or deleted.
    Bucket,
    /// Events were missed: whatever was read before may be stale.
    Reset,
    /// A kind that this client does not know.
    #[serde(other)]
    Unknown,
}

/// An event and the id to resume after it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Numbered {
    /// What to give to [`Client::events`] to go on from here.
    pub id: Option<String>,
    /// The event.
    pub event: Event,
}

impl Client {
    /// Follows the account's changes, from after `last_event_id` where one is given. The stream ends when the server
    /// closes it.
    ///
    /// # Errors
    /// As every call of [`Client`]; each item may also be an error, after which the stream ends.
    pub async fn events(
        &self,
        last_event_id: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Numbered, ClientError>> + Send + use<>, ClientError> {
        let mut request = self.request(Method::GET, &["events"]);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let events = self.server_sent_events(request).await?;
        Ok(events.filter_map(async |frame| match frame {
            Err(error) => Some(Err(error)),
            Ok(frame) => {
                let data = frame.data?;
                let event = serde_json::from_str(&data).map_err(ClientError::garbled);
                Some(event.map(|event| Numbered { id: frame.id, event }))
            }
        }))
    }
}
