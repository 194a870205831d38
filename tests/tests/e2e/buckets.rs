//! Buckets, and the stores that they are in.

use castari_common::Page;
use castari_common::agents::CreateAgent;
use castari_common::buckets::{Bucket, BucketCredentials, BucketTest, CreateBucket, Provider};
use castari_common::mounts::CreateMount;
use castari_tests::shape::shape;
use castari_tests::{Answer, Castari, stores};
use reqwest::Method;
use serde_json::{Value, json};

pub(super) const SECRET: &str = "s3cr3t-that-nobody-may-see-0123456789";

/// Asserts that an answer is an error in the contract's shape.
pub(super) fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
}

/// Asserts that exactly these fields of the body are at fault.
pub(super) fn assert_faults(answer: &Answer, fields: &[&str]) {
    assert_eq!(answer.status, 422, "{answer:?}");
    let detail = answer.json()["detail"].clone();
    let found: Vec<&str> = detail
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|fault| fault["loc"][1].as_str())
        .collect();
    assert_eq!(found, fields, "{answer:?}");
}

pub(super) fn s3_bucket(name: &str, endpoint_url: &str) -> CreateBucket {
    CreateBucket {
        name: name.into(),
        slug: None,
        provider: Provider::S3,
        bucket_name: name.into(),
        region: None,
        endpoint_url: Some(endpoint_url.into()),
    }
}

pub(super) fn access_key(id: &str, secret: &str) -> BucketCredentials {
    BucketCredentials {
        access_key_id: Some(id.into()),
        secret_access_key: Some(secret.into()),
        service_account_json: None,
    }
}

pub(super) async fn test(castari: &Castari, slug: &str) -> BucketTest {
    castari.client().test_bucket(slug).await.unwrap()
}

async fn patch(castari: &Castari, path: &str, body: &Value) -> Answer {
    castari.send(castari.request(Method::PATCH, path).json(body)).await
}

async fn delete(castari: &Castari, path: &str) -> Answer {
    castari.send(castari.request(Method::DELETE, path)).await
}

#[tokio::test]
async fn a_bucket_is_made_shown_changed_and_forgotten() {
    let castari = Castari::start().await;
    let answer = castari
        .post(
            "/buckets",
            &json!({"name": "My Data", "provider": "s3", "bucket_name": "my-data"}),
        )
        .await;
    assert_eq!(answer.status, 201);
    insta::assert_json_snapshot!("bucket_with_defaults", shape(answer.json()));
    let everything = json!({
        "name": "Müller's <pictures>",
        "slug": "pictures",
        "provider": "r2",
        "bucket_name": "pictures.2026_a",
        "region": "eu",
        "endpoint_url": "https://account.r2.cloudflarestorage.com/",
        "unknown": true,
    });
    let answer = castari.post("/buckets", &everything).await;
    assert_eq!(answer.status, 201);
    insta::assert_json_snapshot!("bucket_with_everything", shape(answer.json()));
    assert_eq!(castari.get("/buckets/pictures").await.json(), answer.json());
    insta::assert_json_snapshot!("bucket_list", shape(castari.get("/buckets?limit=1").await.json()));

    let change = json!({
        "name": "Data", "bucket_name": "data-2", "region": "eu-west-1", "endpoint_url": "http://127.0.0.1:9000",
    });
    let changed = patch(&castari, "/buckets/my-data", &change).await;
    assert_eq!(changed.status, 200);
    insta::assert_json_snapshot!("bucket_changed", shape(changed.json()));
    let cleared = patch(
        &castari,
        "/buckets/my-data",
        &json!({"region": null, "endpoint_url": null}),
    )
    .await;
    assert_eq!(
        (
            &cleared.json()["region"],
            &cleared.json()["endpoint_url"],
            &cleared.json()["bucket_name"]
        ),
        (&Value::Null, &Value::Null, &json!("data-2"))
    );

    let gone = delete(&castari, "/buckets/my-data").await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_problem(&castari.get("/buckets/my-data").await, 404, "bucket_not_found");
    assert_eq!(castari.client().buckets(Page::default()).await.unwrap().meta.total, 1);
}

