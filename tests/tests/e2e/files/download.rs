//! Downloads, whole and in part.

use castari_tests::shape::shape;
use castari_tests::{Answer, Castari};
use futures::TryStreamExt;
use reqwest::Method;
use serde_json::json;

use super::{field, file, form, hash, send_form, upload};

const CONTENT: &str = "0123456789";

async fn get(castari: &Castari, id: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = castari.request(Method::GET, &format!("/files/{id}/download"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    castari.send(request).await
}

#[tokio::test]
async fn a_file_comes_as_it_went() {
    let castari = Castari::start().await;
    let headers = format!("{}\r\nContent-Type: text/html", file("früh \\\"1\\\".html"));
    let id = send_form(&castari, form(&[(&headers, CONTENT)])).await.json()["file_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let etag = format!("\"{}\"", hash(CONTENT));
    for path in ["download", "content"] {
        for method in [Method::GET, Method::HEAD] {
            let request = castari.request(method.clone(), &format!("/files/{id}/{path}"));
            let answer = castari.send(request).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            for (name, value) in [
                ("content-type", "text/html"),
                ("content-length", "10"),
                (
                    "content-disposition",
                    "attachment; filename=\"fr_h _1_.html\"; filename*=UTF-8''fr%C3%BCh%20%221%22.html",
                ),
                ("etag", etag.as_str()),
                ("accept-ranges", "bytes"),
                ("x-content-type-options", "nosniff"),
            ] {
                assert_eq!(answer.header(name), value, "{method} {path}");
            }
            assert_eq!(answer.text, if method == Method::HEAD { "" } else { CONTENT });
        }
    }
    let plain = upload(&castari, "plain", "x").await.file_id;
    let answer = get(&castari, &plain, &[]).await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let empty = upload(&castari, "empty", "").await.file_id;
    let answer = get(&castari, &empty, &[]).await;
    assert_eq!(
        (answer.status, answer.header("content-length"), answer.text.as_str()),
        (200, "0", "")
    );

    let rest = castari.client().download_file(&id, 7).await.unwrap();
    let rest: Vec<_> = rest.try_collect().await.unwrap();
    assert_eq!(rest.concat(), b"789");
    let missing = castari
        .client()
        .download_file("file_missing", 0)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(missing.refusal().unwrap().code.as_deref(), Some("file_not_found"));
}

#[tokio::test]
async fn parts_are_given() {
    let castari = Castari::start().await;
    let id = upload(&castari, "a", CONTENT).await.file_id;
    for (range, content, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-4", "6789", "bytes 6-9/10"),
        ("bytes=-99", CONTENT, "bytes 0-9/10"),
    ] {
        let answer = get(&castari, &id, &[("Range", range)]).await;
        assert_eq!((answer.status, answer.text.as_str()), (206, content), "{range}");
        assert_eq!(answer.header("content-range"), content_range);
        assert_eq!(answer.header("content-length"), content.len().to_string());
        assert!(!answer.header("etag").is_empty() && !answer.header("content-disposition").is_empty());
    }
    for range in ["bytes=10-", "bytes=99999999999999999999-", "bytes=-0"] {
        let answer = get(&castari, &id, &[("Range", range)]).await;
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (416, "bytes */10"),
            "{range}"
        );
        assert_eq!(answer.code(), "range_not_satisfiable");
        insta::assert_json_snapshot!("range_not_satisfiable", answer.json());
    }
    for range in [
        "bytes=4-2",
        "bytes=0-1,3-4",
        "bytes=a-b",
        "lines=0-1",
        "nonsense",
        "bytes=-",
    ] {
        let answer = get(&castari, &id, &[("Range", range)]).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, CONTENT), "{range}");
        assert_eq!(answer.header("content-range"), "");
    }
    let head = castari.request(Method::HEAD, &format!("/files/{id}/download"));
    let answer = castari.send(head.header("Range", "bytes=2-4")).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, "10"));
}

#[tokio::test]
async fn what_the_client_has_need_not_come_again() {
    let castari = Castari::start().await;
    let id = upload(&castari, "a", CONTENT).await.file_id;
    let etag = format!("\"{}\"", hash(CONTENT));
    let weak = format!("W/{etag}");
    let list = format!("\"other\", {etag}");
    for known in [etag.as_str(), &weak, &list, "*"] {
        let answer = get(&castari, &id, &[("If-None-Match", known), ("Range", "bytes=2-4")]).await;
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), etag);
    }
    for (known, status) in [
        (etag.as_str(), 206),
        (&weak, 200),
        ("\"other\"", 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
    ] {
        let headers = [
            ("If-Range", known),
            ("Range", "bytes=2-4"),
            ("If-None-Match", "\"other\""),
        ];
        assert_eq!(get(&castari, &id, &headers).await.status, status, "{known}");
    }
}

#[tokio::test]
async fn no_name_breaks_a_header() {
    let castari = Castari::start().await;
    for name in ["a;b=c.txt", "%00", "a'b", "'; filename=\\\"x", "日本語", " a "] {
        let uploaded = send_form(&castari, form(&[(&file(name), "x")])).await.json();
        let id = uploaded["file_id"].as_str().unwrap();
        let answer = get(&castari, id, &[]).await;
        let disposition = answer.header("content-disposition").to_owned();
        let (_, exactly) = disposition.split_once("; filename*=UTF-8''").unwrap();
        // What this sends back as a name is the same name.
        let again = format!("{}; filename*=UTF-8''{exactly}", field("file"));
        let again = send_form(&castari, form(&[(&again, "x")])).await.json();
        assert_eq!(again["filename"], uploaded["filename"], "{disposition}");
    }
}

#[tokio::test]
async fn lost_content_is_no_empty_file() {
    let castari = Castari::start().await;
    let file = upload(&castari, "a", CONTENT).await;
    std::fs::remove_file(castari.data_dir().join("files").join(&file.sha256_hash)).unwrap();
    let answer = get(&castari, &file.file_id, &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "internal_error"));
    assert!(!answer.text.contains(&file.sha256_hash));
    assert_eq!(shape(json!(file.file_id)), json!("[file]"));
    // Whoever uploads it again, heals it.
    upload(&castari, "b", CONTENT).await;
    assert_eq!(get(&castari, &file.file_id, &[]).await.text, CONTENT);
}
