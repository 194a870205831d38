//! Users besides the owner: nobody sees or touches what is another's.

use castari_common::api_keys::CreateApiKey;
use castari_common::{Client, Page};
use castari_tests::{Castari, Issuer, Options, User, within};
use futures::StreamExt;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn what_belongs_to_another_is_not_there() {
    let castari = Castari::with_users().await;
    let agent = castari.deploy_script("mine", "console.log('hello')").await;
    let invocation = castari.invoke("mine", "hello").await.invocation_id;
    let deployments = castari.client().deployments("mine", Page::default()).await.unwrap();
    let deployment = &deployments.deployments[0].id;
    let key = castari.client().api_keys().await.unwrap().api_keys.remove(0).id;
    castari
        .post("/agents/mine/secrets", &json!({"key": "KEY", "value": "mine"}))
        .await;
    let in_session = json!({"prompt": "hello", "session_id": "kept"});
    assert_eq!(castari.post("/agents/mine/invoke", &in_session).await.status, 200);
    let (alice, code) = (castari.user("alice"), castari.files());

    for path in [
        "/agents",
        "/agents?search=mine",
        "/invocations",
        "/invocations?status=completed",
    ] {
        let list = alice.get(path).await.json();
        assert_eq!(list["meta"]["total"], 0, "{path}: {list}");
    }
    assert_eq!(alice.get("/api-keys").await.json(), json!({"api_keys": []}));
    assert_eq!(alice.get("/usage").await.json()["total_invocations"], 0);
    for (method, path, code) in [
        (Method::GET, "/usage?agent=mine".into(), "agent_not_found"),
        (Method::GET, "/usage/daily?agent=mine".into(), "agent_not_found"),
        (Method::GET, "/agents/mine/sessions".into(), "agent_not_found"),
        (Method::DELETE, "/agents/mine/sessions/kept".into(), "agent_not_found"),
        (Method::GET, "/agents/mine".into(), "agent_not_found"),
        (Method::GET, format!("/agents/{}", agent.id), "agent_not_found"),
        (Method::PATCH, "/agents/mine".into(), "agent_not_found"),
        (Method::DELETE, "/agents/mine".into(), "agent_not_found"),
        (Method::POST, "/agents/mine/deploy".into(), "agent_not_found"),
        (Method::POST, "/agents/mine/redeploy".into(), "agent_not_found"),
        (Method::POST, "/agents/mine/upload-code".into(), "agent_not_found"),
        (Method::DELETE, "/agents/mine/sandbox".into(), "agent_not_found"),
        (Method::DELETE, "/mine/sandbox".into(), "agent_not_found"),
        (Method::POST, "/agents/mine/invoke".into(), "agent_not_found"),
        (Method::POST, "/agents/mine/stream".into(), "agent_not_found"),
        (Method::GET, "/agents/mine/secrets".into(), "agent_not_found"),
        (Method::POST, "/agents/mine/secrets".into(), "agent_not_found"),
        (Method::DELETE, "/agents/mine/secrets/KEY".into(), "agent_not_found"),
        (Method::GET, "/agents/mine/deployments".into(), "agent_not_found"),
        (Method::GET, "/agents/mine/invocations".into(), "agent_not_found"),
        (
            Method::GET,
            format!("/agents/mine/deployments/{deployment}/logs"),
            "deployment_not_found",
        ),
        (
            Method::GET,
            format!("/invocations/{invocation}"),
            "invocation_not_found",
        ),
        (
            Method::GET,
            format!("/invocations/{invocation}/logs"),
            "invocation_not_found",
        ),
        (Method::DELETE, format!("/api-keys/{key}"), "api_key_not_found"),
    ] {
        assert_missing(&castari, &alice, method, &path, code).await;
    }
    // A thing of one's own does not lead to another's.
    alice.create("mine").await;
    let path = format!("/agents/mine/deployments/{deployment}/logs");
    assert_missing(&castari, &alice, Method::GET, &path, "deployment_not_found").await;
    let path = "/agents/mine/sessions/kept";
    assert_missing(&castari, &alice, Method::DELETE, path, "session_not_found").await;

    assert_eq!(castari.client().agent("mine").await.unwrap(), agent);
    let secrets = castari.get("/agents/mine/secrets").await.json();
    assert_eq!(
        secrets["secrets"][0]["created_at"], secrets["secrets"][0]["updated_at"],
        "{secrets}"
    );
    assert_eq!(castari.files(), code);
    assert_eq!(castari.get("/agents/mine/sessions").await.json()["meta"]["total"], 1);
    assert_eq!(castari.invoke("mine", "hello").await.response_content.trim(), "hello");
    assert_eq!(
        castari.get("/api-keys").await.json()["api_keys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

async fn assert_missing(castari: &Castari, user: &User, method: Method, path: &str, code: &str) {
    let mut request = user.request(method.clone(), path);
    let takes_json = ["invoke", "stream", "secrets"].iter().any(|end| path.ends_with(end));
    if method == Method::PATCH || (method == Method::POST && takes_json) {
        request = request.json(&json!({"prompt": "hello", "name": "theirs", "key": "KEY", "value": "theirs"}));
    }
    let answer = castari.send(request).await;
    let got = (answer.status, answer.code());
    // The deployment's route may also say that there is no such agent.
    let is_fine =
        got == (404, code.into()) || (code == "deployment_not_found" && got == (404, "agent_not_found".into()));
    assert!(is_fine, "{method} {path}: {answer:?}");
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