#[tokio::test]
async fn slugs_are_made_from_names() {
    let castari = Castari::start().await;
    for slug in ["same-name", "same-name-2", "same-name-3"] {
        let body = json!({"name": "Same  name!", "provider": "gcs", "bucket_name": "abc"});
        assert_eq!(castari.post("/buckets", &body).await.json()["slug"], slug);
    }
    let body = json!({"name": "数据", "provider": "gcs", "bucket_name": "abc"});
    assert_eq!(castari.post("/buckets", &body).await.json()["slug"], "bucket");
    let body = json!({"name": "x", "slug": "same-name", "provider": "gcs", "bucket_name": "abc"});
    assert_problem(&castari.post("/buckets", &body).await, 400, "slug_taken");
    // An agent of that name would share its URLs with them.
    let agent = castari.post("/agents", &json!({"name": "Buckets"})).await;
    assert_eq!(agent.json()["slug"], "buckets-2");
}

#[tokio::test]
async fn what_breaks_the_schema_is_refused() {
    let castari = Castari::start().await;
    insta::assert_json_snapshot!(
        "bucket_create_faults",
        castari.post("/buckets", &json!({})).await.json()
    );
    let wrong = json!({
        "name": " ",
        "slug": "No",
        "provider": "azure",
        "bucket_name": "ab",
        "region": "eu/../x",
        "endpoint_url": "ftp://example.com",
    });
    let answer = castari.post("/buckets", &wrong).await;
    assert_eq!(answer.status, 422);
    insta::assert_json_snapshot!("bucket_create_wrong", answer.json());

    let with = |field: &str, value: Value| {
        let mut body = json!({"name": "n", "provider": "s3", "bucket_name": "abc"});
        body[field] = value;
        body
    };
    for (field, value) in [
        ("bucket_name", json!("a".repeat(64))),
        ("bucket_name", json!("Upper")),
        ("bucket_name", json!("../x")),
        ("bucket_name", json!("a/b")),
        ("bucket_name", json!("abc\u{0}")),
        ("region", json!("example.com")),
        ("region", json!("a@b")),
        ("region", json!("")),
        ("name", json!("a\u{0}b")),
        ("endpoint_url", json!("http://user:password@example.com")),
        ("endpoint_url", json!("http://example.com?x")),
        ("endpoint_url", json!("http://169.254.169.254")),
        ("endpoint_url", json!("http://169.254.169.254:80/latest")),
        ("endpoint_url", json!("http://2852039166")),
        ("endpoint_url", json!("http://[::ffff:169.254.169.254]")),
        ("endpoint_url", json!("http://[fe80::1]:9000")),
        ("endpoint_url", json!("http://exa\u{0}mple.com")),
        ("endpoint_url", json!("http://example.com:99999")),
        ("endpoint_url", json!("nonsense")),
    ] {
        assert_faults(&castari.post("/buckets", &with(field, value)).await, &[field]);
    }
    let long = json!({"name": "n", "provider": "gcs", "bucket_name": "a".repeat(222)});
    assert_eq!(
        castari.post("/buckets", &long).await.status,
        201,
        "Google's may be longer"
    );

    let without = json!({"name": "n", "provider": "r2", "bucket_name": "abc"});
    let answer = castari.post("/buckets", &without).await;
    assert_faults(&answer, &["endpoint_url"]);
    assert_eq!(answer.json()["detail"][0]["type"], "value_error.missing");
    let mut with_endpoint = without.clone();
    with_endpoint["slug"] = json!("r2");
    with_endpoint["endpoint_url"] = json!("https://account.r2.cloudflarestorage.com");
    assert_eq!(castari.post("/buckets", &with_endpoint).await.status, 201);
    for (change, field) in [
        (json!({"endpoint_url": null}), "endpoint_url"),
        (json!({"endpoint_url": "http://169.254.0.1"}), "endpoint_url"),
        (json!({"bucket_name": "a".repeat(64)}), "bucket_name"),
        (json!({"name": ""}), "name"),
    ] {
        assert_faults(&patch(&castari, "/buckets/r2", &change).await, &[field]);
    }
    assert_eq!(castari.client().buckets(Page::default()).await.unwrap().meta.total, 2);
    assert_eq!(castari.get("/buckets?limit=0").await.status, 422);
}

/// Every call that names a bucket.
fn calls() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::GET, "", Value::Null),
        (Method::PATCH, "", json!({"name": "taken"})),
        (Method::DELETE, "", Value::Null),
        (
            Method::POST,
            "/credentials",
            json!({"access_key_id": "a", "secret_access_key": "b"}),
        ),
        (Method::DELETE, "/credentials", Value::Null),
        (Method::POST, "/test", Value::Null),
        (Method::GET, "/files", Value::Null),
        (Method::POST, "/upload-url", json!({"path": "a"})),
        (Method::POST, "/download-url", json!({"path": "a"})),
    ]
}

