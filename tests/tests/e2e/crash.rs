//! The end of a server, in order and otherwise.

use std::time::{Duration, Instant};

use castari_common::Page;
use castari_common::agents::AgentStatus;
use castari_common::deployments::DeploymentStatus;
use castari_common::invocations::{InvocationEvent, InvocationFilter, InvocationStatus, Invoke};
use castari_tests::archive::{files, manifest};
use castari_tests::{Castari, eventually, process};
use futures::StreamExt;
use futures::future::join_all;
use nix::sys::signal::Signal;

/// Says that it runs, waits as long as it is told, and has a child that shrugs off signals.
const AGENT: &str = r#"
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
const wait = Number(await text(process.stdin));
spawn("/bin/sh", ["-c", "trap : TERM HUP INT; while :; do sleep 1000; done"], { detached: true, stdio: "ignore" }).unref();
console.log("begun");
await new Promise(done => setTimeout(done, wait));
console.log("finished");
"#;

/// Starts an invocation and waits until its agent has said something.
async fn begin(
    castari: &Castari,
    wait: u32,
) -> impl futures::Stream<Item = Result<InvocationEvent, castari_common::ClientError>> + Unpin + use<> {
    let invoke = Invoke {
        prompt: wait.to_string(),
        session_id: None,
    };
    let mut stream = Box::pin(castari.client().stream("one", &invoke).await.unwrap());
    for _ in 0..2 {
        stream.next().await.unwrap().unwrap();
    }
    stream
}

#[tokio::test]
async fn a_killed_server_takes_its_sandboxes_along_and_tells_of_it_later() {
    let mut castari = Castari::start().await;
    castari.deploy_script("one", AGENT).await;
    assert_eq!(castari.invoke("one", "0").await.response_content, "begun\nfinished\n");
    let mut running = join_all((0..10).map(|_| begin(&castari, 1_000_000))).await;
    let below = process::descendants(castari.pid());
    // The spawner, and of each an init, an agent and a shell, at least.
    assert!(below.len() > 30, "{below:?}");

    castari.kill();
    eventually("no process of theirs is alive", Duration::from_secs(2), || {
        !below.iter().any(|pid| process::is_alive(*pid))
    })
    .await;
    for stream in &mut running {
        assert!(!matches!(stream.next().await, Some(Ok(_))));
    }

    castari.restart().await;
    let list = castari
        .client()
        .invocations(&InvocationFilter::default(), Page::default())
        .await
        .unwrap();
    assert_eq!(list.meta.total, 11);
    for invocation in &list.invocations[..10] {
        assert_eq!(invocation.status, InvocationStatus::Failed, "{invocation:?}");
        assert_eq!(
            invocation.error_message.as_deref(),
            Some("The server stopped while this was running")
        );
    }
    let database = rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap();
    let check: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let broken = database
        .prepare("PRAGMA foreign_key_check")
        .unwrap()
        .exists([])
        .unwrap();
    assert!(!broken);
    drop(database);
    assert_eq!(castari.client().agent("one").await.unwrap().status, AgentStatus::Active);
    assert_eq!(castari.invoke("one", "0").await.response_content, "begun\nfinished\n");
    castari
        .settles("an archive and its code", |files| files.len() == 2)
        .await;
}

