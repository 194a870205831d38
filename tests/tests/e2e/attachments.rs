//! Files that are attached to agents.

use castari_common::attachments::AttachFile;
use castari_common::events::EventKind;
use castari_common::files::CreateUpload;
use castari_tests::shape::shape;
use castari_tests::{Answer, Castari, within};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::files::upload;

async fn attach(castari: &Castari, slug: &str, body: &Value) -> Answer {
    castari.post(&format!("/agents/{slug}/files"), body).await
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
}

#[tokio::test]
async fn a_file_is_attached_listed_and_detached() {
    let castari = Castari::start().await;
    castari.create("one").await;
    castari.create("two").await;
    let empty = castari.get("/agents/one/files").await;
    assert_eq!(
        (empty.status, empty.json()),
        (200, json!({"files": [], "total_size_bytes": 0}))
    );
    let a = upload(&castari, "a.txt", "aaa").await.file_id;
    let b = upload(&castari, "b.txt", "bbbb").await.file_id;
    let attached = attach(&castari, "one", &json!({"file_id": a})).await;
    assert_eq!(attached.status, 201, "{attached:?}");
    insta::assert_json_snapshot!("attachment", shape(attached.json()));
    let body = json!({"file_id": b, "mount_path": "/files/agent/dir/.b", "read_only": false});
    assert_eq!(attach(&castari, "one", &body).await.status, 201);
    assert_eq!(attach(&castari, "two", &body).await.status, 201);
    let listed = castari.get("/agents/one/files").await.json();
    assert_eq!(listed["files"][1], attached.json());
    insta::assert_json_snapshot!("attachment_list", shape(listed));

    let path = format!("/agents/one/files/{a}");
    let detached = castari.send(castari.request(Method::DELETE, &path)).await;
    assert_eq!((detached.status, detached.text.as_str()), (204, ""));
    assert_problem(
        &castari.send(castari.request(Method::DELETE, &path)).await,
        404,
        "file_not_found",
    );
    castari.client().file(&a).await.unwrap();
    castari.client().delete_file(&b).await.unwrap();
    for slug in ["one", "two"] {
        assert!(
            castari.client().attachments(slug).await.unwrap().files.is_empty(),
            "{slug}"
        );
    }
}

#[tokio::test]
async fn paths_and_files_are_each_attached_once() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let mut ids = Vec::new();
    for (name, content) in [("a.txt", "1"), ("a.txt", "2"), ("c.txt", "3")] {
        ids.push(upload(&castari, name, content).await.file_id);
    }
    let [a, same_name, c] = &ids[..] else { unreachable!() };
    assert_eq!(attach(&castari, "one", &json!({"file_id": a})).await.status, 201);
    let elsewhere = json!({"file_id": a, "mount_path": "/files/agent/elsewhere"});
    assert_problem(&attach(&castari, "one", &elsewhere).await, 400, "already_attached");
    assert_problem(
        &attach(&castari, "one", &json!({"file_id": same_name})).await,
        400,
        "mount_path_taken",
    );
    // No path can be a file and a directory.
    for path in ["/files/agent/a.txt", "/files/agent/a.txt/below"] {
        let body = json!({"file_id": c, "mount_path": path});
        assert_problem(&attach(&castari, "one", &body).await, 400, "mount_path_taken");
    }
    let deep = json!({"file_id": same_name, "mount_path": "/files/agent/d/e"});
    assert_eq!(attach(&castari, "one", &deep).await.status, 201);
    let above = json!({"file_id": c, "mount_path": "/files/agent/d"});
    assert_problem(&attach(&castari, "one", &above).await, 400, "mount_path_taken");
    let beside = json!({"file_id": c, "mount_path": "/files/agent/d/ee"});
    assert_eq!(attach(&castari, "one", &beside).await.status, 201);
}

