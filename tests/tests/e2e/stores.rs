//! Object stores as buckets see them: real ones, and what is none.

use std::time::{Duration, Instant};

use castari_common::buckets::{BucketCredentials, BucketTest, CreateBucket, Provider, SignUrl};
use castari_tests::shape::shape;
use castari_tests::{Castari, stores};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::buckets::{SECRET, access_key, assert_faults, assert_problem, s3_bucket, test};

/// A bucket of the shared S3 server, with credentials.
async fn s3(castari: &Castari, name: &str) {
    stores::s3().make_s3_bucket(name).await;
    let bucket = s3_bucket(name, stores::s3().url());
    castari.client().create_bucket(&bucket).await.unwrap();
    let credentials = access_key("AKIAEXAMPLE", SECRET);
    castari
        .client()
        .set_bucket_credentials(name, &credentials)
        .await
        .unwrap();
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
