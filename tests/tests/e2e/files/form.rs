//! Uploads by a form, good and bad.

use std::time::Duration;

use castari_common::files::Upload;
use castari_tests::shape::shape;
use castari_tests::{Castari, eventually};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BOUNDARY, assert_keeps, field, file, form, hash, send_form};

#[tokio::test]
async fn names_and_types_are_taken_as_clients_send_them() {
    let castari = Castari::start().await;
    let utf8 = format!("{}; filename=\"x\"; filename*=UTF-8''fr%C3%BCh.txt", field("file"));
    for (headers, name, kind) in [
        (file("plain.txt"), "plain.txt", None),
        (file("C:\\\\dir\\\\a.txt"), "a.txt", None),
        (file("../../etc/passwd"), "passwd", None),
        (file("früh \\\"1\\\".txt"), "früh \"1\".txt", None),
        (utf8, "früh.txt", None),
        (
            format!("{}\r\nContent-Type: text/html; charset=utf-8", file("a")),
            "a",
            Some("text/html; charset=utf-8"),
        ),
        (format!("{}\r\nContent-Type: nonsense", file("a")), "a", None),
    ] {
        let answer = send_form(&castari, form(&[(&headers, "content")])).await;
        assert_eq!(answer.status, 201, "{headers}: {answer:?}");
        let uploaded = answer.json();
        assert_eq!(
            (&uploaded["filename"], &uploaded["content_type"]),
            (&json!(name), &json!(kind))
        );
    }
    let upload = Upload {
        content_type: Some("image/png".into()),
        description: Some("ü".into()),
        tags: vec!["ü".into(), "b".into()],
        ..Upload::new("日本 \"語\".png", "")
    };
    let empty = castari.client().upload_file(upload).await.unwrap();
    assert_eq!((empty.size_bytes, empty.sha256_hash.as_str()), (0, hash("").as_str()));
    let file = castari.client().file(&empty.file_id).await.unwrap();
    assert_eq!(file.filename, "日本 \"語\".png");
    assert_eq!(
        (file.description.as_deref(), file.tags.concat()),
        (Some("ü"), "üb".into())
    );
}

#[tokio::test]
async fn a_form_with_faults_leaves_nothing() {
    let castari = Castari::start().await;
    let good = file("a.txt");
    let (description, tags) = (field("description"), field("tags"));
    let (long, many, longest) = ("x".repeat(10_001), vec!["x"; 40].join(","), "x".repeat(70_000));
    let numbers: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    let numbers = numbers.join(",");
    let long_tag = "x".repeat(65);
    let long_name = file(&"x".repeat(256));
    let cases: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![(&description, "no file")],
        vec![("Content-Disposition: form-data; name=\"file\"", "no name")],
        vec![("Content-Disposition: form-data; name=\"file\"; filename=\"\"", "a")],
        vec![("Content-Disposition: form-data; name=\"file\"; filename=\"..\"", "a")],
        vec![("Content-Disposition: form-data; name=\"file\"; filename=\"a/\"", "a")],
        vec![("Content-Disposition: form-data; name=\"file\"; filename=\"a\tb\"", "a")],
        vec![(
            "Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''a%00b",
            "a",
        )],
        vec![(&long_name, "a")],
        vec![(&good, "a"), (&good, "b")],
        vec![(&good, "a"), (&description, &long)],
        vec![(&description, &longest), (&good, "a")],
        vec![(&good, "a"), (&description, "a\0b")],
        vec![(&good, "a"), (&tags, &numbers)],
        vec![(&tags, &long_tag), (&good, "a")],
        vec![(&good, "a"), (&tags, "a\nb")],
        vec![(&good, "a"), (&tags, &longest)],
    ];
    for parts in cases {
        let answer = send_form(&castari, form(&parts)).await;
        assert_eq!(answer.status, 422, "{parts:?}: {answer:?}");
        assert_keeps(&castari, []);
    }
    let all = form(&[(&file(".."), "a"), (&description, &long), (&tags, &long_tag)]);
    insta::assert_json_snapshot!("form_faults", send_form(&castari, all).await.json());
    insta::assert_json_snapshot!("form_without_file", send_form(&castari, form(&[])).await.json());
    let mut not_utf8 = form(&[(&good, "a"), (&description, "?")]).into_bytes();
    let place = not_utf8.iter().position(|byte| *byte == b'?').unwrap();
    not_utf8[place] = 0xff;
    assert_eq!(send_form(&castari, not_utf8).await.status, 422);
    assert_eq!(castari.get("/files").await.json()["meta"]["total"], 0);
    // Forty times the same tag is one.
    let answer = send_form(&castari, form(&[(&good, "a"), (&tags, &many)])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let castari = Castari::start().await;
    for kind in [
        "application/json",
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
    ] {
        let request = castari.request(Method::POST, "/files").header("Content-Type", kind);
        let answer = castari.send(request.body("{}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (415, "unsupported_media_type"),
            "{kind}"
        );
    }
    let whole = form(&[(&file("a.txt"), "content")]);
    let mut parts: Vec<String> = ["", "nonsense", "--boundary"].map(Into::into).into();
    parts.extend((20..whole.len() - 4).step_by(7).map(|end| whole[..end].to_owned()));
    // No boundary ever comes, headers that do not end, a great many fields.
    parts.push("x".repeat(20 << 20));
    parts.push(format!("--{BOUNDARY}\r\nX: {}", "x".repeat(20 << 20)));
    parts.push(form(&vec![(field("x").as_str(), ""); 200]));
    for part in parts {
        let start: String = part.chars().take(200).collect();
        let answer = send_form(&castari, part).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "malformed_multipart"),
            "{start}: {answer:?}"
        );
        assert_keeps(&castari, []);
    }
    assert_eq!(castari.get("/files").await.json()["meta"]["total"], 0);
}

/// Begins a request that says it is longer than what is sent.
async fn begin(castari: &Castari, length: usize, body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(castari.address()).await.unwrap();
    let head = format!(
        "POST /api/v1/files HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n{body}",
        castari.address(),
        castari.key()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn a_connection_that_breaks_off_leaves_nothing() {
    let castari = Castari::start().await;
    let whole = form(&[(&file("a.txt"), &"content".repeat(100_000))]);
    for sent in [&whole[..300_000], &whole[..whole.len() - 5]] {
        // One that says it will send no more gets an answer, one that is gone cannot.
        let mut connection = begin(&castari, whole.len(), sent).await;
        eventually("it arrives", Duration::from_secs(30), || castari.files().len() == 1).await;
        connection.shutdown().await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        eventually("it is gone", Duration::from_secs(30), || castari.files().is_empty()).await;

        let connection = begin(&castari, whole.len(), sent).await;
        eventually("it arrives", Duration::from_secs(30), || castari.files().len() == 1).await;
        drop(connection);
        eventually("it is gone", Duration::from_secs(30), || castari.files().is_empty()).await;
    }
    assert_eq!(castari.get("/files").await.json()["meta"]["total"], 0);
    let mut connection = begin(&castari, whole.len(), &whole).await;
    let mut answer = vec![0; 12];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 201");
    let listed = castari.get("/files").await.json();
    assert_eq!(shape(listed["files"][0]["id"].clone()), json!("[file]"));
}