#[tokio::test]
async fn what_is_not_there_or_another_s_is_not_found() {
    let castari = Castari::with_users().await;
    castari
        .client()
        .create_bucket(&s3_bucket("mine", "http://127.0.0.1:1"))
        .await
        .unwrap();
    let neighbour = castari.user("neighbour");
    let theirs = neighbour.token();
    for (slug, key) in [("missing", castari.key()), ("mine", theirs)] {
        for (method, path, body) in calls() {
            let path = format!("/api/v1/buckets/{slug}{path}");
            let mut request = castari.anonymous(method.clone(), &path).bearer_auth(key);
            if !body.is_null() {
                request = request.json(&body);
            }
            assert_problem(&castari.send(request).await, 404, "bucket_not_found");
        }
    }
    let theirs = neighbour.client();
    assert_eq!(theirs.buckets(Page::default()).await.unwrap().meta.total, 0);
    // Slugs are unique for each user.
    let created = theirs
        .create_bucket(&s3_bucket("mine", "http://127.0.0.1:1"))
        .await
        .unwrap();
    assert_eq!(
        (created.slug.as_str(), created.user_id.as_str()),
        ("mine", theirs.me().await.unwrap().id.as_str())
    );
    assert_eq!(castari.client().bucket("mine").await.unwrap().name, "mine");
}

