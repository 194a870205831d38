//! Sessions: made, listed, taken turns in, ended.

use std::time::Duration;

use castari_common::events::EventKind;
use castari_common::invocations::{InvocationEvent, InvocationFilter, InvocationResponse, InvocationStatus, Invoke};
use castari_common::{Client, ClientError, Page};
use castari_tests::shape::shape;
use castari_tests::{Castari, Options, within};
use futures::future::join_all;
use futures::{Stream, StreamExt};
use reqwest::Method;
use serde_json::json;

/// Runs for as many milliseconds as its prompt says and answers when it began and ended.
const SLEEPER: &str = "
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const begun = Date.now();
await new Promise(done => setTimeout(done, Number(Buffer.concat(chunks).toString())));
console.log(JSON.stringify([begun, Date.now()]));
";

/// Longer than any test runs.
const LONG: &str = "600000";

const PATIENCE: Duration = Duration::from_secs(60);

async fn sleeper() -> Castari {
    let castari = Castari::start().await;
    castari.deploy_script("one", SLEEPER).await;
    castari
}

fn in_session(session: &str, prompt: &str) -> Invoke {
    Invoke {
        prompt: prompt.into(),
        session_id: Some(session.into()),
    }
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<InvocationEvent, ClientError>> + Send>>;

/// Streams an invocation. It is accepted when this returns.
async fn stream(client: &Client, session: &str, prompt: &str) -> Events {
    Box::pin(client.stream("one", &in_session(session, prompt)).await.unwrap())
}

/// Streams an invocation that runs when this returns.
async fn running(client: &Client, session: &str) -> Events {
    let mut events = stream(client, session, LONG).await;
    let first = within("it starts", PATIENCE, events.next()).await;
    assert!(matches!(first, Some(Ok(InvocationEvent::Start(_)))), "{first:?}");
    events
}

async fn last(events: Events) -> InvocationEvent {
    let all = within("it ends", PATIENCE, events.collect::<Vec<_>>()).await;
    all.into_iter().next_back().unwrap().unwrap()
}

async fn assert_stopped(events: Events, reason: &str) {
    let InvocationEvent::Error(failure) = last(events).await else {
        panic!("it was not ended")
    };
    assert_eq!((failure.code.as_str(), failure.detail.as_str()), ("stopped", reason));
    assert_eq!(failure.response.status, InvocationStatus::Failed);
}

async fn ids(castari: &Castari) -> Vec<String> {
    let sessions = castari
        .client()
        .sessions("one", Page::default())
        .await
        .unwrap()
        .sessions;
    sessions.into_iter().map(|session| session.id).collect()
}

fn times(response: &InvocationResponse) -> (u64, u64) {
    serde_json::from_str(&response.response_content).unwrap()
}

#[tokio::test]
async fn a_session_is_made_listed_and_deleted() {
    let castari = sleeper().await;
    for session in ["first", "..", "first", "third"] {
        let response = castari.client().invoke("one", &in_session(session, "0")).await.unwrap();
        assert_eq!(response.session_id, session);
    }
    let made_up = castari.invoke("one", "0").await.session_id;
    assert_eq!(
        ids(&castari).await,
        ["third", "..", "first"],
        "newest first, without {made_up}"
    );
    let page = castari.get("/agents/one/sessions?limit=1&offset=2").await;
    insta::assert_json_snapshot!("session_list", shape(page.json()));
    let sessions = castari
        .client()
        .sessions("one", Page::default())
        .await
        .unwrap()
        .sessions;
    assert_eq!(sessions[0].last_invocation_at, Some(sessions[0].created_at));
    assert!(sessions[2].last_invocation_at > Some(sessions[2].created_at));

    let filter = InvocationFilter {
        session_id: Some("first".into()),
        agent: Some("one".into()),
        status: None,
    };
    let list = castari.client().invocations(&filter, Page::default()).await.unwrap();
    assert_eq!((list.invocations.len(), list.meta.total), (2, 2));

    castari.client().delete_session("one", "first").await.unwrap();
    assert_eq!(ids(&castari).await, ["third", ".."]);
    for path in ["one/sessions/first", "one/sessions/nobody", "one/sessions/a%00b"] {
        let gone = castari
            .send(castari.request(Method::DELETE, &format!("/agents/{path}")))
            .await;
        assert_eq!(
            (gone.status, gone.code().as_str()),
            (404, "session_not_found"),
            "{path}"
        );
    }
    let gone = castari
        .send(castari.request(Method::DELETE, "/agents/two/sessions/third"))
        .await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "agent_not_found"));
    assert_eq!(castari.get("/agents/two/sessions").await.status, 404);
    assert_eq!(castari.get("/agents/one/sessions?limit=0").await.status, 422);

    // It can be made again, and its invocations are still there.
    castari.client().invoke("one", &in_session("first", "0")).await.unwrap();
    assert_eq!(ids(&castari).await, ["first", "third", ".."]);
    let list = castari.client().invocations(&filter, Page::default()).await.unwrap();
    assert_eq!(list.meta.total, 3);
}

