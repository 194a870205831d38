//! From a prompt to an answer.

use castari_common::invocations::{InvocationEvent, InvocationFilter, InvocationStatus, Invoke};
use castari_common::{Client, Page};
use castari_tests::shape::shape;
use castari_tests::{Castari, eventually, within};
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

/// Reads its prompt and runs it: so each test can say what its agent does.
const OBEDIENT: &str = r#"
import { text } from "node:stream/consumers";
const prompt = await text(process.stdin);
const run = Object.getPrototypeOf(async () => {}).constructor;
await run("require", prompt)((await import("node:module")).createRequire(import.meta.url));
"#;

async fn events(client: &Client, slug: &str, prompt: &str) -> Vec<InvocationEvent> {
    let invoke = Invoke {
        prompt: prompt.into(),
        session_id: None,
    };
    let stream = client.stream(slug, &invoke).await.unwrap();
    stream.map(Result::unwrap).collect().await
}

async fn obedient() -> Castari {
    let castari = Castari::start().await;
    castari.deploy_script("one", OBEDIENT).await;
    castari
}

#[tokio::test]
async fn stdout_is_the_answer_and_stderr_the_log() {
    let castari = obedient().await;
    let prompt = "console.log('an answer'); console.error('a note'); process.stdout.write('more')";
    let response = castari.invoke("one", prompt).await;
    assert_eq!(response.response_content, "an answer\nmore");
    assert_eq!(response.status, InvocationStatus::Completed);
    assert!(response.session_id.starts_with("sess_") && response.sandbox_id.is_some());
    let id = response.invocation_id;
    assert_eq!(castari.client().invocation_log(&id).await.unwrap(), "a note\n");
    let answer = castari.get(&format!("/invocations/{id}")).await;
    insta::assert_json_snapshot!("invocation", shape(answer.json()));
    let list = castari.get("/agents/one/invocations").await;
    insta::assert_json_snapshot!("invocation_list", shape(list.json()));
    assert_eq!(castari.get("/invocations").await.json(), list.json());
    let answer = castari.get(&format!("/invocations/{id}/logs")).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_stream_tells_what_happens_in_order() {
    let castari = obedient().await;
    // Each piece is written when the one before has had time to be read.
    let prompt = "for (const piece of ['one ', 'two ', 'three']) {\
        process.stdout.write(piece); await new Promise(done => setTimeout(done, 200)); }\
        console.error('noted');";
    let events = events(castari.client(), "one", prompt).await;
    let Some(InvocationEvent::Start(started)) = events.first() else {
        panic!("{events:?}")
    };
    let Some(InvocationEvent::Done(done)) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (&started.invocation_id, &started.session_id),
        (&done.invocation_id, &done.session_id)
    );
    assert_eq!(started.sandbox_id, done.sandbox_id);
    assert_eq!(done.response_content, "one two three");
    let middle = &events[1..events.len() - 1];
    let piece = |text: &str| InvocationEvent::Output(text.into());
    let expected = [
        piece("one "),
        piece("two "),
        piece("three"),
        InvocationEvent::Log("noted\n".into()),
    ];
    assert_eq!(middle, expected);

    let request = castari.request(Method::POST, "/agents/one/stream");
    let answer = castari.send(request.json(&json!({"prompt": "console.log(1)"}))).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/event-stream")
    );
    let names: Vec<&str> = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(names, ["start", "output", "done"], "{}", answer.text);
    assert!(!answer.header("x-ratelimit-limit").is_empty());
}