#[tokio::test]
async fn paths_are_checked() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let file_id = upload(&castari, "a.txt", "a").await.file_id;
    let long = format!("/files/agent/{}", "ü".repeat(128));
    let longest = format!("/files/agent{}", "/abc".repeat(300));
    for path in [
        "",
        "a.txt",
        "/",
        "/etc/passwd",
        "/files/agent",
        "/files/agent/",
        "/files/agents/a",
        "/files/session/a",
        "/files/agent/../session/a",
        "/files/agent/a/..",
        "/files/agent/./a",
        "/files/agent/.",
        "/files/agent//a",
        "/files/agent/a/",
        "//files/agent/a",
        "/files/agent/a\u{0}b",
        "/files/agent/a\nb",
        "/files/agent/a\n",
        &long,
        &longest,
    ] {
        let body = json!({"file_id": file_id, "mount_path": path});
        let answer = attach(&castari, "one", &body).await;
        assert_eq!(answer.status, 422, "{path}: {answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "mount_path"]));
    }
    for body in [
        json!({}),
        json!({"file_id": 7}),
        json!({"file_id": ""}),
        json!({"file_id": "x", "read_only": "y"}),
    ] {
        assert_eq!(attach(&castari, "one", &body).await.status, 422, "{body}");
    }
    assert!(castari.client().attachments("one").await.unwrap().files.is_empty());
    for path in ["/files/agent/...", "/files/agent/..a/.b/c d/ü", "/files/agent/.a"] {
        let attach = AttachFile {
            file_id: file_id.clone(),
            mount_path: Some(path.into()),
            read_only: None,
        };
        let attached = castari.client().attach_file("one", &attach).await.unwrap();
        assert_eq!((attached.mount_path.as_str(), attached.read_only), (path, true));
        castari.client().detach_file("one", &file_id).await.unwrap();
    }
}

#[tokio::test]
async fn only_what_is_there_and_one_s_own_can_be_attached() {
    let castari = Castari::with_users().await;
    castari.create("one").await;
    let mine = upload(&castari, "mine", "mine").await.file_id;
    let create = CreateUpload {
        filename: "a".into(),
        size_bytes: 1,
        ..CreateUpload::default()
    };
    let pending = castari.client().create_upload(&create).await.unwrap().file_id;
    assert_problem(
        &attach(&castari, "one", &json!({"file_id": pending})).await,
        400,
        "upload_pending",
    );
    assert_problem(
        &attach(&castari, "one", &json!({"file_id": "file_missing"})).await,
        404,
        "file_not_found",
    );
    assert_problem(
        &attach(&castari, "none", &json!({"file_id": mine})).await,
        404,
        "agent_not_found",
    );

    let key = castari.user("second").token().to_owned();
    let theirs = castari_common::Client::new(castari.url(), &key).unwrap();
    let foreign = theirs
        .upload_file(castari_common::files::Upload::new("theirs", "theirs"))
        .await;
    let foreign = foreign.unwrap().file_id;
    assert_problem(
        &attach(&castari, "one", &json!({"file_id": foreign})).await,
        404,
        "file_not_found",
    );
    for (method, path) in [
        (Method::GET, "/api/v1/agents/one/files".to_owned()),
        (Method::DELETE, format!("/api/v1/agents/one/files/{mine}")),
    ] {
        let request = castari.anonymous(method, &path).bearer_auth(&key);
        assert_problem(&castari.send(request).await, 404, "agent_not_found");
    }
    let request = castari
        .anonymous(Method::POST, "/api/v1/agents/one/files")
        .bearer_auth(&key);
    let answer = castari.send(request.json(&json!({"file_id": foreign}))).await;
    assert_problem(&answer, 404, "agent_not_found");
}

#[tokio::test]
async fn a_deleted_agent_s_files_stay() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let id = upload(&castari, "a", "a").await.file_id;
    assert_eq!(attach(&castari, "one", &json!({"file_id": id})).await.status, 201);
    castari.client().delete_agent("one").await.unwrap();
    castari.client().file(&id).await.unwrap();
    castari.create("one").await;
    assert!(castari.client().attachments("one").await.unwrap().files.is_empty());
    assert_eq!(attach(&castari, "one", &json!({"file_id": id})).await.status, 201);
}

#[tokio::test]
async fn attaching_is_told() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let id = upload(&castari, "a", "a").await.file_id;
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    assert_eq!(attach(&castari, "one", &json!({"file_id": id})).await.status, 201);
    castari.client().detach_file("one", &id).await.unwrap();
    for _ in 0..2 {
        let told = within("an event", std::time::Duration::from_secs(30), events.next()).await;
        let told = told.unwrap().unwrap().event;
        assert_eq!(
            (told.kind, told.slug.as_deref(), told.id.as_ref()),
            (EventKind::File, Some("one"), Some(&id))
        );
    }
}
