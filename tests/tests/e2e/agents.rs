//! Agents as a resource.

use castari_common::agents::{AgentFilter, AgentStatus, CreateAgent};
use castari_common::{Client, Page};
use castari_tests::Castari;
use castari_tests::shape::shape;
use reqwest::Method;
use serde_json::{Value, json};

async fn slugs(client: &Client, filter: AgentFilter, page: Page) -> Vec<String> {
    let list = client.agents(&filter, page).await.unwrap();
    list.agents.into_iter().map(|agent| agent.slug).collect()
}

fn search(text: &str) -> AgentFilter {
    AgentFilter {
        search: Some(text.into()),
        ..AgentFilter::default()
    }
}

#[tokio::test]
async fn an_agent_is_made_with_defaults() {
    let castari = Castari::start().await;
    let answer = castari
        .post(
            "/agents",
            &json!({"name": "My first Agent!", "unknown": {"ignored": true}}),
        )
        .await;
    assert_eq!(answer.status, 201);
    insta::assert_json_snapshot!("agent_with_defaults", shape(answer.json()));
    let shown = castari.get("/agents/my-first-agent").await;
    assert_eq!((shown.status, shown.json()), (200, answer.json()));
}

#[tokio::test]
async fn an_agent_is_made_with_everything_said() {
    let castari = Castari::start().await;
    let all = json!({
        "name": "Übung", "slug": "an-exercise-7", "description": "What it is for", "source_type": "local",
        "git_repo_url": "https://example.com/some/repository.git", "git_branch": "feature/x",
        "default_model": "claude-opus-4-1", "max_turns": 1000, "timeout_seconds": 600,
    });
    let answer = castari.post("/agents", &all).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    insta::assert_json_snapshot!("agent_with_everything", shape(answer.json()));
    let nulls = json!({
        "name": "nulls", "slug": null, "description": null, "source_type": null, "git_repo_url": null,
        "git_branch": null, "default_model": null, "max_turns": null, "timeout_seconds": null,
    });
    let answer = castari.post("/agents", &nulls).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["git_branch"], "main");
}

#[tokio::test]
async fn slugs_are_made_from_names_and_stay_unique() {
    let castari = Castari::start().await;
    let make = async |name: &str| {
        let create = CreateAgent {
            name: name.into(),
            ..CreateAgent::default()
        };
        castari.client().create_agent(&create).await.unwrap().slug
    };
    assert_eq!(make("Some Name").await, "some-name");
    assert_eq!(make("Some  name?").await, "some-name-2");
    assert_eq!(make("some-name").await, "some-name-3");
    assert_eq!(make("日本語").await, "agent");
    let long = "a".repeat(255);
    assert_eq!(make(&long).await, "a".repeat(100));
    assert_eq!(make(&long).await, format!("{}-2", "a".repeat(98)));

    let taken = castari
        .post("/agents", &json!({"name": "x", "slug": "some-name"}))
        .await;
    assert_eq!((taken.status, taken.code().as_str()), (400, "slug_taken"));
    // A slug that is free again may be taken again.
    castari.client().delete_agent("some-name").await.unwrap();
    assert_eq!(make("some name").await, "some-name");
}

#[tokio::test]
async fn slugs_stay_unique_when_many_ask_at_once() {
    let castari = Castari::start().await;
    let create = CreateAgent {
        name: "Same".into(),
        ..CreateAgent::default()
    };
    let made = futures::future::join_all((0..20).map(|_| castari.client().create_agent(&create))).await;
    let mut slugs: Vec<String> = made.into_iter().map(|agent| agent.unwrap().slug).collect();
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), 20);
}

