//! Users besides the owner: nobody sees or touches what is another's.

use castari_common::api_keys::CreateApiKey;
use castari_common::{Client, Page};
use castari_tests::{Castari, Issuer, Options, User, within};
use futures::StreamExt;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// One of everything that the owner has.
struct Things {
    deployment: String,
    session: String,
    mount: String,
    invocation: String,
    api_key: String,
    file: String,
}

async fn one_of_everything(castari: &Castari) -> Things {
    let made = async |path: &str, body: Value, id: &str| {
        let answer = castari.post(path, &body).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
        if answer.text.is_empty() {
            return String::new();
        }
        answer
            .json()
            .pointer(id)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    castari.deploy_script("mine", "console.log('hello')").await;
    let deployments = castari.client().deployments("mine", Page::default()).await.unwrap();
    let upload = castari_common::files::Upload::new("mine.txt", "mine");
    let file = castari.client().upload_file(upload).await.unwrap().file_id;
    let bucket = json!({"name": "mine", "provider": "s3", "bucket_name": "mine", "endpoint_url": "http://127.0.0.1:1"});
    made("/buckets", bucket, "/id").await;
    let credentials = json!({"access_key_id": "an-id", "secret_access_key": "a-secret"});
    made("/buckets/mine/credentials", credentials, "").await;
    made("/agents/mine/secrets", json!({"key": "KEY", "value": "mine"}), "").await;
    made("/agents/mine/files", json!({"file_id": file}), "").await;
    let invoke = json!({"prompt": "hello", "session_id": "kept"});
    Things {
        invocation: made("/agents/mine/invoke", invoke, "/invocation_id").await,
        mount: made(
            "/agents/mine/mounts",
            json!({"bucket_slug": "mine", "mount_path": "/mine"}),
            "/id",
        )
        .await,
        api_key: made("/api-keys", json!({}), "/api_key/id").await,
        deployment: deployments.deployments[0].id.clone(),
        session: "kept".into(),
        file,
    }
}

impl Things {
    /// A path of the document with the names of these things in it.
    fn fill(&self, path: &str) -> String {
        let mut filled: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            let name = match (segment, filled.last().copied().unwrap_or_default()) {
                ("{slug}", _) => "mine",
                ("{key}", _) => "KEY",
                ("{file_id}", _) | ("{id}", "files") => &self.file,
                ("{id}", "deployments") => &self.deployment,
                ("{id}", "sessions") => &self.session,
                ("{id}", "mounts") => &self.mount,
                ("{id}", "invocations") => &self.invocation,
                ("{id}", "api-keys") => &self.api_key,
                (fixed, _) => {
                    assert!(!fixed.starts_with('{'), "{path}: what is {fixed}?");
                    fixed
                }
            };
            filled.push(name);
        }
        filled.join("/")
    }

    /// A body that every operation which takes one takes, on its path.
    fn body(&self, path: &str) -> Value {
        let mount_path = if path.ends_with("/files") {
            "/files/agent/theirs"
        } else {
            "/theirs"
        };
        json!({
            "prompt": "hello", "name": "theirs", "key": "KEY", "value": "theirs", "file_id": self.file,
            "sha256_hash": "0".repeat(64), "access_key_id": "an-id", "secret_access_key": "theirs", "path": "theirs",
            "bucket_slug": "mine", "mount_path": mount_path, "description": "theirs", "enabled": false,
        })
    }
}

/// Everything that a user sees.
async fn seen(castari: &Castari) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "/agents",
        "/agents/mine/deployments",
        "/agents/mine/sessions",
        "/agents/mine/secrets",
        "/agents/mine/mounts",
        "/agents/mine/files",
        "/invocations",
        "/buckets",
        "/files",
        "/usage/daily",
    ] {
        seen.push(castari.get(path).await.json());
    }
    let keys = castari.client().api_keys().await.unwrap().api_keys;
    seen.extend(keys.into_iter().map(|key| json!(key.id)));
    seen
}

#[tokio::test]
async fn what_belongs_to_another_is_not_there() {
    let castari = Castari::with_users().await;
    let things = one_of_everything(&castari).await;
    let alice = castari.user("alice");
    let (before, code) = (seen(&castari).await, castari.files());
    let document = castari
        .send(castari.anonymous(Method::GET, "/openapi.json"))
        .await
        .json();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["security"] == json!([]) || !(path.contains('{') || path.ends_with("/confirm-upload")) {
                continue;
            }
            let method: Method = method.to_uppercase().parse().unwrap();
            let filled = things.fill(path);
            let mut request = alice.request(method.clone(), filled.strip_prefix("/api/v1").unwrap());
            if operation["requestBody"].is_object() {
                request = request.json(&things.body(path));
            }
            let answer = castari.send(request).await;
            let is_missing = answer.status == 404 && answer.code().ends_with("_not_found");
            assert!(is_missing, "{method} {filled}: {answer:?}");
            tried += 1;
        }
    }
    assert!(tried > 35, "{tried}");

    for (path, total) in [
        ("/agents?search=mine", "/meta/total"),
        ("/invocations?status=completed", "/meta/total"),
        ("/buckets", "/meta/total"),
        ("/files", "/meta/total"),
        ("/files/usage", "/total_files"),
        ("/usage", "/total_invocations"),
    ] {
        let answer = alice.get(path).await.json();
        assert_eq!(answer.pointer(total), Some(&json!(0)), "{path}: {answer}");
    }
    assert_eq!(alice.get("/api-keys").await.json(), json!({"api_keys": []}));
    for path in [
        "/usage?agent=mine",
        "/usage/daily?agent=mine",
        "/invocations?agent=mine",
    ] {
        let answer = alice.get(path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "agent_not_found"),
            "{path}"
        );
    }
    // A thing of one's own does not lead to another's.
    alice.create("mine").await;
    for path in [
        "/api/v1/agents/{slug}/deployments/{id}/logs",
        "/api/v1/agents/{slug}/mounts/{id}",
        "/api/v1/agents/{slug}/sessions/{id}",
        "/api/v1/agents/{slug}/files/{file_id}",
    ] {
        let method = if document["paths"][path]["get"].is_object() {
            Method::GET
        } else {
            Method::DELETE
        };
        let path = things.fill(path);
        let answer = castari
            .send(alice.request(method, path.strip_prefix("/api/v1").unwrap()))
            .await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }

    assert_eq!(seen(&castari).await, before);
    assert_eq!(castari.files(), code);
    assert_eq!(castari.invoke("mine", "hello").await.response_content.trim(), "hello");
}

