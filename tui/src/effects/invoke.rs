use std::pin::pin;

use castari_common::Client;
use castari_common::invocations::{InvocationEvent, Invoke};
use futures::StreamExt;

use super::patiently;
use crate::message::{Failure, FailureKind, InvokeStep};

/// Runs an agent and passes on what it writes. Dropped in the middle, it takes the invocation with it.
pub async fn run(client: &Client, slug: &str, prompt: String, send: &(impl Fn(InvokeStep) + Sync)) {
    let invoke = Invoke {
        prompt,
        session_id: None,
    };
    let events = match patiently(client.stream(slug, &invoke)).await {
        Ok(events) => events,
        Err(failure) => return send(InvokeStep::Broke(failure)),
    };
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(InvocationEvent::Start(started)) => send(InvokeStep::Started(started)),
            Ok(InvocationEvent::Output(text)) => send(InvokeStep::Output(text)),
            Ok(InvocationEvent::Log(text)) => send(InvokeStep::Log(text)),
            Ok(InvocationEvent::Done(response)) => return send(InvokeStep::Done(Box::new(response))),
            Ok(InvocationEvent::Error(failure)) => return send(InvokeStep::Failed(Box::new(failure))),
            Err(error) => return send(InvokeStep::Broke(Failure::from(error))),
        }
    }
    let text = "the answer broke off: the connection to the server was closed".into();
    let kind = FailureKind::Unreachable;
    send(InvokeStep::Broke(Failure {
        kind,
        text,
        fields: Vec::new(),
    }));
}
