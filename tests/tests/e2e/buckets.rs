//! Buckets, and the stores that they are in.

use std::time::{Duration, Instant};

use castari_common::agents::CreateAgent;
use castari_common::buckets::{Bucket, BucketCredentials, BucketTest, CreateBucket, Provider, SignUrl};
use castari_common::mounts::CreateMount;
use castari_common::{Client, Page};
use castari_tests::shape::shape;
use castari_tests::{Answer, Castari, stores};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::neighbour;

const SECRET: &str = "s3cr3t-that-nobody-may-see-0123456789";

/// Asserts that an answer is an error in the contract's shape.
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
}

/// Asserts that exactly these fields of the body are at fault.
fn assert_faults(answer: &Answer, fields: &[&str]) {
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

fn s3_bucket(name: &str, endpoint_url: &str) -> CreateBucket {
    CreateBucket {
        name: name.into(),
        slug: None,
        provider: Provider::S3,
        bucket_name: name.into(),
        region: None,
        endpoint_url: Some(endpoint_url.into()),
    }
}

fn access_key(id: &str, secret: &str) -> BucketCredentials {
    BucketCredentials {
        access_key_id: Some(id.into()),
        secret_access_key: Some(secret.into()),
        service_account_json: None,
    }
}

/// A bucket of the shared S3 server, with credentials.
async fn s3(castari: &Castari, name: &str) -> Bucket {
    stores::s3().make_s3_bucket(name).await;
    let bucket = castari
        .client()
        .create_bucket(&s3_bucket(name, stores::s3().url()))
        .await
        .unwrap();
    let credentials = access_key("AKIAEXAMPLE", SECRET);
    castari
        .client()
        .set_bucket_credentials(name, &credentials)
        .await
        .unwrap();
    bucket
}

/// A bucket of the shared Google Cloud Storage, with credentials.
async fn gcs(castari: &Castari, name: &str) {
    stores::gcs().make_gcs_bucket(name).await;
    let create = CreateBucket {
        provider: Provider::Gcs,
        ..s3_bucket(name, stores::gcs().url())
    };
    castari.client().create_bucket(&create).await.unwrap();
    let credentials = BucketCredentials {
        service_account_json: Some(stores::service_account().into()),
        ..BucketCredentials::default()
    };
    castari
        .client()
        .set_bucket_credentials(name, &credentials)
        .await
        .unwrap();
}

async fn test(castari: &Castari, slug: &str) -> BucketTest {
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
    let castari = Castari::start().await;
    castari
        .client()
        .create_bucket(&s3_bucket("mine", "http://127.0.0.1:1"))
        .await
        .unwrap();
    let theirs = neighbour::move_in(&castari);
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
    let theirs = Client::new(castari.url(), theirs).unwrap();
    assert_eq!(theirs.buckets(Page::default()).await.unwrap().meta.total, 0);
    // Slugs are unique for each user.
    let created = theirs
        .create_bucket(&s3_bucket("mine", "http://127.0.0.1:1"))
        .await
        .unwrap();
    assert_eq!(
        (created.slug.as_str(), created.user_id.as_str()),
        ("mine", "usr_neighbor")
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
async fn credentials_of_the_wrong_kind_are_refused() {
    let castari = Castari::start().await;
    castari
        .client()
        .create_bucket(&s3_bucket("s3", "http://127.0.0.1:1"))
        .await
        .unwrap();
    let create = CreateBucket {
        provider: Provider::Gcs,
        ..s3_bucket("gcs", "http://127.0.0.1:1")
    };
    castari.client().create_bucket(&create).await.unwrap();
    let keys = json!({"access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET});
    let account = json!({"service_account_json": stores::service_account()});
    for (slug, body) in [("s3", &account), ("gcs", &keys)] {
        let answer = castari.post(&format!("/buckets/{slug}/credentials"), body).await;
        assert_problem(&answer, 400, "wrong_credentials");
    }
    for (slug, body, field) in [
        ("s3", json!({"access_key_id": "a"}), "secret_access_key"),
        ("s3", json!({"secret_access_key": "a"}), "access_key_id"),
        (
            "s3",
            json!({"access_key_id": "a\nb", "secret_access_key": "x"}),
            "access_key_id",
        ),
        (
            "s3",
            json!({"access_key_id": "a", "secret_access_key": "x y"}),
            "secret_access_key",
        ),
        ("gcs", json!({}), "service_account_json"),
        ("gcs", json!({"service_account_json": 7}), "service_account_json"),
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
            .post("/buckets/gcs/credentials", &json!({"service_account_json": json}))
            .await;
        assert_problem(&answer, 400, "credentials_unusable");
    }
    for slug in ["s3", "gcs"] {
        assert!(!castari.client().bucket(slug).await.unwrap().has_credentials);
        let answer = castari
            .post(&format!("/buckets/{slug}/upload-url"), &json!({"path": "a"}))
            .await;
        assert_problem(&answer, 400, "no_credentials");
    }
}

/// Sends a file through one signed URL and reads it through another.
async fn round_trip(castari: &Castari, slug: &str, path: &str, content: &str) {
    let http = reqwest::Client::new();
    let file = SignUrl {
        path: path.into(),
        expires_in: Some(60),
    };
    let upload = castari.client().bucket_upload_url(slug, &file).await.unwrap();
    let sent = http.put(&upload.url).body(content.to_owned()).send().await.unwrap();
    assert!(sent.status().is_success(), "{upload:?}: {sent:?}");
    let download = castari.client().bucket_download_url(slug, &file).await.unwrap();
    let read = http.get(&download.url).send().await.unwrap();
    assert!(read.status().is_success(), "{download:?}: {read:?}");
    assert_eq!(read.text().await.unwrap(), content, "{path}");
}

const KEYS: [&str; 9] = [
    "a.txt",
    "dir/b c.txt",
    "dir/a+b&c=d.txt",
    "dir/ä/日本語.txt",
    "dir/100%41.txt",
    "dir/q?x=1#y.txt",
    "dir/a'b(c)~.txt",
    "dir/.hidden",
    "dir/..x",
];

/// Keys come back exactly as they were given, whatever they hold.
async fn keys_are_exact(castari: &Castari, slug: &str) {
    for key in KEYS {
        round_trip(castari, slug, key, &format!("content of {key}")).await;
    }
    let listed = castari.get(&format!("/buckets/{slug}/files")).await;
    assert_eq!(stores::paths(&listed.json()), ["a.txt", "dir/"], "{listed:?}");
    let listed = castari.get(&format!("/buckets/{slug}/files?prefix=dir/")).await;
    let mut expected: Vec<&str> = KEYS
        .iter()
        .skip(1)
        .copied()
        .filter(|key| !key.contains("日本語"))
        .collect();
    expected.push("dir/ä/");
    expected.sort_unstable();
    assert_eq!(stores::paths(&listed.json()), expected);
    let listed = castari.get(&format!("/buckets/{slug}/files?prefix=dir/a")).await;
    assert_eq!(stores::paths(&listed.json()), ["dir/a'b(c)~.txt", "dir/a+b&c=d.txt"]);
}

#[tokio::test]
async fn a_bucket_of_s3_is_read_and_written() {
    let castari = Castari::start().await;
    s3(&castari, "s3-files").await;
    let tested = castari.post("/buckets/s3-files/test", &Value::Null).await;
    assert_eq!(tested.status, 200);
    let mut tested = tested.json();
    assert!(
        tested["latency_ms"].as_u64().is_some_and(|latency| latency < 15_000),
        "{tested}"
    );
    tested["latency_ms"] = json!("[milliseconds]");
    insta::assert_json_snapshot!("bucket_test", tested);
    assert_eq!(
        castari.get("/buckets/s3-files/files").await.json(),
        json!({"files": [], "prefix": null, "truncated": false})
    );
    keys_are_exact(&castari, "s3-files").await;
    // What some programs make for a directory is the directory itself.
    stores::s3().put("s3-files", "empty/", b"").await;
    let listed = castari.get("/buckets/s3-files/files?prefix=empty/").await;
    assert_eq!(
        listed.json(),
        json!({"files": [], "prefix": "empty/", "truncated": false})
    );
    insta::assert_json_snapshot!(
        "bucket_files",
        shape(castari.get("/buckets/s3-files/files").await.json())
    );
    let signed = castari
        .post("/buckets/s3-files/upload-url", &json!({"path": "x"}))
        .await;
    let mut signed = signed.json();
    assert!(signed["url"].as_str().unwrap().contains("X-Amz-Signature="), "{signed}");
    assert!(!signed.to_string().contains(SECRET));
    signed["url"] = json!("[url]");
    insta::assert_json_snapshot!("bucket_signed_url", shape(signed));
}

#[tokio::test]
async fn a_bucket_of_google_is_read_and_written() {
    let castari = Castari::start().await;
    gcs(&castari, "gcs-files").await;
    let tested = test(&castari, "gcs-files").await;
    assert!(tested.success && tested.latency_ms.is_some(), "{tested:?}");
    keys_are_exact(&castari, "gcs-files").await;
    let signed = castari
        .post(
            "/buckets/gcs-files/download-url",
            &json!({"path": "x y", "expires_in": 604_800}),
        )
        .await;
    let url = signed.json()["url"].as_str().unwrap().to_owned();
    let start = format!("{}/gcs-files/x%20y?", stores::gcs().url());
    assert!(url.starts_with(&start) && url.contains("X-Goog-Signature=") && url.contains("X-Goog-Expires=604800"));
    assert_eq!(signed.json()["method"], "GET");
    castari.client().delete_bucket_credentials("gcs-files").await.unwrap();
    assert!(test(&castari, "gcs-files").await.success, "this one is public");
    let missing = CreateBucket {
        provider: Provider::Gcs,
        ..s3_bucket("gcs-missing", stores::gcs().url())
    };
    castari.client().create_bucket(&missing).await.unwrap();
    assert_eq!(
        test(&castari, "gcs-missing").await.message,
        "The store has no such bucket"
    );
}

#[tokio::test]
async fn paths_that_no_client_could_name_are_refused() {
    let castari = Castari::start().await;
    s3(&castari, "s3-paths").await;
    let long = "ä".repeat(513);
    for path in [
        "", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\u{0}b", "a\nb", &long,
    ] {
        for call in ["upload-url", "download-url"] {
            let answer = castari
                .post(&format!("/buckets/s3-paths/{call}"), &json!({"path": path}))
                .await;
            assert_faults(&answer, &["path"]);
        }
    }
    for (body, field) in [
        (json!({}), "path"),
        (json!({"path": "a", "expires_in": 59}), "expires_in"),
        (json!({"path": "a", "expires_in": 604_801}), "expires_in"),
        (json!({"path": "a", "expires_in": "x"}), "expires_in"),
    ] {
        assert_faults(&castari.post("/buckets/s3-paths/upload-url", &body).await, &[field]);
    }
    round_trip(&castari, "s3-paths", &"x".repeat(1024), "long").await;
    for prefix in ["a%00b", "%0A", "/a", &"x".repeat(1025)] {
        let answer = castari.get(&format!("/buckets/s3-paths/files?prefix={prefix}")).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["query", "prefix"]));
    }
    // What others put there may have such names: that is said, not half of it shown.
    stores::s3().put("s3-paths", "odd//name", b"").await;
    let answer = castari.get("/buckets/s3-paths/files?prefix=odd/").await;
    assert_problem(&answer, 400, "bucket_key_unfit");
}

#[tokio::test]
async fn a_long_list_is_cut() {
    let castari = Castari::start().await;
    s3(&castari, "s3-long").await;
    let put = |number: usize| stores::s3().put_owned("s3-long", format!("many/{number:04}"));
    for start in (0..1000).step_by(20) {
        futures::future::join_all((start..start + 20).map(put)).await;
    }
    let listed = castari.get("/buckets/s3-long/files?prefix=many/").await.json();
    assert_eq!(
        (stores::paths(&listed).len(), &listed["truncated"]),
        (1000, &json!(false))
    );
    put(1000).await;
    let listed = castari.get("/buckets/s3-long/files?prefix=many/").await.json();
    assert_eq!(
        (stores::paths(&listed).len(), &listed["truncated"]),
        (1000, &json!(true))
    );
    assert_eq!(stores::paths(&listed)[999], "many/0999");
}

#[tokio::test]
async fn signatures_are_the_ones_that_a_store_wants() {
    let castari = Castari::start().await;
    let store = stores::strict_s3(4);
    store.make_s3_bucket("strict").await;
    let (id, secret) = store.make_s3_user().await;
    let client = castari.client();
    client.create_bucket(&s3_bucket("strict", store.url())).await.unwrap();
    client
        .set_bucket_credentials("strict", &access_key(&id, &secret))
        .await
        .unwrap();
    let tested = test(&castari, "strict").await;
    assert!(tested.success, "{tested:?}");
    client
        .set_bucket_credentials("strict", &access_key(&id, SECRET))
        .await
        .unwrap();
    let tested = test(&castari, "strict").await;
    assert_eq!(
        tested.message,
        "Access denied by the store: the secret access key is not the right one"
    );
    client
        .set_bucket_credentials("strict", &access_key("AKIAUNKNOWN", SECRET))
        .await
        .unwrap();
    let tested = test(&castari, "strict").await;
    assert_eq!(
        tested.message,
        "Access denied by the store: the access key is not known to it"
    );
    assert_problem(&castari.get("/buckets/strict/files").await, 400, "bucket_access_denied");
}

/// Something that says the same to whoever connects; after that, it says `more` for ever.
async fn something(says: String, more: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let says = says.clone();
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(says.as_bytes()).await;
                while !more.is_empty() && stream.write_all(more).await.is_ok() {}
            });
        }
    });
    format!("http://{address}")
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn s3_error(status: &str, headers: &str, code: &str) -> String {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>FOREIGN</Message></Error>");
    answer(status, headers, &body)
}

