//! Files as a resource: made, listed, shown, changed, deleted.

use castari_common::Page;
use castari_common::events::EventKind;
use castari_common::files::{FileFilter, Tag, UpdateFile, Upload};
use castari_tests::shape::shape;
use castari_tests::{Answer, Castari, within};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::{assert_keeps, field, file, form, hash, send_form, upload};

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
}

async fn change(castari: &Castari, id: &str, change: &Value) -> Answer {
    let request = castari.request(Method::PATCH, &format!("/files/{id}"));
    castari.send(request.json(change)).await
}

#[tokio::test]
async fn a_file_is_uploaded_shown_changed_and_deleted() {
    let castari = Castari::start().await;
    let body = form(&[
        (&field("description"), "Last year's numbers"),
        (
            &format!("{}\r\nContent-Type: text/csv", file("numbers.csv")),
            "a,b\n1,2\n",
        ),
        (&field("tags"), " sales, 2025 ,,sales"),
    ]);
    let uploaded = send_form(&castari, body).await;
    assert_eq!(uploaded.status, 201, "{uploaded:?}");
    insta::assert_json_snapshot!("uploaded", shape(uploaded.json()));
    let id = uploaded.json()["file_id"].as_str().unwrap().to_owned();
    let content = hash("a,b\n1,2\n");
    assert_eq!(uploaded.json()["sha256_hash"], json!(content));
    assert_keeps(&castari, [&content]);

    let shown = castari.get(&format!("/files/{id}")).await;
    assert_eq!(shown.status, 200);
    insta::assert_json_snapshot!("file", shape(shown.json()));
    let listed = castari.get("/files").await;
    assert_eq!(listed.json()["files"], json!([shown.json()]));
    insta::assert_json_snapshot!("file_list", shape(listed.json()));

    let changed = change(
        &castari,
        &id,
        &json!({"description": null, "tags": [" b", "a", "b", ""]}),
    )
    .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    insta::assert_json_snapshot!("file_changed", shape(changed.json()));
    let same = change(&castari, &id, &json!({"unknown": 1})).await.json();
    assert_eq!(
        (&same["tags"], &same["description"]),
        (&json!(["b", "a"]), &Value::Null)
    );

    let deleted = castari
        .send(castari.request(Method::DELETE, &format!("/files/{id}")))
        .await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    assert_keeps(&castari, []);
    for method in [Method::GET, Method::DELETE] {
        let answer = castari.send(castari.request(method, &format!("/files/{id}"))).await;
        assert_problem(&answer, 404, "file_not_found");
    }
    assert_eq!(castari.get("/files").await.json()["meta"]["total"], 0);
}

#[tokio::test]
async fn nobody_sees_another_s_files() {
    let castari = Castari::with_users().await;
    let id = upload(&castari, "mine.txt", "mine").await.file_id;
    let theirs = castari.user("second").token().to_owned();
    for (method, path) in [
        (Method::GET, ""),
        (Method::PATCH, ""),
        (Method::DELETE, ""),
        (Method::GET, "/download"),
        (Method::GET, "/content"),
    ] {
        for id in [id.as_str(), "file_missing"] {
            let request = castari.anonymous(method.clone(), &format!("/api/v1/files/{id}{path}"));
            let request = request.bearer_auth(&theirs);
            let request = if method == Method::PATCH {
                request.json(&json!({}))
            } else {
                request
            };
            assert_problem(&castari.send(request).await, 404, "file_not_found");
        }
    }
    let confirm = castari.anonymous(Method::POST, "/api/v1/files/confirm-upload");
    let confirm = confirm.json(&json!({"file_id": id, "sha256_hash": hash("mine")}));
    assert_problem(&castari.send(confirm.bearer_auth(&theirs)).await, 404, "file_not_found");
    let list = castari.anonymous(Method::GET, "/api/v1/files").bearer_auth(&theirs);
    assert_eq!(castari.send(list).await.json()["meta"]["total"], 0);
    assert_eq!(castari.client().file(&id).await.unwrap().filename, "mine.txt");
}

#[tokio::test]
async fn the_same_content_is_kept_once_and_as_long_as_it_is_used() {
    let castari = Castari::with_users().await;
    let theirs = castari.user("second").client().clone();
    let one = upload(&castari, "one.txt", "same").await;
    let two = upload(&castari, "two.txt", "same").await;
    let three = theirs.upload_file(Upload::new("three.txt", "same")).await.unwrap();
    assert!(one.file_id != two.file_id && one.sha256_hash == three.sha256_hash);
    assert_keeps(&castari, [&one.sha256_hash]);
    castari.client().delete_file(&one.file_id).await.unwrap();
    castari.client().delete_file(&two.file_id).await.unwrap();
    assert_keeps(&castari, [&one.sha256_hash]);
    theirs.delete_file(&three.file_id).await.unwrap();
    assert_keeps(&castari, []);
}

