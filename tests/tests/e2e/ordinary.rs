//! The same as a user who is not root.

use castari_common::agents::AgentStatus;
use castari_tests::archive::{files, manifest};
use castari_tests::{Castari, Options, host, process};
use nix::unistd::geteuid;

use crate::isolation::{assert_isolated, with_secrets};

/// A user that nothing else runs as.
const USER: u32 = 54_321;

/// Options for a server of an ordinary user; `None` where the tests are one already, and all others show the same.
fn ordinary() -> Option<Options> {
    if !geteuid().is_root() {
        host::skip("this is an ordinary user already");
        return None;
    }
    Some(Options::default().user(USER))
}

/// Whether that user can open the device that networks of sandboxes are made with.
fn has_network() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/dev/net/tun").is_ok_and(|device| device.mode() & 0o006 == 0o006)
}

#[tokio::test]
async fn an_ordinary_user_s_agents_work() {
    let Some(options) = ordinary() else { return };
    let castari = Castari::with(options).await;
    assert!(process::status(castari.pid(), "Uid").starts_with(&USER.to_string()));
    castari.create("starter").await;
    let agent = castari.client().deploy("starter", true).await.unwrap();
    assert_eq!(agent.status, AgentStatus::Active, "{agent:?}");
    let answer = castari.invoke("starter", "hello there").await.response_content;
    assert!(answer.starts_with("You said: hello there\n"), "{answer}");

    let typed = files(&[
        ("castari.json", &manifest("src/index.ts")),
        ("src/index.ts", "const n: number = 7; console.log(n)"),
    ]);
    castari.create("typed").await;
    castari.upload("typed", typed).await;
    assert_eq!(castari.invoke("typed", "x").await.response_content, "7\n");
    let answers = futures::future::join_all((0..10).map(|_| castari.invoke("typed", "x"))).await;
    assert!(answers.iter().all(|answer| answer.response_content == "7\n"));
}

#[tokio::test]
async fn an_ordinary_user_s_sandboxes_are_as_closed() {
    let Some(options) = ordinary() else { return };
    let castari = Castari::with(with_secrets(options)).await;
    assert_isolated(&castari, has_network()).await;
}

#[tokio::test]
async fn a_missing_network_is_named_where_one_is_needed() {
    let Some(options) = ordinary() else { return };
    if has_network() {
        return host::skip("/dev/net/tun can be opened by everyone");
    }
    let castari = Castari::with(options).await;
    let package = r#"{"name": "x", "dependencies": {"is-number": "7.0.0"}}"#;
    let archive = files(&[
        ("castari.json", &manifest("a.mjs")),
        ("package.json", package),
        ("a.mjs", ""),
    ]);
    castari.create("one").await;
    let start = std::time::Instant::now();
    let refusal = castari.upload_refused("one", archive).await;
    let reason = refusal.detail.to_string();
    assert_eq!((refusal.status, refusal.code.as_deref()), (400, Some("deploy_failed")));
    assert!(
        reason.starts_with("npm install failed: ") && reason.contains("/dev/net/tun"),
        "{reason}"
    );
    assert!(reason.contains("castari doctor"), "{reason}");
    assert!(
        start.elapsed() < std::time::Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_ordinary_user_s_killed_server_leaves_nothing() {
    let Some(options) = ordinary() else { return };
    let mut castari = Castari::with(options).await;
    castari
        .deploy_script("one", "console.log('begun'); setInterval(() => {}, 1000)")
        .await;
    let invoke = castari_common::invocations::Invoke {
        prompt: "x".into(),
        session_id: None,
    };
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = Box::pin(castari.client().stream("one", &invoke).await.unwrap());
        for _ in 0..2 {
            futures::StreamExt::next(&mut stream).await.unwrap().unwrap();
        }
        streams.push(stream);
    }
    let below = process::descendants(castari.pid());
    assert!(below.len() >= 7, "{below:?}");
    castari.kill();
    castari_tests::eventually("nothing is left", std::time::Duration::from_secs(2), || {
        !below.iter().any(|pid| process::is_alive(*pid))
    })
    .await;
}
