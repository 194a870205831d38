//! Mounts.

use castari_common::Client;
use castari_common::buckets::{CreateBucket, Provider};
use castari_common::mounts::{CreateMount, Mount, UpdateMount};
use castari_tests::shape::shape;
use castari_tests::{Answer, Castari};
use reqwest::Method;
use serde_json::{Value, json};

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
}

/// A server with an agent `agent` and a bucket `data`.
async fn prepared() -> Castari {
    let castari = Castari::with_users().await;
    castari.create("agent").await;
    make_bucket(castari.client(), "data").await;
    castari
}

async fn make_bucket(client: &Client, slug: &str) {
    let bucket = CreateBucket {
        name: slug.into(),
        slug: None,
        provider: Provider::S3,
        bucket_name: "some-bucket".into(),
        region: None,
        endpoint_url: None,
    };
    client.create_bucket(&bucket).await.unwrap();
}

async fn mount(castari: &Castari, path: &str) -> Answer {
    let body = json!({"bucket_slug": "data", "mount_path": path});
    castari.post("/agents/agent/mounts", &body).await
}

async fn patch(castari: &Castari, id: &str, body: &Value) -> Answer {
    let request = castari.request(Method::PATCH, &format!("/agents/agent/mounts/{id}"));
    castari.send(request.json(body)).await
}

#[tokio::test]
async fn a_bucket_is_mounted_and_taken_away() {
    let castari = prepared().await;
    let answer = mount(&castari, "/data").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    insta::assert_json_snapshot!("mount_with_defaults", shape(answer.json()));
    let everything = json!({
        "bucket_slug": "data",
        "mount_path": "/workspace/reports/",
        "source_prefix": "reports/2026/",
        "permission_rules": [{"path": "/", "mode": "ro"}, {"path": "/out", "mode": "rw"}],
        "cache_enabled": false,
        "cache_ttl_seconds": 0,
        "enabled": false,
    });
    let answer = castari.post("/agents/agent/mounts", &everything).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    insta::assert_json_snapshot!("mount_with_everything", shape(answer.json()));
    insta::assert_json_snapshot!("mount_list", shape(castari.get("/agents/agent/mounts").await.json()));
    let made: Mount = serde_json::from_value(answer.json()).unwrap();
    let client = castari.client();
    assert_eq!(client.mount("agent", &made.id).await.unwrap(), made);

    let change = UpdateMount {
        mount_path: Some("/workspace/reports/2026".into()),
        source_prefix: Some(String::new()),
        permission_rules: Some(Vec::new()),
        cache_enabled: Some(true),
        cache_ttl_seconds: Some(86_400),
        enabled: Some(true),
    };
    let changed = client.update_mount("agent", &made.id, &change).await.unwrap();
    assert!(changed.updated_at > made.updated_at && changed.enabled && changed.permission_rules.is_empty());
    let unchanged = client
        .update_mount("agent", &made.id, &UpdateMount::default())
        .await
        .unwrap();
    assert_eq!(
        (unchanged.mount_path.as_str(), unchanged.cache_ttl_seconds),
        ("/workspace/reports/2026", 86_400)
    );
    // What is said of its bucket is what the bucket is now.
    castari
        .send(
            castari
                .request(Method::PATCH, "/buckets/data")
                .json(&json!({"name": "New"})),
        )
        .await;
    assert_eq!(client.mount("agent", &made.id).await.unwrap().bucket.name, "New");

    let path = format!("/agents/agent/mounts/{}", made.id);
    let gone = castari.send(castari.request(Method::DELETE, &path)).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_problem(&castari.get(&path).await, 404, "mount_not_found");
    assert_eq!(client.mounts("agent").await.unwrap().mounts.len(), 1);
}

#[tokio::test]
async fn mounts_do_not_overlap() {
    let castari = prepared().await;
    let first = mount(&castari, "/data/in").await.json();
    let id = first["id"].as_str().unwrap();
    for path in ["/data/in", "/data/in/", "/data/in/side", "/data"] {
        assert_problem(&mount(&castari, path).await, 400, "mount_path_taken");
    }
    for path in ["/data/inside", "/data/i", "/other"] {
        assert_eq!(mount(&castari, path).await.status, 201, "{path}");
    }
    assert_eq!(
        patch(&castari, id, &json!({"mount_path": "/data/in/side"}))
            .await
            .status,
        200
    );
    let taken = patch(&castari, id, &json!({"mount_path": "/other/x"})).await;
    assert_problem(&taken, 400, "mount_path_taken");
    // Another agent's are of no matter.
    castari.create("second").await;
    let body = json!({"bucket_slug": "data", "mount_path": "/other"});
    assert_eq!(castari.post("/agents/second/mounts", &body).await.status, 201);
    // Of two at the same moment, one is made.
    let (one, other) = tokio::join!(mount(&castari, "/race"), mount(&castari, "/race/below"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400]);
}

