//! The stream of changes.

use std::time::Duration;

use castari_common::events::{EventKind, Numbered};
use castari_common::{Client, ClientError};
use castari_tests::{Castari, within};
use futures::{Stream, StreamExt};

async fn follow(
    client: &Client,
    from: Option<&str>,
) -> impl Stream<Item = Result<Numbered, ClientError>> + Unpin + use<> {
    Box::pin(client.events(from).await.unwrap())
}

async fn next(events: &mut (impl Stream<Item = Result<Numbered, ClientError>> + Unpin)) -> Numbered {
    within("an event comes", Duration::from_secs(30), events.next())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn changes_are_told_as_they_happen() {
    let castari = Castari::start().await;
    let mut events = follow(castari.client(), None).await;
    let agent = castari.create("one").await;
    let told = next(&mut events).await.event;
    assert_eq!(
        (told.kind, told.slug.as_deref(), told.id),
        (EventKind::Agent, Some("one"), Some(agent.id.clone()))
    );

    castari.client().deploy("one", true).await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let told = next(&mut events).await.event;
        assert_eq!(told.slug.as_deref(), Some("one"));
        kinds.push(told.kind);
    }
    assert_eq!(
        kinds,
        [
            EventKind::Agent,
            EventKind::Deployment,
            EventKind::Agent,
            EventKind::Deployment
        ]
    );

    let id = castari.invoke("one", "hello").await.invocation_id;
    for _ in 0..2 {
        let told = next(&mut events).await.event;
        assert_eq!((told.kind, told.id.as_ref()), (EventKind::Invocation, Some(&id)));
    }
    castari
        .client()
        .update_agent("one", &castari_common::agents::UpdateAgent::default())
        .await
        .unwrap();
    castari.client().stop_agent("one").await.unwrap();
    castari.client().delete_agent("one").await.unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut events).await.event.kind, EventKind::Agent);
    }
}

#[tokio::test]
async fn who_comes_back_misses_nothing() {
    let mut castari = Castari::start().await;
    let mut events = follow(castari.client(), None).await;
    castari.create("one").await;
    let first = next(&mut events).await;
    drop(events);
    castari.create("two").await;
    castari.create("three").await;
    let mut events = follow(castari.client(), first.id.as_deref()).await;
    for slug in ["two", "three"] {
        assert_eq!(next(&mut events).await.event.slug.as_deref(), Some(slug));
    }
    castari.create("four").await;
    let last = next(&mut events).await;
    assert_eq!(last.event.slug.as_deref(), Some("four"));

    for unknown in ["nonsense", "other-1", ""] {
        let mut events = follow(castari.client(), Some(unknown)).await;
        assert_eq!(next(&mut events).await.event.kind, EventKind::Reset, "{unknown}");
        castari.create(&format!("after-{}", unknown.len())).await;
        assert_eq!(next(&mut events).await.event.kind, EventKind::Agent);
    }
    castari.restart().await;
    let mut events = follow(castari.client(), last.id.as_deref()).await;
    assert_eq!(next(&mut events).await.event.kind, EventKind::Reset);
}

#[tokio::test]
async fn an_open_stream_of_events_is_plain_server_sent_events() {
    let castari = Castari::start().await;
    let request = castari.request(reqwest::Method::GET, "/events");
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let agent = castari.create("one").await;
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    let data = format!("{{\"kind\":\"agent\",\"slug\":\"one\",\"id\":\"{}\"}}", agent.id);
    assert!(
        text.contains(&format!("data: {data}\n")) && text.contains("id: "),
        "{text}"
    );
}

#[tokio::test]
async fn open_streams_do_not_hold_the_end() {
    let mut castari = Castari::start().await;
    let open = futures::future::join_all((0..5).map(|_| follow(castari.client(), None))).await;
    let start = std::time::Instant::now();
    castari.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(castari.ended().await.success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    for mut events in open {
        assert!(events.next().await.is_none(), "the streams are closed in order");
    }
}