#[tokio::test]
async fn deleting_and_uploading_the_same_content_at_once_loses_nothing() {
    let castari = Castari::start().await;
    let work = (0..8).map(async |number| {
        for round in 0..12 {
            let name = format!("{number}-{round}.txt");
            let file = upload(&castari, &name, "contended").await;
            let content: Vec<_> = Box::pin(castari.client().download_file(&file.file_id, 0).await.unwrap())
                .collect()
                .await;
            assert_eq!(
                content.into_iter().map(Result::unwrap).collect::<Vec<_>>().concat(),
                b"contended"
            );
            castari.client().delete_file(&file.file_id).await.unwrap();
        }
    });
    futures::future::join_all(work).await;
    assert_keeps(&castari, []);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let castari = Castari::start().await;
    for (name, description, tags) in [
        ("one.txt", None, vec!["a"]),
        ("two.txt", Some("Two is MORE than ONE"), vec!["a", "b"]),
        ("three.csv", Some("100%_"), vec!["a", "b", "c"]),
    ] {
        let upload = Upload {
            description: description.map(Into::into),
            tags: tags.into_iter().map(Into::into).collect(),
            ..Upload::new(name, name)
        };
        castari.client().upload_file(upload).await.unwrap();
    }
    let names = async |query: &str| -> Vec<String> {
        let answer = castari.get(&format!("/files?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let files = answer.json()["files"].as_array().unwrap().clone();
        files
            .iter()
            .map(|file| file["filename"].as_str().unwrap().into())
            .collect()
    };
    for (query, found) in [
        ("", &["three.csv", "two.txt", "one.txt"][..]),
        ("limit=1&offset=1", &["two.txt"]),
        ("offset=3", &[]),
        ("tags=a", &["three.csv", "two.txt", "one.txt"]),
        ("tags=b,%20a,", &["three.csv", "two.txt"]),
        ("tags=a,b,c", &["three.csv"]),
        ("tags=B", &[]),
        ("tags=d", &[]),
        ("search=one", &["two.txt", "one.txt"]),
        ("search=.CSV", &["three.csv"]),
        ("search=%25_", &["three.csv"]),
        ("search=o&tags=b&limit=5", &["two.txt"]),
        ("scope=user", &["three.csv", "two.txt", "one.txt"]),
        ("scope=agent", &[]),
        ("scope=session", &[]),
    ] {
        assert_eq!(names(query).await, found, "{query}");
    }
    let meta = castari.get("/files").await.json()["meta"].clone();
    assert_eq!(meta, json!({"total": 3, "limit": 50, "offset": 0, "has_more": false}));
    for query in ["limit=0", "limit=101", "offset=-1", "scope=everything"] {
        let answer = castari.get(&format!("/files?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {answer:?}");
    }
    let filter = FileFilter {
        tags: Some("c".into()),
        ..FileFilter::default()
    };
    let list = castari.client().files(&filter, Page::default()).await.unwrap();
    assert_eq!(list.meta.total, 1);
}

#[tokio::test]
async fn changes_are_checked() {
    let castari = Castari::start().await;
    let id = upload(&castari, "a.txt", "a").await.file_id;
    let many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    for wrong in [
        json!({"description": "x".repeat(10_001)}),
        json!({"description": "a\u{0}b"}),
        json!({"description": 7}),
        json!({"tags": many}),
        json!({"tags": ["x".repeat(65)]}),
        json!({"tags": ["a\nb"]}),
        json!({"tags": ["a,b"]}),
        json!({"tags": "a"}),
        json!({"tags": [1]}),
    ] {
        let answer = change(&castari, &id, &wrong).await;
        assert_eq!(answer.status, 422, "{wrong}: {answer:?}");
    }
    let faults = change(&castari, &id, &json!({"description": 7, "tags": ["a", "x".repeat(65)]})).await;
    insta::assert_json_snapshot!("file_faults", faults.json());
    let file = castari.client().file(&id).await.unwrap();
    assert_eq!(file.created_at, file.updated_at, "nothing was changed");
    let change = UpdateFile {
        description: Some(Some("x".repeat(10_000))),
        tags: Some((0..32).map(|number| Tag(format!("{number:064}"))).collect()),
    };
    let file = castari.client().update_file(&id, &change).await.unwrap();
    assert_eq!((file.tags.len(), file.description.unwrap().len()), (32, 10_000));
}

#[tokio::test]
async fn usage_is_reckoned() {
    let castari = Castari::start().await;
    let usage = castari.get("/files/usage").await;
    assert_eq!(usage.status, 200);
    insta::assert_json_snapshot!("usage_of_nothing", usage.json());
    upload(&castari, "one", vec![0; 3 << 20]).await;
    let two = upload(&castari, "two", vec![0; 3 << 20]).await;
    insta::assert_json_snapshot!("usage", castari.get("/files/usage").await.json());
    castari.client().delete_file(&two.file_id).await.unwrap();
    let usage = castari.client().file_usage().await.unwrap();
    assert_eq!((usage.total_files, usage.total_bytes), (1, 3 << 20));
}

#[tokio::test]
async fn changes_are_told() {
    let castari = Castari::start().await;
    let mut events = Box::pin(castari.client().events(None).await.unwrap());
    let id = upload(&castari, "a.txt", "a").await.file_id;
    castari.client().update_file(&id, &UpdateFile::default()).await.unwrap();
    castari.client().delete_file(&id).await.unwrap();
    for _ in 0..3 {
        let told = within("an event", std::time::Duration::from_secs(30), events.next()).await;
        let told = told.unwrap().unwrap().event;
        assert_eq!(
            (told.kind, told.slug, told.id.as_ref()),
            (EventKind::File, None, Some(&id))
        );
    }
}
