//! Many invocations at once, and what is left of them.

use std::collections::HashSet;
use std::time::Duration;

use castari_common::Page;
use castari_common::invocations::{InvocationFilter, InvocationStatus};
use castari_tests::{Castari, eventually, host, process, within};
use futures::future::join_all;
use serde_json::{Value, json};

const CROWD: usize = 50;

/// Answers with its prompt's number and its namespaces, when the gate that the prompt names lets it go on.
const AGENT: &str = r#"
import fs from "node:fs";
import net from "node:net";
import { text } from "node:stream/consumers";
const { number, gate } = JSON.parse(await text(process.stdin));
fs.writeFileSync("/workspace/number", String(number));
if (gate) await new Promise((done, failed) => {
    net.connect(gate.port, gate.host).on("error", failed).on("end", done).resume();
});
const namespaces = Object.fromEntries(fs.readdirSync("/proc/self/ns").map(n => [n, fs.readlinkSync(`/proc/self/ns/${n}`)]));
console.log(JSON.stringify({ number: Number(fs.readFileSync("/workspace/number", "utf8")), namespaces }));
"#;

#[tokio::test]
async fn fifty_at_once_answer_right_and_leave_nothing() {
    let address = host::own_address().filter(|_| host::has_tun());
    let mut gate = None;
    if let Some(address) = address {
        gate = Some(host::Gate::on(address).await);
    } else {
        host::skip("no network for sandboxes: it is not made sure that all run at the same time");
    }
    let castari = match &gate {
        Some(gate) => Castari::reaching(gate.address()).await,
        None => Castari::start().await,
    };
    castari.deploy_script("one", AGENT).await;
    let named = gate
        .as_ref()
        .map(|gate| json!({"host": gate.address().ip(), "port": gate.address().port()}));
    let prompt = |number: usize| json!({"number": number, "gate": named}).to_string();
    // Connections and worker threads are made once; they are no traces. A first crowd takes care of that.
    let crowd = async || {
        let prompts: Vec<String> = (0..CROWD).map(prompt).collect();
        let answers = join_all(prompts.iter().map(|prompt| castari.invoke("one", prompt)));
        let opened = async {
            let Some(gate) = &gate else { return Vec::new() };
            let waiting = within("all of them run", Duration::from_secs(120), gate.wait_for(CROWD)).await;
            let filter = InvocationFilter {
                status: Some(InvocationStatus::Running),
                ..InvocationFilter::default()
            };
            let running = castari.client().invocations(&filter, Page::default()).await.unwrap();
            assert_eq!(running.meta.total, CROWD as u64);
            let seen: Vec<_> = process::descendants(castari.pid()).into_iter().skip(1).collect();
            assert!(seen.len() >= 2 * CROWD, "an init and an agent each");
            drop(waiting);
            seen.into_iter().map(|pid| (pid, process::started(pid))).collect()
        };
        tokio::join!(answers, opened)
    };
    crowd().await;
    let [spawner] = process::descendants(castari.pid())[..] else {
        panic!("more than the spawner is there")
    };
    assert_eq!(process::name(spawner), "castari-spawner");
    let state = || {
        let files = castari.files();
        let counts = [castari.pid(), spawner].map(|pid| {
            // Connections of clients come and go on their own.
            process::descriptors(pid)
                .into_iter()
                .filter(|open| !open.starts_with("socket:"))
                .count()
        });
        (files, counts, process::mounts(castari.pid()), process::mounts(spawner))
    };
    let before = state();

    let (answers, seen) = crowd().await;
    let mut sandboxes = HashSet::new();
    let mut namespaces: HashSet<String> = HashSet::new();
    for (number, answer) in answers.iter().enumerate() {
        let said: Value = serde_json::from_str(&answer.response_content).unwrap();
        assert_eq!(said["number"], number);
        sandboxes.insert(answer.sandbox_id.clone().unwrap());
        for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let of_host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let namespace = said["namespaces"][kind].as_str().unwrap().to_owned();
            assert_ne!(namespace, of_host.display().to_string());
            namespaces.insert(namespace);
        }
    }
    assert_eq!(sandboxes.len(), CROWD);
    if gate.is_some() {
        // All of them lived at the same time: no number was used again.
        assert_eq!(namespaces.len(), 7 * CROWD);
    }

    eventually("no process is left", Duration::from_secs(2), || {
        process::descendants(castari.pid()) == [spawner]
    })
    .await;
    // Also none that has got out of the tree.
    for (pid, started) in seen {
        assert!(
            !process::is_alive(pid) || process::started(pid) != started,
            "{pid} is left"
        );
    }
    eventually(
        "files, descriptors and mounts are as before",
        Duration::from_secs(2),
        || state() == before,
    )
    .await;
    assert_eq!(process::descendants(castari.pid()), [spawner]);
    assert!(
        !castari.log().contains("ERROR") && !castari.log().contains("WARN"),
        "{}",
        castari.log()
    );
}

#[tokio::test]
async fn more_than_may_run_wait_for_their_turn() {
    let options = castari_tests::Options::default().env("CASTARI_MAX_RUNNING_INVOCATIONS", "2");
    let castari = Castari::with(options).await;
    castari.deploy_script("one", AGENT).await;
    let prompts: Vec<String> = (0..8).map(|number| json!({"number": number}).to_string()).collect();
    let answers = join_all(prompts.iter().map(|prompt| castari.invoke("one", prompt))).await;
    for (number, answer) in answers.iter().enumerate() {
        let said: Value = serde_json::from_str(&answer.response_content).unwrap();
        assert_eq!(said["number"], number);
    }
}

#[tokio::test]
async fn who_left_while_waiting_takes_no_turn() {
    let options = castari_tests::Options::default().env("CASTARI_MAX_RUNNING_INVOCATIONS", "1");
    let castari = Castari::with(options).await;
    castari
        .deploy_script("one", "console.log('begun'); setInterval(() => {}, 1000)")
        .await;
    castari.deploy_script("two", "console.log('quick')").await;
    let client = || castari_common::Client::new(castari.url(), castari.key()).unwrap();
    let invoke = castari_common::invocations::Invoke {
        prompt: "x".into(),
        session_id: None,
    };
    let blocking = client();
    let mut running = Box::pin(blocking.stream("one", &invoke).await.unwrap());
    for _ in 0..2 {
        futures::StreamExt::next(&mut running).await.unwrap().unwrap();
    }
    let waiting = client();
    let second = Box::pin(waiting.stream("one", &invoke).await.unwrap());
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    drop(second);
    drop(waiting);
    within(
        "it is recorded",
        Duration::from_secs(10),
        futures::StreamExt::next(&mut events),
    )
    .await
    .unwrap()
    .unwrap();
    let list = castari
        .client()
        .invocations(&InvocationFilter::default(), Page::default())
        .await
        .unwrap();
    assert_eq!(list.invocations[0].status, InvocationStatus::Failed, "{list:?}");
    assert_eq!(list.invocations[0].sandbox_id, None, "it never had a sandbox");
    castari.client().stop_agent("one").await.unwrap();
    assert_eq!(castari.invoke("two", "x").await.response_content, "quick\n");
}