#[tokio::test]
async fn one_runs_after_the_other_in_the_order_of_acceptance() {
    let castari = sleeper().await;
    let mut accepted = Vec::new();
    for _ in 0..4 {
        accepted.push(stream(castari.client(), "a", "150").await);
    }
    let ended = join_all(accepted.into_iter().map(last)).await;
    let times: Vec<_> = ended
        .iter()
        .map(|event| match event {
            InvocationEvent::Done(response) => times(response),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{times:?}");
}

#[tokio::test]
async fn who_waits_holds_up_nobody_else() {
    let options = Options::default().env("CASTARI_MAX_RUNNING_INVOCATIONS", "2");
    let castari = Castari::with(options).await;
    castari.deploy_script("one", SLEEPER).await;
    let first = running(castari.client(), "a").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(stream(castari.client(), "a", "0").await);
    }
    let answers = [
        in_session("b", "0"),
        Invoke {
            session_id: None,
            ..in_session("", "0")
        },
    ];
    for invoke in &answers {
        within("another runs", PATIENCE, castari.client().invoke("one", invoke))
            .await
            .unwrap();
    }
    let filter = InvocationFilter {
        status: Some(InvocationStatus::Running),
        ..InvocationFilter::default()
    };
    let list = castari.client().invocations(&filter, Page::default()).await.unwrap();
    assert_eq!(list.meta.total, 4);
    drop(first);
    for events in waiting {
        assert!(matches!(last(events).await, InvocationEvent::Done(_)));
    }
}

#[tokio::test]
async fn the_deadline_counts_from_the_turn() {
    let castari = sleeper().await;
    let request = castari
        .request(Method::PATCH, "/agents/one")
        .json(&json!({"timeout_seconds": 3}));
    assert_eq!(castari.send(request).await.status, 200);
    let (one, other) = (in_session("a", "1900"), in_session("a", "1900"));
    let (one, other) = tokio::join!(
        castari.client().invoke("one", &one),
        castari.client().invoke("one", &other)
    );
    let waited = one.unwrap().duration_ms.max(other.unwrap().duration_ms);
    assert!(waited >= 3800, "{waited}");
}

#[tokio::test]
async fn a_client_that_leaves_the_line_is_not_waited_for() {
    let castari = sleeper().await;
    let first = running(castari.client(), "a").await;
    let leaving = Client::new(castari.url(), castari.key()).unwrap();
    let second = stream(&leaving, "a", LONG).await;
    let third = stream(castari.client(), "a", "0").await;
    let filter = InvocationFilter {
        status: Some(InvocationStatus::Failed),
        ..InvocationFilter::default()
    };
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    drop(second);
    drop(leaving);
    within("its end is told", PATIENCE, events.next())
        .await
        .unwrap()
        .unwrap();
    let failed = castari.client().invocations(&filter, Page::default()).await.unwrap();
    assert_eq!(
        failed.invocations[0].error_message.as_deref(),
        Some("Cancelled: the stream was closed by its client")
    );
    drop(first);
    assert!(matches!(last(third).await, InvocationEvent::Done(_)));
}

#[tokio::test]
async fn deleting_a_session_ends_what_runs_and_waits_in_it() {
    let castari = sleeper().await;
    let ended = [
        running(castari.client(), "a").await,
        stream(castari.client(), "a", LONG).await,
    ];
    let other = running(castari.client(), "b").await;
    castari.client().delete_session("one", "a").await.unwrap();
    for events in ended {
        assert_stopped(events, "Agent execution failed: the session was deleted").await;
    }
    let invoke = in_session("a", "0");
    within(
        "one of that name made anew runs",
        PATIENCE,
        castari.client().invoke("one", &invoke),
    )
    .await
    .unwrap();
    let filter = InvocationFilter {
        status: Some(InvocationStatus::Running),
        ..InvocationFilter::default()
    };
    let list = castari.client().invocations(&filter, Page::default()).await.unwrap();
    assert_eq!(list.invocations[0].session_id, "b", "others go on");
    drop(other);
}

#[tokio::test]
async fn a_stop_keeps_sessions_and_a_redeploy_ends_them() {
    let mut castari = sleeper().await;
    let ended = [
        running(castari.client(), "a").await,
        stream(castari.client(), "a", LONG).await,
    ];
    castari.client().stop_agent("one").await.unwrap();
    for events in ended {
        assert_stopped(events, "Agent execution failed: the agent was stopped").await;
    }
    castari.restart().await;
    assert_eq!(ids(&castari).await, ["a"]);

    castari.client().deploy("one", true).await.unwrap();
    assert!(ids(&castari).await.is_empty());
    let (in_it, beside_it) = (running(castari.client(), "a").await, castari.client().clone());
    let beside_it = tokio::spawn(async move {
        let invoke = Invoke {
            session_id: None,
            ..in_session("", "1000")
        };
        beside_it.invoke("one", &invoke).await
    });
    castari.client().deploy("one", true).await.unwrap();
    assert_stopped(in_it, "Agent execution failed: the session was deleted").await;
    assert!(ids(&castari).await.is_empty());
    beside_it.await.unwrap().unwrap();

    // Sessions are the agent's own, and go with it.
    castari.client().invoke("one", &in_session("a", "0")).await.unwrap();
    castari.client().delete_agent("one").await.unwrap();
    castari.create("one").await;
    assert!(ids(&castari).await.is_empty());
}

#[tokio::test]
async fn sessions_are_told_of() {
    let castari = sleeper().await;
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    for _ in 0..2 {
        castari.client().invoke("one", &in_session("a", "0")).await.unwrap();
    }
    castari.client().delete_session("one", "a").await.unwrap();
    let mut told = Vec::new();
    for _ in 0..6 {
        let event = within("it is told", PATIENCE, events.next())
            .await
            .unwrap()
            .unwrap()
            .event;
        if event.kind == EventKind::Session {
            assert_eq!((event.slug.as_deref(), event.id.as_deref()), (Some("one"), Some("a")));
        }
        told.push(event.kind);
    }
    let [session, invocation] = [EventKind::Session, EventKind::Invocation];
    assert_eq!(told, [session, invocation, invocation, invocation, invocation, session]);
}
