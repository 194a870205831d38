use std::pin::pin;
use std::time::Duration;

use castari_common::{Client, ClientError};
use futures::StreamExt;
use tokio::time::sleep;

use super::patiently;
use crate::message::{Failure, FailureKind, LogPiece};

/// The first and the longest wait before a log that broke off is read again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Reads a deployment's log; with `follow`, until the deployment ends. A connection that breaks is made again for as
/// long as somebody wants the log; it then starts anew.
pub async fn read(client: &Client, slug: &str, deployment: &str, follow: bool, send: &(impl Fn(LogPiece) + Sync)) {
    if !follow {
        match patiently(client.deployment_log(slug, deployment)).await {
            Ok(log) => {
                send(LogPiece::Start);
                send(LogPiece::More(log.into()));
                send(LogPiece::End);
            }
            Err(failure) => send(LogPiece::Failed(failure)),
        }
        return;
    }
    let mut wait = BACK_OFF.0;
    loop {
        match once(client, slug, deployment, send).await {
            Ok(()) => return send(LogPiece::End),
            Err(failure) if failure.kind == FailureKind::Unreachable => {
                send(LogPiece::Failed(failure));
                sleep(wait).await;
                wait = (wait * 2).min(BACK_OFF.1);
            }
            Err(failure) => return send(LogPiece::Failed(failure)),
        }
    }
}

async fn once(client: &Client, slug: &str, deployment: &str, send: &(impl Fn(LogPiece) + Sync)) -> Result<(), Failure> {
    let log = patiently(client.follow_deployment_log(slug, deployment)).await?;
    let mut log = pin!(log);
    send(LogPiece::Start);
    while let Some(piece) = log.next().await {
        send(LogPiece::More(
            piece.map_err(|error: ClientError| Failure::from(error))?,
        ));
    }
    Ok(())
}
