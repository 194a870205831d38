//! Secrets, and the key that they are encrypted with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use castari_common::invocations::{InvocationEvent, Invoke};
use castari_common::secrets::SetSecret;
use castari_tests::shape::shape;
use castari_tests::{Castari, Options, run};
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;

const VALUE: &str = "a-value-that-nobody-is-to-see";

/// Answers with the variables that its prompt names, as JSON, each character of a value apart from the next.
const TELLER: &str = r#"
import { text } from "node:stream/consumers";
const names = (await text(process.stdin)).split(" ");
console.log(JSON.stringify(names.map(name => process.env[name]?.split("").join(" ") ?? null)));
"#;

/// Writes the variable that its prompt names to stdout, in two pieces, and to stderr.
const LEAK: &str = r#"
import { text } from "node:stream/consumers";
const value = process.env[await text(process.stdin)];
process.stdout.write("out " + value.slice(0, 9));
await new Promise(done => setTimeout(done, 200));
process.stdout.write(value.slice(9) + " end");
console.error("err " + value);
"#;

fn secret(key: &str, value: &str) -> SetSecret {
    SetSecret {
        key: key.into(),
        value: value.into(),
    }
}

fn apart(value: &str) -> String {
    value.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

async fn told(castari: &Castari, names: &str) -> serde_json::Value {
    let answer = castari.invoke("one", names).await.response_content;
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Whether any file of a data directory but the master key's holds these bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let content = fs::read(&path).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test]
async fn a_secret_is_set_listed_overwritten_and_deleted() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let path = "/agents/one/secrets";
    let answer = castari.get(path).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"secrets": []})));
    let answer = castari
        .post(path, &json!({"key": "TOKEN", "value": VALUE, "unknown": 1}))
        .await;
    assert_eq!(answer.status, 201);
    insta::assert_json_snapshot!("secret", shape(answer.json()));
    assert!(!answer.text.contains(VALUE));
    let first = castari.client().secrets("one").await.unwrap().secrets.remove(0);

    let again = castari
        .client()
        .set_secret("one", &secret("TOKEN", "other"))
        .await
        .unwrap();
    assert_eq!(again.created_at, first.created_at);
    assert!(again.updated_at > first.updated_at);
    castari
        .client()
        .set_secret("one", &secret("ANOTHER", ""))
        .await
        .unwrap();
    let answer = castari.get(path).await;
    insta::assert_json_snapshot!("secrets", shape(answer.json()));

    castari.client().delete_secret("one", "TOKEN").await.unwrap();
    let gone = castari.client().delete_secret("one", "TOKEN").await.unwrap_err();
    let refusal = gone.refusal().unwrap();
    assert_eq!(
        (refusal.status, refusal.code.as_deref()),
        (404, Some("secret_not_found"))
    );
    let missing = castari
        .post("/agents/missing/secrets", &json!({"key": "A", "value": "b"}))
        .await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "agent_not_found"));
    assert!(!castari.log().contains(VALUE));
}

#[tokio::test]
async fn what_is_no_secret_is_refused() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let long = "x".repeat((64 << 10) + 1);
    let wide = "€".repeat(30_000);
    for (body, field, kind) in [
        (
            json!({"key": "", "value": "v"}),
            "key",
            "value_error.any_str.min_length",
        ),
        (json!({"key": "1A", "value": "v"}), "key", "value_error.str.regex"),
        (json!({"key": "A-B", "value": "v"}), "key", "value_error.str.regex"),
        (json!({"key": "A\n", "value": "v"}), "key", "value_error.str.regex"),
        (json!({"key": "A\u{0}", "value": "v"}), "key", "value_error.str.regex"),
        (
            json!({"key": "A".repeat(129), "value": "v"}),
            "key",
            "value_error.any_str.max_length",
        ),
        (json!({"key": "A"}), "value", "value_error.missing"),
        (json!({"value": "v"}), "key", "value_error.missing"),
        (
            json!({"key": "A", "value": null}),
            "value",
            "type_error.none.not_allowed",
        ),
        (json!({"key": "A", "value": 7}), "value", "type_error.str"),
        (
            json!({"key": "A", "value": "a\u{0}b"}),
            "value",
            "value_error.str.regex",
        ),
        (
            json!({"key": "A", "value": long}),
            "value",
            "value_error.any_str.max_length",
        ),
        (
            json!({"key": "A", "value": wide}),
            "value",
            "value_error.any_str.max_length",
        ),
    ] {
        let answer = castari.post("/agents/one/secrets", &body).await;
        assert_eq!(answer.status, 422, "{field}: {answer:?}");
        let fault = &answer.json()["detail"][0];
        assert_eq!((&fault["loc"], &fault["type"]), (&json!(["body", field]), &json!(kind)));
    }
    assert_eq!(castari.get("/agents/one/secrets").await.json(), json!({"secrets": []}));

    // All of an agent's secrets have to fit into one environment.
    let most = "x".repeat(64 << 10);
    for number in 0..15 {
        castari
            .client()
            .set_secret("one", &secret(&format!("A{number}"), &most))
            .await
            .unwrap();
    }
    let answer = castari
        .post("/agents/one/secrets", &json!({"key": "B", "value": most}))
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "secrets_too_large"));
    castari.client().set_secret("one", &secret("A0", &most)).await.unwrap();
}

