//! How much may be kept, and what an upload takes meanwhile.

use castari_common::Client;
use castari_common::files::{CreateUpload, Upload};
use castari_tests::{Castari, Options, process};
use futures::stream;
use reqwest::Body;

use super::{assert_keeps, bytes, hash, upload};

const MIB: usize = 1 << 20;

async fn refused(client: &Client, content: impl Into<Body>) -> (u16, String) {
    let error = client.upload_file(Upload::new("a", content)).await.unwrap_err();
    let refusal = error.refusal().unwrap_or_else(|| panic!("no answer: {error}"));
    (refusal.status, refusal.code.clone().unwrap_or_default())
}

/// A body of a length that is not said, made as it is sent.
fn endless(mib: usize) -> Body {
    let piece = bytes(1, MIB);
    Body::wrap_stream(stream::iter(
        (0..mib).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
    ))
}

#[tokio::test]
async fn a_user_keeps_no_more_than_the_quota() {
    let castari = Castari::with_issuer(
        castari_tests::Issuer::start().await,
        Options::default().env("CASTARI_FILES_LIMIT_MIB", "2"),
    )
    .await;
    let client = castari.client();
    let quota = (400, "quota_exceeded".to_owned());
    let first = upload(&castari, "first", bytes(1, MIB)).await;
    assert_eq!(refused(client, bytes(2, MIB + 1)).await, quota);
    assert_eq!(refused(client, endless(200)).await, quota);
    assert_keeps(&castari, [&first.sha256_hash]);
    // Others have a quota of their own; shared content counts for each.
    let theirs = castari.user("second").client().clone();
    theirs
        .upload_file(Upload::new("theirs", bytes(3, 2 * MIB)))
        .await
        .unwrap();
    let second = upload(&castari, "second", bytes(1, MIB)).await;
    assert_eq!(refused(client, "x").await, quota);
    let usage = client.file_usage().await.unwrap();
    assert_eq!((usage.total_bytes, usage.limit_mb), (2 << 20, 2));
    assert!((usage.usage_percent - 100.0).abs() < f64::EPSILON);
    upload(&castari, "nothing fits", "").await;
    client.delete_file(&second.file_id).await.unwrap();
    upload(&castari, "third", bytes(4, MIB)).await;
}

#[tokio::test]
async fn what_is_pending_counts() {
    let castari = Castari::with(Options::default().env("CASTARI_FILES_LIMIT_MIB", "2")).await;
    let create = |size_bytes| CreateUpload {
        filename: "a".into(),
        size_bytes,
        ..CreateUpload::default()
    };
    let pending = castari.client().create_upload(&create(3 << 19)).await.unwrap();
    let error = castari
        .client()
        .create_upload(&create((1 << 19) + 1))
        .await
        .unwrap_err();
    assert_eq!(error.refusal().unwrap().code.as_deref(), Some("quota_exceeded"));
    assert_eq!(refused(castari.client(), bytes(1, MIB)).await.1, "quota_exceeded");
    assert_eq!(castari.client().file_usage().await.unwrap().total_bytes, 3 << 19);
    castari.client().delete_file(&pending.file_id).await.unwrap();
    upload(&castari, "b", bytes(1, 2 * MIB)).await;
}

#[tokio::test]
async fn many_at_once_get_no_more_than_one() {
    let castari = Castari::with(Options::default().env("CASTARI_FILES_LIMIT_MIB", "2")).await;
    let uploads = (0..8).map(|seed| {
        let upload = Upload::new(seed.to_string(), bytes(seed, 3 * MIB / 2));
        castari.client().upload_file(upload)
    });
    let outcomes = futures::future::join_all(uploads).await;
    let kept: Vec<_> = outcomes.into_iter().filter_map(Result::ok).collect();
    assert!(kept.len() <= 1, "{kept:?}");
    assert_keeps(&castari, kept.iter().map(|file| &file.sha256_hash));
}

#[tokio::test]
async fn a_file_is_no_larger_than_allowed() {
    let castari = Castari::with(Options::default().env("CASTARI_MAX_FILE_MIB", "1")).await;
    let too_large = (413, "too_large".to_owned());
    assert_eq!(refused(castari.client(), bytes(1, MIB + 1)).await, too_large);
    assert_eq!(refused(castari.client(), endless(50)).await, too_large);
    let create = CreateUpload {
        filename: "a".into(),
        size_bytes: (1 << 20) + 1,
        ..CreateUpload::default()
    };
    let error = castari.client().create_upload(&create).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().status, 413);
    assert_keeps(&castari, []);
    assert_eq!(
        upload(&castari, "a", bytes(1, MIB)).await.sha256_hash,
        hash(bytes(1, MIB))
    );
}

/// The most memory that a server's process ever had, in KiB.
fn peak(castari: &Castari) -> u64 {
    let peak = process::status(castari.pid(), "VmHWM");
    peak.trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_large_file_does_not_pass_through_memory() {
    const COUNT: usize = 256;
    let castari = Castari::start().await;
    upload(&castari, "warm", bytes(1, MIB)).await;
    let before = peak(&castari);
    let file = castari
        .client()
        .upload_file(Upload::new("large", endless(COUNT)))
        .await
        .unwrap();
    assert_eq!(file.size_bytes, (COUNT * MIB) as u64);
    let mut content = Box::pin(castari.client().download_file(&file.file_id, 0).await.unwrap());
    let mut length = 0;
    while let Some(piece) = futures::StreamExt::next(&mut content).await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, COUNT * MIB);
    let create = CreateUpload {
        filename: "b".into(),
        size_bytes: (COUNT * MIB) as u64,
        ..CreateUpload::default()
    };
    let address = castari.client().create_upload(&create).await.unwrap();
    let received = castari.client().send_upload(&address, endless(COUNT)).await.unwrap();
    assert_eq!(received.sha256_hash, file.sha256_hash);
    let grown = peak(&castari) - before;
    assert!(grown < 32 << 10, "{grown} KiB more than {before} KiB");
}
