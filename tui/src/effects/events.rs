use std::pin::pin;
use std::time::Duration;

use castari_common::events::Numbered;
use castari_common::{Client, ClientError};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

use super::tell;
use crate::message::{Failure, FailureKind, Feed, Message, Stale};

/// The first and the longest wait before the next try.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How often everything is read again where the server does not tell of changes.
const POLL: Duration = Duration::from_secs(15);
/// After how long a silence the server is asked whether it is there. A connection that died without a word stays
/// silent for ever.
const SILENCE: Duration = Duration::from_secs(20);
/// How long that question may take.
const PROBE: Duration = Duration::from_secs(10);

/// Follows the server's changes for ever. Never gives up: waits longer from try to try, up to a limit.
pub async fn watch(client: Client, queue: UnboundedSender<Message>) {
    let feed = |feed| tell(&queue, Message::Feed(feed));
    let mut last_id: Option<String> = None;
    let mut wait = BACK_OFF.0;
    loop {
        let failure = match timeout(PROBE, client.events(last_id.as_deref())).await {
            Ok(Ok(changes)) => {
                feed(Feed::Open);
                wait = BACK_OFF.0;
                follow(&client, changes, &mut last_id, &feed).await
            }
            Ok(Err(error)) => Failure::from(error),
            Err(_) => Failure::timeout(),
        };
        let pause = match &failure.kind {
            FailureKind::Missing => {
                feed(Feed::Absent);
                sleep(POLL).await;
                tell(&queue, Message::Refresh(Stale::ALL));
                continue;
            }
            FailureKind::Limited(wait) => *wait,
            FailureKind::Unauthorised => BACK_OFF.1,
            _ => wait,
        };
        feed(Feed::Failed(failure));
        sleep(pause).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}

/// Passes changes on until the stream ends; says why it did.
async fn follow(
    client: &Client,
    changes: impl Stream<Item = Result<Numbered, ClientError>>,
    last_id: &mut Option<String>,
    feed: &impl Fn(Feed),
) -> Failure {
    let mut changes = pin!(changes);
    loop {
        match timeout(SILENCE, changes.next()).await {
            Ok(Some(Ok(Numbered { id, event }))) => {
                if id.is_some() {
                    *last_id = id;
                }
                feed(Feed::Changed(event));
            }
            Ok(Some(Err(error))) => return Failure::from(error),
            Ok(None) => {
                return Failure {
                    kind: FailureKind::Unreachable,
                    ..closed()
                };
            }
            Err(_) => match timeout(PROBE, client.health()).await {
                Err(_) => return Failure::timeout(),
                Ok(Err(error @ ClientError::Unreachable(_))) => return Failure::from(error),
                Ok(_) => feed(Feed::Alive),
            },
        }
    }
}

fn closed() -> Failure {
    Failure::local("the server closed the connection")
}