#[tokio::test]
async fn characters_that_are_split_between_writes_arrive_whole() {
    let castari = obedient().await;
    let prompt = "const bytes = Buffer.from('a€😀é'); for (const byte of bytes) {\
        require('fs').writeSync(1, Buffer.from([byte])); await new Promise(done => setTimeout(done, 30)); }";
    let events = events(castari.client(), "one", prompt).await;
    let mut text = String::new();
    for event in &events {
        match event {
            InvocationEvent::Output(piece) => text.push_str(piece),
            InvocationEvent::Done(done) => assert_eq!(done.response_content, "a€😀é"),
            InvocationEvent::Start(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(text, "a€😀é");
    // What is no text at all is shown as such, and NUL is no end.
    let answer = castari
        .invoke("one", r"require('fs').writeSync(1, Buffer.from([97, 0, 255, 98]))")
        .await;
    assert_eq!(answer.response_content, "a\0\u{fffd}b");
}

#[tokio::test]
async fn each_way_to_fail_has_its_reason() {
    let castari = obedient().await;
    for (prompt, code, detail, log) in [
        (
            "process.exit(3)",
            "agent_failed",
            "Agent execution failed: it ended with status 3",
            "",
        ),
        (
            "console.error('bad luck'); process.exit(1)",
            "agent_failed",
            "Agent execution failed: it ended with status 1: bad luck",
            "bad luck\n",
        ),
        (
            "process.kill(process.pid, 'SIGKILL'); await new Promise(() => setInterval(() => {}, 9))",
            "agent_killed",
            "Agent execution failed: it was killed by SIGKILL",
            "",
        ),
        (
            "process.kill(process.pid, 'SIGTERM'); await new Promise(() => setInterval(() => {}, 9))",
            "agent_killed",
            "Agent execution failed: it was killed by SIGTERM",
            "",
        ),
    ] {
        let prompt = format!("require('fs').writeSync(1, 'partly'); {prompt}");
        let failure = castari.invoke_failing("one", &prompt).await;
        assert_eq!((failure.code.as_str(), failure.detail.as_str()), (code, detail));
        assert_eq!(failure.response.status, InvocationStatus::Failed);
        assert_eq!(failure.response.response_content, "partly");
        let id = &failure.response.invocation_id;
        let recorded = castari.client().invocation(id).await.unwrap();
        assert_eq!(recorded.error_message.as_deref(), Some(detail));
        assert_eq!(
            (recorded.status, recorded.response_content.as_str()),
            (InvocationStatus::Failed, "partly")
        );
        assert_eq!(castari.client().invocation_log(id).await.unwrap(), log);
        let events = events(castari.client(), "one", &prompt).await;
        let Some(InvocationEvent::Error(streamed)) = events.last() else {
            panic!("{events:?}")
        };
        assert_eq!((&streamed.code, &streamed.detail), (&failure.code, &failure.detail));
    }
    let answer = castari
        .post("/agents/one/invoke", &json!({"prompt": "process.exit(3)"}))
        .await;
    assert_eq!(answer.status, 500);
    insta::assert_json_snapshot!("invocation_failure", shape(answer.json()));
    let filter = InvocationFilter {
        status: Some(InvocationStatus::Failed),
        ..InvocationFilter::default()
    };
    let failed = castari.client().invocations(&filter, Page::default()).await.unwrap();
    assert_eq!(failed.meta.total, 9);
    let filter = InvocationFilter {
        status: Some(InvocationStatus::Completed),
        ..InvocationFilter::default()
    };
    assert_eq!(
        castari
            .client()
            .invocations(&filter, Page::default())
            .await
            .unwrap()
            .meta
            .total,
        0
    );
}

#[tokio::test]
async fn the_deadline_ends_an_agent() {
    let castari = obedient().await;
    let request = castari
        .request(Method::PATCH, "/agents/one")
        .json(&json!({"timeout_seconds": 1}));
    assert_eq!(castari.send(request).await.status, 200);
    for prompt in [
        "console.log('begun'); setInterval(() => {}, 1000)",
        "console.log('begun'); for (;;) {}",
    ] {
        let failure = castari.invoke_failing("one", prompt).await;
        assert_eq!(
            (failure.code.as_str(), failure.detail.as_str()),
            ("timeout", "Timeout exceeded after 1 seconds")
        );
        assert!((1000..10_000).contains(&failure.response.duration_ms), "{failure:?}");
        assert_eq!(failure.response.response_content, "begun\n");
    }
}

#[tokio::test]
async fn running_out_of_memory_is_said() {
    let castari = obedient().await;
    let prompt = "const kept = []; for (;;) { kept.push(Buffer.alloc(64 << 20, 1)); await new Promise(setImmediate); }";
    let failure = castari.invoke_failing("one", prompt).await;
    assert_eq!(failure.code, "out_of_memory", "{failure:?}");
    assert!(
        failure.detail.starts_with("Agent execution failed: out of memory"),
        "{failure:?}"
    );
    // In a child, and in node's own heap.
    let prompt = "const code = 'const kept = []; for (;;) kept.push(Buffer.alloc(64 << 20, 1))';\
        const { status, signal } = require('child_process').spawnSync(process.execPath, ['-e', code]); console.log(status, signal);";
    let failure = castari.invoke_failing("one", prompt).await;
    assert_eq!(failure.code, "out_of_memory", "{failure:?}");
    assert_eq!(
        castari
            .invoke("one", "console.log('still works')")
            .await
            .response_content,
        "still works\n"
    );
}

#[tokio::test]
async fn shared_memory_counts_as_well() {
    let castari = obedient().await;
    let request = castari
        .request(Method::PATCH, "/agents/one")
        .json(&json!({"timeout_seconds": 20}));
    assert_eq!(castari.send(request).await.status, 200);
    // Files in memory are bounded apart; beyond it writing fails.
    let prompt = "const fs = require('fs'); let n = 0; const block = Buffer.alloc(64 << 20, 1);\
        for (const dir of ['/tmp', '/dev/shm', '/home/agent', '/workspace']) try { for (let i = 0; i < 64; i++) {\
        fs.writeFileSync(`${dir}/${i}`, block); n += 64; } } catch (e) { console.error(dir, e.code) } console.log(n)";
    match castari
        .client()
        .invoke(
            "one",
            &Invoke {
                prompt: prompt.into(),
                session_id: None,
            },
        )
        .await
    {
        Ok(response) => {
            let mebibytes: u32 = response.response_content.trim().parse().unwrap();
            assert!(mebibytes <= 2048, "{mebibytes} MiB were taken");
        }
        Err(error) => assert!(error.to_string().contains("out of memory"), "{error}"),
    }
}

#[tokio::test]
async fn output_is_cut_at_ten_mebibytes() {
    let castari = obedient().await;
    let prompt = "const block = Buffer.alloc(1 << 20, 'x'); for (let i = 0; i < 12; i++)\
        await new Promise(done => process.stdout.write(block, done)); process.stderr.write('noted')";
    let response = castari.invoke("one", prompt).await;
    assert_eq!(response.response_content.len(), 10 << 20);
    let log = castari.client().invocation_log(&response.invocation_id).await.unwrap();
    assert_eq!(
        log,
        "noted\n[castari] stdout reached 10 MiB; what came after was not kept\n"
    );
    let prompt = "const block = Buffer.alloc(1 << 20, 'x'); for (let i = 0; i < 12; i++)\
        await new Promise(done => process.stderr.write(block, done)); process.stdout.write('answered')";
    let response = castari.invoke("one", prompt).await;
    assert_eq!(response.response_content, "answered");
    let log = castari.client().invocation_log(&response.invocation_id).await.unwrap();
    assert!(log.ends_with("x\n[castari] stderr reached 10 MiB; what came after was not kept\n"));
    // In a list, only their beginnings.
    let list = castari
        .client()
        .invocations(&<_>::default(), Page::default())
        .await
        .unwrap();
    assert!(
        list.invocations
            .iter()
            .all(|it| it.response_content.len() <= 500 && it.prompt.len() <= 500)
    );
}

#[tokio::test]
async fn a_prompt_has_a_length() {
    let castari = Castari::start().await;
    let code = "import { buffer } from 'node:stream/consumers'; const b = await buffer(process.stdin);\
        console.log(b.length, require('crypto').createHash('sha256').update(b).digest('hex'))";
    let code = format!(
        "import {{ createRequire }} from 'node:module'; const require = createRequire(import.meta.url); {code}"
    );
    castari.deploy_script("one", &code).await;
    let longest = "é".repeat(1 << 19);
    assert_eq!(longest.len(), 1 << 20);
    let answer = castari.invoke("one", &longest).await.response_content;
    assert!(answer.starts_with("1048576 "), "{answer}");
    // Every character escaped is longer on the way and as long as before.
    assert!(
        castari
            .invoke("one", &"\u{1}".repeat(1 << 20))
            .await
            .response_content
            .starts_with("1048576 ")
    );
    assert!(castari.invoke("one", "a\0b").await.response_content.starts_with("3 "));
    for (prompt, kind) in [
        (json!(""), "value_error.any_str.min_length"),
        (json!("é".repeat((1 << 19) + 1)), "value_error.any_str.max_length"),
        (json!("x".repeat(2 << 20)), "value_error.any_str.max_length"),
        (json!(null), "type_error.none.not_allowed"),
        (json!(7), "type_error.str"),
    ] {
        for call in ["invoke", "stream"] {
            let answer = castari
                .post(&format!("/agents/one/{call}"), &json!({"prompt": prompt}))
                .await;
            assert_eq!(answer.status, 422, "{kind}");
            let fault = &answer.json()["detail"][0];
            assert_eq!(
                (&fault["loc"], &fault["type"]),
                (&json!(["body", "prompt"]), &json!(kind))
            );
            assert!(answer.text.len() < 1000, "the fault repeats the prompt");
        }
    }
    assert_eq!(
        castari
            .client()
            .invocations(&<_>::default(), Page::default())
            .await
            .unwrap()
            .meta
            .total,
        3
    );
}

#[tokio::test]
async fn a_session_s_name_is_checked_and_given_back() {
    let castari = obedient().await;
    for session in ["a", "user:1.x_Y-z", &"s".repeat(128)] {
        let invoke = Invoke {
            prompt: "console.log(process.env.CASTARI_SESSION_ID)".into(),
            session_id: Some(session.into()),
        };
        let response = castari.client().invoke("one", &invoke).await.unwrap();
        assert_eq!(
            (response.session_id.as_str(), response.response_content.trim()),
            (session, session)
        );
    }
    for session in ["", "a b", "a/b", "é", "a\n", &"s".repeat(129)] {
        let answer = castari
            .post("/agents/one/invoke", &json!({"prompt": "1", "session_id": session}))
            .await;
        assert_eq!(
            (answer.status, &answer.json()["detail"][0]["loc"]),
            (422, &json!(["body", "session_id"])),
            "{session:?}"
        );
    }
}

#[tokio::test]
async fn agents_that_do_not_care_for_their_stdio_are_no_trouble() {
    let castari = Castari::start().await;
    castari.deploy_script("deaf", "console.log('never read')").await;
    assert_eq!(
        castari.invoke("deaf", &"x".repeat(1 << 20)).await.response_content,
        "never read\n"
    );
    let silent = "import fs from 'node:fs'; fs.writeSync(1, 'said'); fs.closeSync(1); fs.closeSync(2);\
        await new Promise(done => setTimeout(done, 300)); process.exit(0)";
    castari.deploy_script("silent", silent).await;
    let response = castari.invoke("silent", "x").await;
    assert_eq!(response.response_content, "said");
    assert!(response.duration_ms >= 300, "{response:?}");
    // What is left behind ends with the invocation, also where it has gone from sight.
    let parent = "import { spawn } from 'node:child_process';\
        spawn('/bin/sh', ['-c', 'setsid sh -c \"trap : TERM HUP; sleep 1000\" & sleep 1000'], { stdio: 'inherit', detached: true }).unref();\
        console.log('done')";
    castari.deploy_script("parent", parent).await;
    let response = castari.invoke("parent", "x").await;
    assert_eq!(response.response_content, "done\n");
    assert!(response.duration_ms < 20_000, "{response:?}");
}

#[tokio::test]
async fn nothing_that_is_written_stays() {
    let castari = obedient().await;
    let prompt = "const fs = require('fs'); const seen = [];\
        for (const path of ['/workspace/new', '/tmp/new', '/home/agent/new', '/dev/shm/new', '/workspace/index.mjs']) {\
        seen.push(fs.existsSync(path) ? fs.readFileSync(path, 'utf8').length : 0); fs.writeFileSync(path, 'changed'); }\
        fs.rmSync('/workspace/castari.json'); console.log(seen.join(' '))";
    let code = OBEDIENT.len();
    for _ in 0..2 {
        assert_eq!(
            castari.invoke("one", prompt).await.response_content,
            format!("0 0 0 0 {code}\n")
        );
    }
}

#[tokio::test]
async fn stopping_an_agent_ends_what_runs() {
    let castari = obedient().await;
    let invoke = Invoke {
        prompt: "console.log('begun'); setInterval(() => {}, 1000)".into(),
        session_id: None,
    };
    let mut stream = Box::pin(castari.client().stream("one", &invoke).await.unwrap());
    let mut id = String::new();
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            InvocationEvent::Start(started) => {
                id = started.invocation_id;
                let filter = InvocationFilter {
                    status: Some(InvocationStatus::Running),
                    ..InvocationFilter::default()
                };
                let list = castari
                    .client()
                    .agent_invocations("one", &filter, Page::default())
                    .await
                    .unwrap();
                assert_eq!(list.invocations[0].id, id);
            }
            InvocationEvent::Output(_) => drop(castari.client().stop_agent("one").await.unwrap()),
            InvocationEvent::Error(failure) => {
                assert_eq!(failure.code, "stopped");
                assert_eq!(failure.response.response_content, "begun\n");
            }
            other => panic!("{other:?}"),
        }
    }
    let invocation = castari.client().invocation(&id).await.unwrap();
    assert_eq!(invocation.status, InvocationStatus::Failed);
    assert!(invocation.error_message.unwrap().contains("stopped"));
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_invocation() {
    let castari = obedient().await;
    let invoke = Invoke {
        prompt: "console.log('begun'); setInterval(() => {}, 1000)".into(),
        session_id: None,
    };
    // A connection of its own, so that it is closed.
    let client = Client::new(castari.url(), castari.key()).unwrap();
    let mut stream = Box::pin(client.stream("one", &invoke).await.unwrap());
    let Some(Ok(InvocationEvent::Start(started))) = stream.next().await else {
        panic!("no start")
    };
    stream.next().await.unwrap().unwrap();
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    drop(stream);
    drop(client);
    let event = within("the end is told", Duration::from_secs(10), events.next()).await;
    assert_eq!(event.unwrap().unwrap().event.id.as_ref(), Some(&started.invocation_id));
    let invocation = castari.client().invocation(&started.invocation_id).await.unwrap();
    assert_eq!(invocation.status, InvocationStatus::Failed);
    assert_eq!(
        invocation.error_message.as_deref(),
        Some("Cancelled: the stream was closed by its client")
    );
    eventually("its processes are gone", Duration::from_secs(5), || {
        castari_tests::process::descendants(castari.pid()).len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_an_invocation_does_not_end_it() {
    let castari = obedient().await;
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    let client = Client::new(castari.url(), castari.key()).unwrap();
    let prompt = "await new Promise(done => setTimeout(done, 500)); console.log('finished')";
    let invoke = Invoke {
        prompt: prompt.into(),
        session_id: None,
    };
    let call = tokio::spawn(async move { client.invoke("one", &invoke).await });
    let begun = events.next().await.unwrap().unwrap().event.id.unwrap();
    call.abort();
    assert_eq!(events.next().await.unwrap().unwrap().event.id.as_ref(), Some(&begun));
    let invocation = castari.client().invocation(&begun).await.unwrap();
    assert_eq!(
        (invocation.status, invocation.response_content.as_str()),
        (InvocationStatus::Completed, "finished\n")
    );
}

#[tokio::test]
async fn an_agent_is_told_of_its_invocation() {
    let castari = Castari::start().await;
    let model = json!({"name": "one", "default_model": "some-model", "max_turns": 7, "source_type": "local"});
    assert_eq!(castari.post("/agents", &model).await.status, 201);
    castari.upload("one", castari_tests::archive::script(OBEDIENT)).await;
    let response = castari.invoke("one", "console.log(JSON.stringify(process.env))").await;
    let env: serde_json::Value = serde_json::from_str(&response.response_content).unwrap();
    assert_eq!(env["CASTARI_AGENT"], "one");
    assert_eq!(env["CASTARI_INVOCATION_ID"], response.invocation_id.as_str());
    assert_eq!(env["CASTARI_SESSION_ID"], response.session_id.as_str());
    assert_eq!(env["CASTARI_MODEL"], "some-model");
    assert_eq!(env["CASTARI_MAX_TURNS"], "7");
}

#[tokio::test]
async fn a_model_s_name_is_text() {
    let castari = Castari::start().await;
    let answer = castari
        .post("/agents", &json!({"name": "one", "default_model": "a\u{0}b"}))
        .await;
    if answer.status == 422 {
        return;
    }
    assert_eq!(answer.status, 201, "{answer:?}");
    castari.client().deploy("one", true).await.unwrap();
    castari.invoke("one", "hello").await;
}