#[tokio::test]
async fn two_users_may_have_the_same_slug() {
    let castari = Castari::with_users().await;
    let (alice, bob) = (castari.user("alice"), castari.user("bob"));
    let agents = [
        castari.create("same").await,
        alice.create("same").await,
        bob.create("same").await,
    ];
    let again = alice.post("/agents", &json!({"name": "again", "slug": "same"})).await;
    assert_eq!((again.status, again.code().as_str()), (400, "slug_taken"));
    let made_up = bob.post("/agents", &json!({"name": "Same"})).await;
    assert_eq!(made_up.json()["slug"], "same-2");
    for (client, agent) in [castari.client(), alice.client(), bob.client()].iter().zip(&agents) {
        assert_eq!(client.agent("same").await.unwrap(), *agent);
        assert_eq!(client.me().await.unwrap().id, agent.user_id);
    }
    alice.client().delete_agent("same").await.unwrap();
    assert_eq!(alice.get("/agents/same").await.status, 404);
    assert_eq!(bob.client().agent("same").await.unwrap(), agents[2]);
    castari.client().agent("same").await.unwrap();
}

#[tokio::test]
async fn concurrent_first_requests_make_one_user() {
    let castari = Castari::with_users().await;
    let tokens: Vec<User> = (0..20).map(|_| castari.user("alice")).collect();
    let answers = join_all(tokens.iter().map(|user| user.get("/auth/me"))).await;
    let ids: Vec<Value> = answers.iter().map(|answer| answer.json()["id"].clone()).collect();
    assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{answers:?}");
    let database = rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap();
    let count: i64 = database
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 2, "the owner and one more");
}

#[tokio::test]
async fn a_user_has_api_keys_too_but_a_token_is_none() {
    let castari = Castari::with_users().await;
    let alice = castari.user("alice");
    let me = alice.client().me().await.unwrap();
    let answer = castari.send(alice.request(Method::DELETE, "/auth/api-key")).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "not_an_api_key"));
    assert_eq!(alice.get("/auth/me").await.status, 200);

    let new = alice.client().create_api_key(&CreateApiKey::default()).await.unwrap();
    let with_key = Client::new(castari.url(), &new.key).unwrap();
    let by_key = with_key.me().await.unwrap();
    assert_eq!(by_key.api_key_prefix, Some(new.api_key.prefix));
    assert_eq!((by_key.id, by_key.email), (me.id, me.email));
    let listed = castari.client().api_keys().await.unwrap().api_keys;
    assert!(listed.iter().all(|key| key.id != new.api_key.id), "{listed:?}");
    with_key.delete_own_api_key().await.unwrap();
    assert_eq!(with_key.me().await.unwrap_err().refusal().unwrap().status, 401);
}

#[tokio::test]
async fn the_owner_stays_the_owner() {
    let mut castari = Castari::with_users().await;
    let owner = castari.client().me().await.unwrap();
    castari.user("alice").client().me().await.unwrap();
    castari.kill();
    std::fs::remove_file(castari.data_dir().join("owner.key")).unwrap();
    castari.restart().await;
    let key = std::fs::read_to_string(castari.data_dir().join("owner.key")).unwrap();
    let with_new_key = Client::new(castari.url(), key.trim()).unwrap();
    assert_eq!(with_new_key.me().await.unwrap().id, owner.id);
}

#[tokio::test]
async fn limits_are_counted_by_user() {
    let options = Options::default().env("CASTARI_RATE_LIMIT_CRUD", "2");
    let castari = Castari::with_issuer(Issuer::start().await, options).await;
    let (alice, bob) = (castari.user("alice"), castari.user("bob"));
    for left in ["1", "0"] {
        let answer = alice.get("/auth/me").await;
        assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, left));
    }
    // Another token of the same user does not help.
    assert_eq!(castari.user("alice").get("/auth/me").await.status, 429);
    assert_eq!(bob.get("/auth/me").await.status, 200);
    assert_eq!(castari.get("/auth/me").await.status, 200);
}

#[tokio::test]
async fn events_are_told_to_whom_they_concern() {
    let castari = Castari::with_users().await;
    let (alice, bob) = (castari.user("alice"), castari.user("bob"));
    let mut told = Box::pin(alice.client().events(None).await.unwrap());
    bob.create("of-bob").await;
    castari.create("of-the-owner").await;
    alice.create("of-alice").await;
    let first = within("an event", Duration::from_secs(10), told.next()).await;
    let first = first.unwrap().unwrap();
    assert_eq!(first.event.slug.as_deref(), Some("of-alice"), "{first:?}");
}