#[tokio::test]
async fn what_is_wrong_with_a_store_is_said() {
    let castari = Castari::start().await;
    let page = "<html><body>FOREIGN</body></html>";
    let cases = [
        (
            answer("200 OK", "", page),
            "What answers there is not an object store",
            "bucket_not_a_store",
        ),
        (
            answer("200 OK", "", ""),
            "What answers there is not an object store",
            "bucket_not_a_store",
        ),
        (
            answer("200 OK", "", "<ListBucketResult><Contents><Key>FOREIGN"),
            "What answers there is not an object store",
            "bucket_not_a_store",
        ),
        (
            answer("404 Not Found", "", page),
            "What answers there is not an object store",
            "bucket_not_a_store",
        ),
        (
            "FOREIGN garbage\r\n\r\n".into(),
            "What answers there is not an object store",
            "bucket_not_a_store",
        ),
        (
            String::new(),
            "The store cannot be reached: the connection broke off",
            "bucket_unreachable",
        ),
        (
            s3_error("403 Forbidden", "", "AccessDenied"),
            "Access denied by the store: the bucket is not public, and no credentials are stored for it",
            "bucket_access_denied",
        ),
        (
            s3_error("404 Not Found", "", "NoSuchBucket"),
            "The store has no such bucket",
            "bucket_missing",
        ),
        (
            s3_error(
                "301 Moved Permanently",
                "x-amz-bucket-region: eu-west-1\r\n",
                "PermanentRedirect",
            ),
            "The bucket is in another region or at another address: its region is eu-west-1",
            "bucket_elsewhere",
        ),
        (
            answer("302 Found", "Location: http://169.254.169.254/latest\r\n", ""),
            "The bucket is in another region or at another address",
            "bucket_elsewhere",
        ),
        (
            s3_error("503 Service Unavailable", "", "SlowDown"),
            "The store could not do it (status 503, SlowDown)",
            "bucket_unreachable",
        ),
    ];
    for (number, (says, message, code)) in cases.into_iter().enumerate() {
        let slug = format!("case-{number}");
        let url = something(says, b"").await;
        castari.client().create_bucket(&s3_bucket(&slug, &url)).await.unwrap();
        let tested = test(&castari, &slug).await;
        let expected = BucketTest {
            success: false,
            message: message.into(),
            latency_ms: None,
        };
        assert_eq!(tested, expected);
        let listed = castari.get(&format!("/buckets/{slug}/files")).await;
        assert_problem(&listed, 400, code);
        assert!(!listed.text.contains("FOREIGN"), "{listed:?}");
    }
}