#[tokio::test]
async fn an_agent_finds_its_secrets_in_its_environment() {
    let castari = Castari::start().await;
    castari.deploy_script("one", TELLER).await;
    assert_eq!(told(&castari, "TOKEN").await, json!([null]));
    let lines = "two\nlines = \"and more\" €";
    for (key, value) in [
        ("TOKEN", VALUE),
        ("LINES", lines),
        ("EMPTY", ""),
        ("CASTARI_AGENT", "not its name"),
    ] {
        castari.client().set_secret("one", &secret(key, value)).await.unwrap();
    }
    let expected = json!([apart(VALUE), apart(lines), "", apart("one")]);
    assert_eq!(told(&castari, "TOKEN LINES EMPTY CASTARI_AGENT").await, expected);

    // The largest that may be set can be run with.
    let most = "x".repeat(64 << 10);
    for number in 0..15 {
        castari
            .client()
            .set_secret("one", &secret(&format!("A{number}"), &most))
            .await
            .unwrap();
    }
    assert_eq!(told(&castari, "TOKEN").await, json!([apart(VALUE)]));

    castari.client().delete_secret("one", "TOKEN").await.unwrap();
    assert_eq!(told(&castari, "TOKEN").await, json!([null]));
    // Another agent has none of them.
    castari.deploy_script("two", TELLER).await;
    assert_eq!(castari.invoke("two", "LINES").await.response_content, "[null]\n");
}

#[tokio::test]
async fn secrets_are_masked_in_what_an_agent_writes() {
    let castari = Castari::start().await;
    castari.deploy_script("one", LEAK).await;
    castari
        .client()
        .set_secret("one", &secret("TOKEN", VALUE))
        .await
        .unwrap();
    let response = castari.invoke("one", "TOKEN").await;
    assert_eq!(response.response_content, "out *** end");
    let log = castari.client().invocation_log(&response.invocation_id).await.unwrap();
    assert_eq!(log, "err ***\n");

    let invoke = Invoke {
        prompt: "TOKEN".into(),
        session_id: None,
    };
    let events = castari.client().stream("one", &invoke).await.unwrap();
    let events: Vec<InvocationEvent> = events.map(Result::unwrap).collect().await;
    let mut told = String::new();
    for event in &events {
        match event {
            InvocationEvent::Output(text) => told.push_str(text),
            InvocationEvent::Log(text) => assert_eq!(text, "err ***\n"),
            _ => {}
        }
    }
    assert_eq!(told, "out *** end");
    assert!(
        !format!("{events:?}").contains(&VALUE[..9]),
        "not even its beginning: {events:?}"
    );
    assert!(!castari.log().contains(VALUE));
}