#[tokio::test]
async fn credentials_are_kept_and_never_shown() {
    let castari = Castari::start().await;
    let s3 = castari
        .client()
        .create_bucket(&s3_bucket("one", "http://127.0.0.1:1"))
        .await
        .unwrap();
    let path = "/buckets/one/credentials";
    let given = json!({"access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET});
    let answer = castari.post(path, &given).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let shown = castari.get("/buckets/one").await;
    let stored: Bucket = serde_json::from_value(shown.json()).unwrap();
    assert!(stored.has_credentials && stored.updated_at > s3.updated_at);

    let create = CreateBucket {
        provider: Provider::Gcs,
        ..s3_bucket("two", "http://127.0.0.1:1")
    };
    castari.client().create_bucket(&create).await.unwrap();
    let account = stores::service_account();
    let answer = castari
        .post("/buckets/two/credentials", &json!({"service_account_json": account}))
        .await;
    assert_eq!(answer.status, 204, "{answer:?}");
    test(&castari, "one").await;
    test(&castari, "two").await;

    let listed = castari.get("/buckets").await;
    let private_key: Value = serde_json::from_str(account).unwrap();
    let private_key = private_key["private_key"].as_str().unwrap();
    let line = private_key.lines().nth(3).unwrap();
    for secret in [SECRET, line, "AKIAEXAMPLE"] {
        let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!is_in(shown.text.as_bytes()) && !is_in(listed.text.as_bytes()));
        for file in ["castari.db", "castari.db-wal"] {
            let bytes = std::fs::read(castari.data_dir().join(file)).unwrap();
            assert!(!is_in(&bytes), "{file} holds a secret");
        }
        assert!(!is_in(castari.log().as_bytes()), "the log holds a secret");
    }

    assert_eq!(delete(&castari, path).await.status, 204);
    let without = castari.client().bucket("one").await.unwrap();
    assert!(!without.has_credentials && without.updated_at > stored.updated_at);
    assert_eq!(delete(&castari, path).await.status, 204, "there need not be any");
}

#[tokio::test]
async fn credentials_outlive_a_rotation_of_the_master_key() {
    let mut castari = Castari::start().await;
    let client = castari.client();
    client
        .create_bucket(&s3_bucket("one", "http://127.0.0.1:1"))
        .await
        .unwrap();
    client
        .set_bucket_credentials("one", &access_key("AKIAEXAMPLE", SECRET))
        .await
        .unwrap();
    castari.kill();
    let data_dir = castari.data_dir();
    let args = ["rotate-master-key", "--data-dir", data_dir.to_str().unwrap()];
    let place = tempfile::tempdir().unwrap();
    let rotated = castari_tests::run(place.path(), &castari_tests::Options::default(), &args);
    assert!(rotated.status.success(), "{rotated:?}");
    castari.restart().await;
    let signed = castari.post("/buckets/one/upload-url", &json!({"path": "a"})).await;
    assert_eq!(signed.status, 200, "{signed:?}");
}

#[tokio::test]
async fn credentials_of_the_wrong_kind_are_refused() {
    let castari = Castari::start().await;
    castari
        .client()
        .create_bucket(&s3_bucket("one", "http://127.0.0.1:1"))
        .await
        .unwrap();
    let create = CreateBucket {
        provider: Provider::Gcs,
        ..s3_bucket("two", "http://127.0.0.1:1")
    };
    castari.client().create_bucket(&create).await.unwrap();
    let keys = json!({"access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET});
    let account = json!({"service_account_json": stores::service_account()});
    for (slug, body) in [("one", &account), ("two", &keys)] {
        let answer = castari.post(&format!("/buckets/{slug}/credentials"), body).await;
        assert_problem(&answer, 400, "wrong_credentials");
    }
    for (slug, body, field) in [
        ("one", json!({"access_key_id": "a"}), "secret_access_key"),
        ("one", json!({"secret_access_key": "a"}), "access_key_id"),
        (
            "one",
            json!({"access_key_id": "a\nb", "secret_access_key": "x"}),
            "access_key_id",
        ),
        (
            "one",
            json!({"access_key_id": "a", "secret_access_key": "x y"}),
            "secret_access_key",
        ),
        ("two", json!({}), "service_account_json"),
        ("two", json!({"service_account_json": 7}), "service_account_json"),
    ] {
        assert_faults(
            &castari.post(&format!("/buckets/{slug}/credentials"), &body).await,
            &[field],
        );
    }
    let mut broken: Value = serde_json::from_str(stores::service_account()).unwrap();
    broken["private_key"] = json!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let mut nobody: Value = serde_json::from_str(stores::service_account()).unwrap();
    nobody["client_email"] = json!("a\r\nb");
    for json in ["{}", "nonsense", "[]", &broken.to_string(), &nobody.to_string()] {
        let answer = castari
            .post("/buckets/two/credentials", &json!({"service_account_json": json}))
            .await;
        assert_problem(&answer, 400, "credentials_unusable");
    }
    for slug in ["one", "two"] {
        assert!(!castari.client().bucket(slug).await.unwrap().has_credentials);
        let answer = castari
            .post(&format!("/buckets/{slug}/upload-url"), &json!({"path": "a"}))
            .await;
        assert_problem(&answer, 400, "no_credentials");
    }
}

#[tokio::test]
async fn a_bucket_in_use_stays() {
    let castari = Castari::start().await;
    let client = castari.client();
    castari.create("agent").await;
    client
        .create_bucket(&s3_bucket("used", "http://127.0.0.1:1"))
        .await
        .unwrap();
    let mount = CreateMount {
        bucket_slug: "used".into(),
        mount_path: "/data".into(),
        ..CreateMount::default()
    };
    let mounted = client.create_mount("agent", &mount).await.unwrap();
    assert_problem(&delete(&castari, "/buckets/used").await, 400, "bucket_in_use");
    client.delete_mount("agent", &mounted.id).await.unwrap();
    assert_eq!(delete(&castari, "/buckets/used").await.status, 204);

    // However deletes and mounts meet, no mount is left without its bucket.
    for number in 0..10 {
        let slug = format!("race-{number}");
        client
            .create_bucket(&s3_bucket(&slug, "http://127.0.0.1:1"))
            .await
            .unwrap();
        let mount = CreateMount {
            bucket_slug: slug.clone(),
            mount_path: format!("/race/{number}"),
            ..CreateMount::default()
        };
        let (mounted, deleted) = tokio::join!(client.create_mount("agent", &mount), client.delete_bucket(&slug));
        assert_ne!(mounted.is_ok(), deleted.is_ok(), "{mounted:?} {deleted:?}");
        if let Err(error) = mounted {
            assert_eq!(error.refusal().unwrap().code.as_deref(), Some("bucket_not_found"));
        }
    }
    assert_eq!(castari.get("/agents/agent/mounts").await.status, 200);
}

#[tokio::test]
async fn changes_of_buckets_are_told() {
    let castari = Castari::start().await;
    let request = castari.request(Method::GET, "/events");
    let mut stream = request.send().await.unwrap();
    let client = castari.client();
    let agent = CreateAgent {
        name: "unrelated".into(),
        ..CreateAgent::default()
    };
    let bucket = client
        .create_bucket(&s3_bucket("told", "http://127.0.0.1:1"))
        .await
        .unwrap();
    client
        .set_bucket_credentials("told", &access_key("a", "b"))
        .await
        .unwrap();
    client.delete_bucket("told").await.unwrap();
    client.create_agent(&agent).await.unwrap();
    let mut text = String::new();
    while !text.contains("unrelated") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    let told = format!("{{\"kind\":\"bucket\",\"slug\":\"told\",\"id\":\"{}\"}}", bucket.id);
    assert_eq!(text.matches(&told).count(), 3, "{text}");
}