#[tokio::test]
async fn a_killed_server_s_deploys_failed() {
    let mut castari = Castari::start().await;
    let package = r#"{"name": "x", "scripts": {"preinstall": "sleep 1000"}, "dependencies": {"l": "file:./l"}}"#;
    let slow = files(&[
        ("castari.json", &manifest("index.mjs")),
        ("package.json", package),
        ("l/package.json", r#"{"name": "l", "version": "1.0.0"}"#),
        ("index.mjs", ""),
    ]);
    castari.deploy_script("served", "console.log('earlier')").await;
    castari.create("new").await;
    for slug in ["served", "new"] {
        castari.client().upload_code(slug, slow.clone(), false).await.unwrap();
        castari.client().deploy(slug, false).await.unwrap();
        let id = castari
            .client()
            .deployments(slug, Page::default())
            .await
            .unwrap()
            .deployments[0]
            .id
            .clone();
        let mut log = Box::pin(castari.client().follow_deployment_log(slug, &id).await.unwrap());
        log.next().await.unwrap().unwrap();
    }
    castari.restart().await;
    for (slug, status) in [("served", AgentStatus::Active), ("new", AgentStatus::Error)] {
        let agent = castari.client().agent(slug).await.unwrap();
        assert_eq!(agent.status, status, "{agent:?}");
        assert!(agent.status_message.is_some(), "{agent:?}");
        let list = castari.client().deployments(slug, Page::default()).await.unwrap();
        assert_eq!(list.deployments[0].status, DeploymentStatus::Failed);
        assert!(list.deployments[0].error.is_some() && list.deployments[0].finished_at.is_some());
    }
    assert_eq!(castari.invoke("served", "x").await.response_content, "earlier\n");
    let is_staging = |file: &String| file.starts_with("staging/");
    castari
        .settles("nothing unfinished", |files| !files.iter().any(is_staging))
        .await;
}

#[tokio::test]
async fn a_server_asked_to_end_lets_what_runs_finish() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut castari = Castari::start().await;
        castari.deploy_script("one", AGENT).await;
        let running = begin(&castari, 1500).await;
        // Neither of these ends by itself.
        let events = castari.client().events(None).await.unwrap();
        let below = process::descendants(castari.pid());
        castari.signal(signal);
        let rest: Vec<InvocationEvent> = running.map(Result::unwrap).collect().await;
        let Some(InvocationEvent::Done(done)) = rest.last() else {
            panic!("{rest:?}")
        };
        assert_eq!(done.response_content, "begun\nfinished\n");
        let said: Vec<_> = events.collect().await;
        assert!(said.iter().all(Result::is_ok), "{said:?}");
        assert!(castari.ended().await.success());
        eventually("nothing of it is left", Duration::from_secs(2), || {
            !below.iter().any(|pid| process::is_alive(*pid))
        })
        .await;
        castari.restart().await;
        let recorded = castari.client().invocation(&done.invocation_id).await.unwrap();
        assert_eq!(
            (recorded.status, recorded.response_content),
            (InvocationStatus::Completed, "begun\nfinished\n".into())
        );
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    let mut castari = Castari::start().await;
    castari.deploy_script("one", AGENT).await;
    let running = begin(&castari, 1_000_000).await;
    let client = castari.client().clone();
    castari.signal(Signal::SIGTERM);
    eventually("it takes note of the first", Duration::from_secs(10), || {
        castari.log().contains("a second signal")
    })
    .await;
    // Who asks for more is told so, or finds nobody listening.
    if let Err(error) = client
        .invoke(
            "one",
            &Invoke {
                prompt: "0".into(),
                session_id: None,
            },
        )
        .await
    {
        assert!(error.refusal().is_none_or(|refusal| refusal.status == 503), "{error:?}");
    }
    let start = Instant::now();
    castari.signal(Signal::SIGTERM);
    let rest: Vec<_> = running.collect().await;
    assert!(castari.ended().await.success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let Some(Ok(InvocationEvent::Error(failure))) = rest.last() else {
        panic!("{rest:?}")
    };
    assert_eq!(failure.code, "interrupted");
    castari.restart().await;
    let recorded = castari
        .client()
        .invocation(&failure.response.invocation_id)
        .await
        .unwrap();
    assert_eq!(recorded.status, InvocationStatus::Failed);
    assert!(recorded.error_message.is_some());
}

#[tokio::test]
async fn a_lost_spawner_is_no_silent_end() {
    let castari = Castari::start().await;
    castari.deploy_script("one", "console.log('hello')").await;
    let [spawner] = process::descendants(castari.pid())[..] else {
        panic!("more than the spawner is there")
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(spawner.cast_signed()), Signal::SIGKILL).unwrap();
    eventually("it is gone", Duration::from_secs(2), || !process::is_alive(spawner)).await;
    // Either it is made again, or whoever asks is told; nobody waits for ever.
    let invoke = Invoke {
        prompt: "x".into(),
        session_id: None,
    };
    let answer = castari_tests::within(
        "there is an answer",
        Duration::from_secs(10),
        castari.client().invoke("one", &invoke),
    )
    .await;
    match answer {
        Ok(response) => assert_eq!(response.response_content, "hello\n"),
        Err(error) => assert_eq!(error.refusal().unwrap().code.as_deref(), Some("sandbox_failed")),
    }
}