#[tokio::test]
async fn nothing_on_disk_shows_a_secret() {
    let mut castari = Castari::start().await;
    castari.deploy_script("one", LEAK).await;
    castari
        .client()
        .set_secret("one", &secret("TOKEN", VALUE))
        .await
        .unwrap();
    castari.invoke("one", "TOKEN").await;
    castari.kill();
    assert!(!holds(&castari.data_dir(), VALUE.as_bytes()));
    let key = castari.data_dir().join("master.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn the_master_key_is_rotated() {
    let mut castari = Castari::start().await;
    castari.deploy_script("one", TELLER).await;
    for (key, value) in [("TOKEN", VALUE), ("OTHER", "another value")] {
        castari.client().set_secret("one", &secret(key, value)).await.unwrap();
    }
    let data_dir = castari.data_dir();
    let path = data_dir.join("master.key");
    let old = fs::read_to_string(&path).unwrap();
    let place = tempfile::tempdir().unwrap();
    let rotate = || {
        let args = ["rotate-master-key", "--data-dir", data_dir.to_str().unwrap()];
        run(place.path(), &Options::default(), &args)
    };
    let refused = rotate();
    assert!(!refused.status.success(), "while the server runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in use by another castari"));

    castari.kill();
    let rotated = rotate();
    assert!(rotated.status.success(), "{rotated:?}");
    let new = fs::read_to_string(&path).unwrap();
    assert_ne!(new, old);
    assert!(!data_dir.join("master.next").exists());
    castari.restart().await;
    assert_eq!(
        told(&castari, "TOKEN OTHER").await,
        json!([apart(VALUE), apart("another value")])
    );

    // A rotation that was cut off before the database knew of it, and one that was cut off after.
    castari.kill();
    fs::write(data_dir.join("master.next"), &old).unwrap();
    castari.restart().await;
    assert_eq!(told(&castari, "TOKEN").await, json!([apart(VALUE)]));
    assert!(!data_dir.join("master.next").exists());
    castari.kill();
    fs::rename(&path, data_dir.join("master.next")).unwrap();
    fs::write(&path, &old).unwrap();
    castari.restart().await;
    assert_eq!(told(&castari, "TOKEN").await, json!([apart(VALUE)]));
    assert_eq!(fs::read_to_string(&path).unwrap(), new);
}

#[tokio::test]
async fn without_the_right_master_key_there_is_no_start() {
    let mut castari = Castari::start().await;
    castari.create("one").await;
    castari
        .client()
        .set_secret("one", &secret("TOKEN", VALUE))
        .await
        .unwrap();
    castari.kill();
    let data_dir = castari.data_dir();
    let path = data_dir.join("master.key");
    let good = fs::read_to_string(&path).unwrap();
    let place = tempfile::tempdir().unwrap();
    let serve = |options: Options| {
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data_dir.to_str().unwrap(),
        ];
        let output = run(place.path(), &options, &args);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let wrong = "0".repeat(64);
    fs::write(&path, &wrong).unwrap();
    assert!(serve(Options::default()).contains("sealed with another master key"));
    fs::write(&path, "nonsense").unwrap();
    assert!(serve(Options::default()).contains("holds no master key: 64 hexadecimal digits"));
    fs::remove_file(&path).unwrap();
    assert!(serve(Options::default()).contains("none in "));
    assert!(!path.exists(), "no new key takes the old one's place");
    let told = serve(Options::default().env("CASTARI_MASTER_KEY", "nonsense"));
    assert!(told.contains("CASTARI_MASTER_KEY: a master key has 64 hexadecimal digits"));
    let told = serve(Options::default().env("CASTARI_MASTER_KEY", &wrong));
    assert!(
        told.contains("sealed with another master key") && !told.contains(&wrong),
        "{told}"
    );
    fs::write(&path, good).unwrap();
    castari.restart().await;
    assert_eq!(castari.client().secrets("one").await.unwrap().secrets.len(), 1);
}

#[tokio::test]
async fn the_master_key_may_come_from_the_environment() {
    let key = "5".repeat(64);
    let castari = Castari::with(Options::default().env("CASTARI_MASTER_KEY", &key)).await;
    castari.deploy_script("one", TELLER).await;
    castari
        .client()
        .set_secret("one", &secret("TOKEN", VALUE))
        .await
        .unwrap();
    assert_eq!(
        told(&castari, "TOKEN CASTARI_MASTER_KEY").await,
        json!([apart(VALUE), null])
    );
    assert!(!castari.data_dir().join("master.key").exists());
    assert!(!holds(&castari.data_dir(), key.as_bytes()));
    let spawner = castari_tests::process::descendants(castari.pid());
    assert!(!spawner.is_empty());
    for pid in spawner {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&environment).contains(&key));
    }
    let request = castari.request(Method::GET, "/agents/one/secrets");
    assert_eq!(castari.send(request).await.status, 200);
}
