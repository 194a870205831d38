//! Uploads to an address of their own.

use std::time::Duration;

use castari_common::files::{ConfirmUpload, CreateUpload, UploadStatus, UploadUrl};
use castari_tests::shape::shape;
use castari_tests::{Answer, Castari, Options, eventually};
use futures::stream;
use reqwest::{Body, Method};
use serde_json::{Value, json};

use super::{assert_keeps, hash};

const CONTENT: &str = "0123456789";

fn of(size_bytes: u64) -> CreateUpload {
    CreateUpload {
        filename: "a.txt".into(),
        size_bytes,
        ..CreateUpload::default()
    }
}

async fn create(castari: &Castari) -> UploadUrl {
    let create = of(CONTENT.len() as u64);
    castari.client().create_upload(&create).await.unwrap()
}

async fn put(url: &str, body: impl Into<Body>) -> Answer {
    let response = reqwest::Client::new().put(url).body(body).send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

async fn confirm(castari: &Castari, id: &str, hash: &str) -> Answer {
    let body = json!({"file_id": id, "sha256_hash": hash});
    castari.post("/files/confirm-upload", &body).await
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
}

/// An answer without what differs from run to run.
fn masked(mut answer: Value) -> Value {
    let url = answer["upload_url"].as_str().unwrap();
    let (address, query) = url.split_once("/api/v1/files/file_").unwrap();
    assert!(query[20..].starts_with("/content?expires="), "{url}");
    answer["upload_url"] = json!(format!("{address}/api/v1/files/[file]/content?[signature]"));
    shape(answer)
}

#[tokio::test]
async fn a_file_is_sent_to_its_address_and_confirmed() {
    let castari = Castari::start().await;
    let body = json!({
        "filename": "dir/a.txt", "size_bytes": 10, "content_type": "text/plain", "description": "d", "tags": ["t", " t"],
    });
    let request = castari.request(Method::POST, "/files/upload-url").json(&body);
    let answer = castari.send(request.header("Host", "castari.example.com:80")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    insta::assert_json_snapshot!("upload_url", masked(answer.json()));
    let address: UploadUrl = serde_json::from_value(castari.post("/files/upload-url", &body).await.json()).unwrap();
    assert!(address.upload_url.starts_with(castari.url()), "{address:?}");
    let id = &address.file_id;
    insta::assert_json_snapshot!("file_pending", shape(castari.get(&format!("/files/{id}")).await.json()));
    assert_problem(
        &castari.get(&format!("/files/{id}/download")).await,
        400,
        "upload_pending",
    );
    assert_problem(&confirm(&castari, id, &hash(CONTENT)).await, 400, "upload_missing");

    // It may be sent again; what came last counts.
    assert_eq!(put(&address.upload_url, "9876543210").await.status, 200);
    assert_keeps(&castari, [&hash("9876543210")]);
    let received = put(&address.upload_url, CONTENT).await;
    assert_eq!(received.status, 200, "{received:?}");
    insta::assert_json_snapshot!("received_upload", shape(received.json()));
    assert_keeps(&castari, [&hash(CONTENT)]);
    assert_problem(
        &castari.get(&format!("/files/{id}/download")).await,
        400,
        "upload_pending",
    );

    let confirmed = confirm(&castari, id, &hash(CONTENT).to_uppercase()).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    insta::assert_json_snapshot!("file_confirmed", shape(confirmed.json()));
    assert_eq!(castari.get(&format!("/files/{id}/download")).await.text, CONTENT);
    assert_eq!(confirm(&castari, id, &hash(CONTENT)).await.json(), confirmed.json());
    assert_problem(&confirm(&castari, id, &hash("other")).await, 400, "already_confirmed");
    assert_problem(&put(&address.upload_url, "9876543210").await, 400, "already_confirmed");
    assert_eq!(castari.get(&format!("/files/{id}/download")).await.text, CONTENT);
    assert_keeps(&castari, [&hash(CONTENT)]);
}

#[tokio::test]
async fn the_client_s_calls_do_the_same() {
    let castari = Castari::start().await;
    let create = CreateUpload {
        content_type: Some("text/plain".into()),
        ..of(10)
    };
    let address = castari.client().create_upload(&create).await.unwrap();
    let received = castari.client().send_upload(&address, CONTENT).await.unwrap();
    let confirm = ConfirmUpload {
        file_id: address.file_id,
        sha256_hash: received.sha256_hash,
    };
    let file = castari.client().confirm_upload(&confirm).await.unwrap();
    assert_eq!(file.upload_status, UploadStatus::Confirmed);
}

#[tokio::test]
async fn an_address_is_for_one_file_and_size_alone() {
    let castari = Castari::start().await;
    let address = create(&castari).await;
    let other = create(&castari).await;
    let url = &address.upload_url;
    let (start, signature) = url.rsplit_once('=').unwrap();
    let later = {
        let (before, after) = url.split_once("expires=").unwrap();
        let (expires, after) = after.split_once('&').unwrap();
        format!("{before}expires={}&{after}", expires.parse::<u64>().unwrap() + 1)
    };
    let flipped = if signature.starts_with('0') { "1" } else { "0" };
    for wrong in [
        url.replace(&address.file_id, &other.file_id),
        url.replace(&address.file_id, "file_missing"),
        later,
        url.replace("expires=1", "expires=0"),
        format!("{start}={flipped}{}", &signature[1..]),
        format!("{start}={}", &signature[2..]),
        format!("{start}="),
        format!("{start}=nonsense"),
    ] {
        assert_problem(&put(&wrong, CONTENT).await, 403, "upload_url_invalid");
    }
    for wrong in [
        url.split_once('&').unwrap().0,
        url.split_once('?').unwrap().0,
        &url.replace("expires=", "expires=x"),
    ] {
        assert_eq!(put(wrong, CONTENT).await.status, 422, "{wrong}");
    }
    let get = reqwest::Client::new().get(url).send().await.unwrap();
    assert_eq!(get.status(), 401, "the address is for sending alone");
    assert_keeps(&castari, []);
    assert_eq!(put(url, CONTENT).await.status, 200);
}

#[tokio::test]
async fn as_many_bytes_come_as_were_said() {
    let castari = Castari::start().await;
    let address = create(&castari).await;
    let url = &address.upload_url;
    let streamed = |parts: &[&'static str]| {
        let parts: Vec<_> = parts.iter().map(|part| Ok::<_, std::io::Error>(*part)).collect();
        Body::wrap_stream(stream::iter(parts))
    };
    let wrong = [
        Body::from("012345678"),
        Body::from("0123456789x"),
        Body::from(""),
        Body::from("x".repeat(5 << 20)),
        streamed(&["01234", "567"]),
        streamed(&["01234", "56789x"]),
        streamed(&[]),
    ];
    for body in wrong {
        assert_problem(&put(url, body).await, 400, "size_mismatch");
        assert_keeps(&castari, []);
    }
    assert_problem(
        &confirm(&castari, &address.file_id, &hash("")).await,
        400,
        "upload_missing",
    );
    assert_eq!(put(url, streamed(&["01234", "56789"])).await.status, 200);
    // What is wrong later does not touch what was right.
    assert_problem(&put(url, "short").await, 400, "size_mismatch");
    assert_keeps(&castari, [&hash(CONTENT)]);

    let empty = castari.client().create_upload(&of(0)).await.unwrap();
    assert_eq!(put(&empty.upload_url, "").await.status, 200);
    assert_eq!(confirm(&castari, &empty.file_id, &hash("")).await.status, 200);
}

#[tokio::test]
async fn other_content_than_confirmed_goes() {
    let castari = Castari::start().await;
    let address = create(&castari).await;
    assert_eq!(put(&address.upload_url, CONTENT).await.status, 200);
    assert_problem(
        &confirm(&castari, &address.file_id, &hash("other")).await,
        400,
        "hash_mismatch",
    );
    assert_keeps(&castari, []);
    assert_problem(
        &confirm(&castari, &address.file_id, &hash(CONTENT)).await,
        404,
        "file_not_found",
    );
    assert_problem(&put(&address.upload_url, CONTENT).await, 403, "upload_url_invalid");
    assert_eq!(castari.get("/files").await.json()["meta"]["total"], 0);
}

#[tokio::test]
async fn of_two_who_send_the_later_is_taken() {
    let castari = Castari::start().await;
    let address = create(&castari).await;
    let stuck = stream::unfold(0, async |step| match step {
        0 => Some((Ok::<_, std::io::Error>("01234"), 1)),
        _ => std::future::pending().await,
    });
    let url = address.upload_url.clone();
    let first = tokio::spawn(async move { put(&url, Body::wrap_stream(Box::pin(stuck))).await });
    eventually("it is received", Duration::from_secs(30), || castari.files().len() == 1).await;
    assert_eq!(put(&address.upload_url, CONTENT).await.status, 200);
    assert_problem(&first.await.unwrap(), 400, "upload_superseded");
    assert_keeps(&castari, [&hash(CONTENT)]);
}

#[tokio::test]
async fn requests_are_checked() {
    let castari = Castari::start().await;
    let good = json!({"filename": "a.txt", "size_bytes": 1});
    for (field, wrong) in [
        ("filename", json!("")),
        ("filename", json!("..")),
        ("filename", json!("a/")),
        ("filename", json!("a\u{0}")),
        ("filename", json!("x".repeat(256))),
        ("filename", Value::Null),
        ("size_bytes", json!(-1)),
        ("size_bytes", json!("1")),
        ("size_bytes", json!(1.5)),
        ("size_bytes", json!(u64::MAX)),
        ("content_type", json!("nonsense")),
        ("content_type", json!("text/plain\r\nX: y")),
        ("content_type", json!(format!("text/{}", "x".repeat(255)))),
        ("description", json!("x".repeat(10_001))),
        ("tags", json!(["x".repeat(65)])),
    ] {
        let mut body = good.clone();
        body[field] = wrong;
        let answer = castari.post("/files/upload-url", &body).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"][1], field, "{body}: {answer:?}");
    }
    insta::assert_json_snapshot!(
        "upload_url_faults",
        castari.post("/files/upload-url", &json!({})).await.json()
    );
    for wrong in ["", "abc", &"g".repeat(64), &"a".repeat(65)] {
        assert_eq!(confirm(&castari, "file_x", wrong).await.status, 422, "{wrong}");
    }
    assert_problem(
        &confirm(&castari, "file_missing", &hash("")).await,
        404,
        "file_not_found",
    );
    let request = castari.request(Method::POST, "/files/upload-url").json(&good);
    let answer = castari.send(request.header("Host", "user@evil")).await;
    assert_problem(&answer, 400, "malformed_host");
    assert_eq!(castari.get("/files").await.json()["meta"]["total"], 0);
}

#[tokio::test]
async fn addresses_are_where_clients_reach_the_server() {
    let castari = Castari::start().await;
    for (forwarded, scheme) in [("https", "https"), ("http", "http"), ("javascript", "http")] {
        let request = castari.request(Method::POST, "/files/upload-url").json(&of(1));
        let request = request
            .header("X-Forwarded-Proto", forwarded)
            .header("Host", "castari.test");
        let url = castari.send(request).await.json()["upload_url"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            url.starts_with(&format!("{scheme}://castari.test/api/v1/files/file_")),
            "{url}"
        );
    }
    let options = Options::default().env("CASTARI_PUBLIC_URL", "https://example.com/castari/");
    let castari = Castari::with(options).await;
    let url = create(&castari).await.upload_url;
    assert!(
        url.starts_with("https://example.com/castari/api/v1/files/file_"),
        "{url}"
    );
}

#[tokio::test]
async fn what_is_never_confirmed_goes() {
    let mut castari = Castari::start().await;
    let expire = |castari: &Castari| {
        let database = rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        let sql = "UPDATE files SET expires_at = 1 WHERE expires_at IS NOT NULL";
        assert!(database.execute(sql, []).unwrap() > 0);
    };
    let address = create(&castari).await;
    assert_eq!(put(&address.upload_url, CONTENT).await.status, 200);
    expire(&castari);
    assert_problem(
        &confirm(&castari, &address.file_id, &hash(CONTENT)).await,
        404,
        "file_not_found",
    );
    assert_keeps(&castari, []);

    let address = create(&castari).await;
    assert_eq!(put(&address.upload_url, CONTENT).await.status, 200);
    expire(&castari);
    castari.restart().await;
    assert_keeps(&castari, []);
    assert_eq!(castari.client().file_usage().await.unwrap().total_files, 0);
}

#[tokio::test]
async fn addresses_outlive_the_server() {
    let mut castari = Castari::start().await;
    let address = create(&castari).await;
    let before = castari.url().to_owned();
    castari.restart().await;
    let url = address.upload_url.replace(&before, castari.url());
    assert_eq!(put(&url, CONTENT).await.status, 200);
    castari.restart().await;
    assert_keeps(&castari, [&hash(CONTENT)]);
    assert_eq!(confirm(&castari, &address.file_id, &hash(CONTENT)).await.status, 200);
}