#[tokio::test]
async fn every_fault_of_a_body_is_listed() {
    let castari = Castari::start().await;
    let answer = castari
        .post(
            "/agents",
            &json!({
                "slug": "Not A Slug", "description": "x".repeat(10_001), "source_type": "svn",
                "git_repo_url": "file:///etc", "git_branch": "-x", "default_model": "", "max_turns": 0,
                "timeout_seconds": 601,
            }),
        )
        .await;
    assert_eq!(answer.status, 422);
    insta::assert_json_snapshot!("create_faults", answer.json());
    let wrong_types = json!({
        "name": 7, "slug": true, "description": [], "source_type": 1, "git_repo_url": {}, "git_branch": 1.5,
        "default_model": null, "max_turns": "many", "timeout_seconds": 1.5,
    });
    let answer = castari.post("/agents", &wrong_types).await;
    assert_eq!(answer.status, 422);
    insta::assert_json_snapshot!("create_wrong_types", answer.json());
    for (body, kind) in [
        (json!({"name": ""}), "value_error.any_str.min_length"),
        (json!({"name": "   "}), "value_error.str.regex"),
        (json!({"name": "x".repeat(256)}), "value_error.any_str.max_length"),
        (json!({"name": null}), "type_error.none.not_allowed"),
        (json!({"name": "x", "slug": ""}), "value_error.any_str.min_length"),
        (
            json!({"name": "x", "slug": "a".repeat(101)}),
            "value_error.any_str.max_length",
        ),
        (json!({"name": "x", "slug": "a--b"}), "value_error.str.regex"),
        (json!({"name": "x", "slug": "-a"}), "value_error.str.regex"),
        (json!({"name": "x", "max_turns": 1001}), "value_error.number.not_le"),
        (json!({"name": "x", "max_turns": -1}), "value_error.number.not_ge"),
        (json!({"name": "x", "timeout_seconds": 0}), "value_error.number.not_ge"),
    ] {
        let answer = castari.post("/agents", &body).await;
        let json = answer.json();
        let kinds: Vec<&Value> = json["detail"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| &fault["type"])
            .collect();
        assert_eq!((answer.status, kinds), (422, vec![&json!(kind)]), "{body}");
    }
    assert_eq!(
        castari
            .client()
            .agents(&AgentFilter::default(), Page::default())
            .await
            .unwrap()
            .meta
            .total,
        0
    );
}

#[tokio::test]
async fn only_repositories_on_the_web_are_taken() {
    let castari = Castari::start().await;
    for url in [
        "file:///etc",
        "ext::sh -c id",
        "ssh://git@example.com/x",
        "git@example.com:x/y",
        "git://example.com/x",
        "-oProxyCommand=id",
        "--upload-pack=id",
        "http://",
        "https:///x",
        "/etc",
        "../x",
        "https://a b/c",
        "ftp://example.com/x",
        "https://example.com/\nx",
        "",
        "fd::7",
        "\u{0}https://x/y",
    ] {
        let answer = castari
            .post("/agents", &json!({"name": "x", "git_repo_url": url}))
            .await;
        assert_eq!(answer.status, 422, "{url:?}: {answer:?}");
        assert_eq!(
            answer.json()["detail"][0]["loc"],
            json!(["body", "git_repo_url"]),
            "{url:?}"
        );
    }
    for branch in [
        "-x",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "",
        "--upload-pack=x",
    ] {
        let answer = castari
            .post("/agents", &json!({"name": "x", "git_branch": branch}))
            .await;
        assert_eq!(answer.status, 422, "{branch:?}: {answer:?}");
    }
    castari.create("one").await;
    let request = castari
        .request(Method::PATCH, "/agents/one")
        .json(&json!({"git_repo_url": "ext::id"}));
    assert_eq!(castari.send(request).await.status, 422);
}

#[tokio::test]
async fn agents_are_listed_newest_first_in_pages() {
    let castari = Castari::start().await;
    for slug in ["one", "two", "three", "four", "five"] {
        castari.create(slug).await;
    }
    let client = castari.client();
    let page = |limit, offset| Page { limit, offset };
    let all = || AgentFilter::default();
    assert_eq!(
        slugs(client, all(), Page::default()).await,
        ["five", "four", "three", "two", "one"]
    );
    assert_eq!(slugs(client, all(), page(2, 1)).await, ["four", "three"]);
    assert_eq!(slugs(client, all(), page(2, 4)).await, ["one"]);
    assert!(slugs(client, all(), page(2, 99)).await.is_empty());
    let answer = castari.get("/agents?limit=1&offset=3").await;
    insta::assert_json_snapshot!("agent_list", shape(answer.json()));
    let last = castari.get("/agents?limit=3&offset=2").await.json();
    assert_eq!(
        last["meta"],
        json!({"total": 5, "limit": 3, "offset": 2, "has_more": false})
    );
}