#[tokio::test]
async fn what_the_sandbox_has_of_its_own_is_not_mounted_over() {
    let castari = prepared().await;
    for path in [
        "/",
        "/usr",
        "/usr/share/x",
        "/etc",
        "/lib64",
        "/proc/self",
        "/tmp/x",
        "/workspace",
        "/home/agent",
        "/home",
        "/files",
        "/files/agent",
        "/a/../etc",
        "/a/./b",
        "/a//b",
        "//",
        "/..",
    ] {
        assert_problem(&mount(&castari, path).await, 400, "mount_path_invalid");
    }
    let long = format!("/{}", "ä".repeat(600));
    for path in ["", "data", "./data", "/a\u{0}b", "/a\nb", &long] {
        let answer = mount(&castari, path).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "mount_path"]));
    }
    assert_eq!(castari.client().mounts("agent").await.unwrap().mounts, []);
}

#[tokio::test]
async fn what_breaks_the_schema_is_refused() {
    let castari = prepared().await;
    let answer = castari.post("/agents/agent/mounts", &json!({})).await;
    insta::assert_json_snapshot!("mount_create_faults", answer.json());
    let made = mount(&castari, "/data").await.json();
    let rules = vec![json!({"path": "/", "mode": "ro"}); 101];
    for (field, value) in [
        ("source_prefix", json!("/a")),
        ("source_prefix", json!("a//b")),
        ("source_prefix", json!("a/../b")),
        ("source_prefix", json!("a//")),
        ("source_prefix", json!("a\u{0}")),
        ("permission_rules", json!(rules)),
        ("permission_rules", json!([{"path": "/", "mode": "x"}])),
        ("permission_rules", json!([{"path": "a/../b", "mode": "ro"}])),
        ("permission_rules", json!([{"mode": "ro"}])),
        ("permission_rules", json!("ro")),
        ("cache_enabled", json!("perhaps")),
        ("cache_ttl_seconds", json!(-1)),
        ("cache_ttl_seconds", json!(86_401)),
        ("enabled", json!(7)),
    ] {
        let mut body = json!({"bucket_slug": "data", "mount_path": "/more"});
        body[field] = value.clone();
        let created = castari.post("/agents/agent/mounts", &body).await;
        let changed = patch(&castari, made["id"].as_str().unwrap(), &json!({field: value})).await;
        for answer in [created, changed] {
            assert_eq!(answer.status, 422, "{field}: {answer:?}");
            assert_eq!(answer.json()["detail"][0]["loc"][1], field, "{answer:?}");
        }
    }
    assert_eq!(
        castari.get("/agents/agent/mounts").await.json(),
        json!({"mounts": [made]})
    );
}

#[tokio::test]
async fn what_is_not_there_or_another_s_is_not_found() {
    let castari = prepared().await;
    let made = mount(&castari, "/data").await.json();
    let id = made["id"].as_str().unwrap();
    let neighbour = castari.user("neighbour");
    let theirs = neighbour.token();
    let create = json!({"bucket_slug": "data", "mount_path": "/x"});
    for (agent, key) in [("missing", castari.key()), ("agent", theirs)] {
        for (method, path, body) in [
            (Method::GET, "/mounts".to_owned(), Value::Null),
            (Method::POST, "/mounts".into(), create.clone()),
            (Method::GET, format!("/mounts/{id}"), Value::Null),
            (Method::PATCH, format!("/mounts/{id}"), json!({"enabled": false})),
            (Method::DELETE, format!("/mounts/{id}"), Value::Null),
            (Method::POST, "/files/sync".into(), Value::Null),
        ] {
            let path = format!("/api/v1/agents/{agent}{path}");
            let mut request = castari.anonymous(method, &path).bearer_auth(key);
            if !body.is_null() {
                request = request.json(&body);
            }
            assert_problem(&castari.send(request).await, 404, "agent_not_found");
        }
    }
    // Neither a mount of another agent, nor a bucket of another user.
    castari.create("second").await;
    for id in [id, "mnt_missing"] {
        let path = format!("/agents/second/mounts/{id}");
        assert_problem(&castari.get(&path).await, 404, "mount_not_found");
        let changed = castari.request(Method::PATCH, &path).json(&json!({"enabled": false}));
        assert_problem(&castari.send(changed).await, 404, "mount_not_found");
        let deleted = castari.request(Method::DELETE, &path);
        assert_problem(&castari.send(deleted).await, 404, "mount_not_found");
    }
    make_bucket(neighbour.client(), "theirs").await;
    let body = json!({"bucket_slug": "theirs", "mount_path": "/x"});
    assert_problem(
        &castari.post("/agents/agent/mounts", &body).await,
        404,
        "bucket_not_found",
    );
    assert_eq!(
        castari.get("/agents/agent/mounts").await.json(),
        json!({"mounts": [made]})
    );
}

#[tokio::test]
async fn mounts_go_with_their_agent() {
    let castari = prepared().await;
    let client = castari.client();
    let body = CreateMount {
        bucket_slug: "data".into(),
        mount_path: "/data".into(),
        ..CreateMount::default()
    };
    client.create_mount("agent", &body).await.unwrap();
    client.sync_files("agent").await.unwrap();
    client.delete_bucket("data").await.unwrap_err();
    client.delete_agent("agent").await.unwrap();
    client.delete_bucket("data").await.unwrap();
}
