//! `/events`

use std::collections::VecDeque;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event as Frame;
use castari_common::events::{Event, EventKind};
use futures::stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Api;
use super::answers::Events;
use super::caller::Caller;
use super::error::ApiError;
use super::routes::Routes;
use crate::platform::events::Told;

/// What tells a client that it missed events.
const RESET: Event = Event {
    kind: EventKind::Reset,
    slug: None,
    id: None,
};

pub(super) fn routes() -> Routes {
    Routes::new().get("/events", "Follow changes", follow)
}

async fn follow(State(api): State<Api>, caller: Caller, headers: HeaderMap) -> Result<Events, ApiError> {
    let resume_id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let following = api.platform.events.follow(resume_id);
    let first = match following.missed {
        Some(missed) => missed.into_iter().map(Ok).collect(),
        None => VecDeque::from([Err(RecvError::Lagged(0))]),
    };
    let follower = Follower {
        api,
        user_id: caller.me.id.clone(),
        first,
        live: following.live,
    };
    let frames = stream::unfold(follower, async |mut follower| Some((follower.next().await?, follower)));
    Ok(Events::new(frames))
}

/// One client's place in the events.
struct Follower {
    api: Api,
    user_id: String,
    /// What comes before the live events.
    first: VecDeque<Result<Told, RecvError>>,
    live: Receiver<Told>,
}

impl Follower {
    /// The next frame; `None` when the server closes the stream.
    async fn next(&mut self) -> Option<Result<Frame, axum::Error>> {
        loop {
            let told = if let Some(told) = self.first.pop_front() {
                told
            } else {
                tokio::select! {
                    told = self.live.recv() => told,
                    () = self.api.closing.cancelled() => return None,
                }
            };
            match told {
                Ok(told) if told.user_id == self.user_id => {
                    let id = self.api.platform.events.resume_id(told.number);
                    return Some(Frame::default().id(id).json_data(told.event));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(Frame::default().json_data(RESET)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