#[tokio::test]
async fn agents_are_found_by_text_and_status() {
    let castari = Castari::start().await;
    for (name, slug, description) in [
        ("Weather", "forecast", "tells of rain"),
        ("100% sure", "sure", "never_wrong"),
        ("Plain", "plain", "nothing"),
    ] {
        let agent = json!({"name": name, "slug": slug, "description": description});
        assert_eq!(castari.post("/agents", &agent).await.status, 201);
    }
    let client = castari.client();
    let found = async |text: &str| slugs(client, search(text), Page::default()).await;
    assert_eq!(found("WEATH").await, ["forecast"]);
    assert_eq!(found("Forec").await, ["forecast"]);
    assert_eq!(found("rain").await, ["forecast"]);
    // What means something to the database means nothing here.
    assert_eq!(found("%").await, ["sure"]);
    assert_eq!(found("r_w").await, ["sure"]);
    assert_eq!(found("a_n").await, [""; 0]);
    assert_eq!(found("'; DROP TABLE agents; --").await, [""; 0]);
    assert_eq!(found("\\").await, [""; 0]);
    assert_eq!(found("").await.len(), 3);

    client.deploy("plain", true).await.unwrap();
    let status = |status| AgentFilter {
        status: Some(status),
        search: None,
    };
    assert_eq!(
        slugs(client, status(AgentStatus::Active), Page::default()).await,
        ["plain"]
    );
    assert_eq!(
        slugs(client, status(AgentStatus::Draft), Page::default()).await,
        ["sure", "forecast"]
    );
    let both = AgentFilter {
        status: Some(AgentStatus::Draft),
        search: Some("plain".into()),
    };
    assert!(slugs(client, both, Page::default()).await.is_empty());
}

#[tokio::test]
async fn an_agent_is_changed_as_far_as_said() {
    let castari = Castari::start().await;
    let create =
        json!({"name": "One", "description": "first", "git_repo_url": "https://example.com/a", "max_turns": 7});
    let before = castari.post("/agents", &create).await.json();
    let patch = async |body: Value| {
        castari
            .send(castari.request(Method::PATCH, "/agents/one").json(&body))
            .await
    };

    let same = patch(json!({})).await;
    assert_eq!(same.status, 200);
    let kept = |value: &Value| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().shift_remove("updated_at");
        value
    };
    assert_eq!(kept(&same.json()), kept(&before));
    // Neither of these can be changed this way: they are ignored like all that is unknown.
    let ignored = patch(json!({"slug": "two", "status": "active", "id": "agt_x", "nonsense": 1})).await;
    assert_eq!((ignored.status, kept(&ignored.json())), (200, kept(&before)));

    let change = json!({
        "name": "New name", "description": null, "git_repo_url": null, "git_branch": "next",
        "default_model": "claude-haiku-4-5", "max_turns": 9, "timeout_seconds": 5,
    });
    let changed = patch(change).await;
    assert_eq!(changed.status, 200);
    insta::assert_json_snapshot!("agent_changed", shape(changed.json()));
    assert!(changed.json()["updated_at"].as_str() > before["updated_at"].as_str());
    assert_eq!(castari.get("/agents/one").await.json(), changed.json());

    let faulty = patch(json!({"name": null, "max_turns": 0, "timeout_seconds": "x", "git_branch": ""})).await;
    assert_eq!(faulty.status, 422);
    insta::assert_json_snapshot!("patch_faults", faulty.json());
    assert_eq!(castari.get("/agents/one").await.json(), changed.json());
}

#[tokio::test]
async fn a_deleted_agent_takes_everything_with_it() {
    let castari = Castari::start().await;
    castari.deploy_script("one", "console.log('hello')").await;
    let invocation = castari.invoke("one", "hello").await;
    let log = castari.data_dir().join("logs");
    assert_eq!(std::fs::read_dir(&log).unwrap().count(), 1);
    let answer = castari.send(castari.request(Method::DELETE, "/agents/one")).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(castari.get("/agents/one").await.status, 404);
    assert_eq!(
        castari
            .send(castari.request(Method::DELETE, "/agents/one"))
            .await
            .status,
        404
    );
    assert_eq!(
        castari
            .get(&format!("/invocations/{}", invocation.invocation_id))
            .await
            .status,
        404
    );
    assert_eq!(
        castari
            .client()
            .invocations(&<_>::default(), Page::default())
            .await
            .unwrap()
            .meta
            .total,
        0
    );
    castari.keeps(&[]).await;
    assert_eq!(std::fs::read_dir(&log).unwrap().count(), 0, "no log is left");
}