#[tokio::test]
async fn what_answers_as_google_and_is_not_is_told_apart() {
    let castari = Castari::start().await;
    for (number, says) in ["{}", "[]", "{\"kind\": \"other\"}", "<html>", ""]
        .into_iter()
        .enumerate()
    {
        let slug = format!("case-{number}");
        let url = something(answer("200 OK", "", says), b"").await;
        let create = CreateBucket {
            provider: Provider::Gcs,
            ..s3_bucket(&slug, &url)
        };
        castari.client().create_bucket(&create).await.unwrap();
        let tested = test(&castari, &slug).await;
        assert_eq!(tested.message, "What answers there is not an object store", "{says}");
    }
}

#[tokio::test]
async fn nothing_is_waited_for_or_read_without_end() {
    let castari = Castari::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless_url = something(head.into(), b"4\r\n<Lis\r\n").await;
    for (slug, url) in [
        ("silent", silent_url.as_str()),
        ("closed", &closed_url),
        ("endless", &endless_url),
        ("nowhere", "http://no-such-host.invalid"),
    ] {
        castari.client().create_bucket(&s3_bucket(slug, url)).await.unwrap();
    }
    let start = Instant::now();
    let (silent, closed, endless, nowhere) = tokio::join!(
        test(&castari, "silent"),
        test(&castari, "closed"),
        test(&castari, "endless"),
        test(&castari, "nowhere"),
    );
    assert!(start.elapsed() < Duration::from_secs(16), "{:?}", start.elapsed());
    assert_eq!(silent.message, "The store did not answer in time");
    assert_eq!(
        closed.message,
        "The store cannot be reached: the connection was refused"
    );
    assert!(!endless.success, "{endless:?}");
    assert!(
        nowhere.message.starts_with("The store cannot be reached: "),
        "{nowhere:?}"
    );
    assert!(![silent, closed, endless, nowhere].iter().any(|tested| tested.success));
}

#[tokio::test]
async fn nothing_of_the_machine_is_taken_for_credentials() {
    let url = something(s3_error("403 Forbidden", "", "AccessDenied"), b"").await;
    let options = castari_tests::Options::default()
        .env("AWS_ACCESS_KEY_ID", "AKIAOFTHEMACHINE")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent");
    let castari = Castari::with(options).await;
    castari.client().create_bucket(&s3_bucket("one", &url)).await.unwrap();
    let tested = test(&castari, "one").await;
    assert!(tested.message.contains("no credentials are stored"), "{tested:?}");
    let answer = castari.post("/buckets/one/upload-url", &json!({"path": "a"})).await;
    assert_problem(&answer, 400, "no_credentials");
    let create = CreateBucket {
        provider: Provider::Gcs,
        ..s3_bucket("two", &url)
    };
    castari.client().create_bucket(&create).await.unwrap();
    let tested = test(&castari, "two").await;
    assert!(tested.message.contains("no credentials are stored"), "{tested:?}");
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
