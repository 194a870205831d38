//! A server that is killed loses no file that it acknowledged, and keeps nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use castari_common::files::{FileFilter, Upload};
use castari_common::{Client, Page};
use castari_tests::{Castari, eventually};
use futures::{TryStreamExt, stream};
use reqwest::Body;

use super::{assert_keeps, bytes, hash, upload};

/// Files whose upload was acknowledged and whose deletion was not even asked for, by their ids.
type Certain = Arc<Mutex<HashMap<String, String>>>;

/// Uploads and deletes until the server is gone. Some contents are those of others.
async fn work(client: Client, number: u8, certain: Certain) {
    for round in 0_u32.. {
        let content = bytes(number % 2, 1000 + (round as usize % 5) * 40_000);
        let expected = hash(&content);
        let Ok(file) = client
            .upload_file(Upload::new(format!("{number}-{round}"), content))
            .await
        else {
            return;
        };
        assert_eq!(file.sha256_hash, expected);
        certain.lock().unwrap().insert(file.file_id.clone(), expected);
        if round % 3 != 0 {
            certain.lock().unwrap().remove(&file.file_id);
            if client.delete_file(&file.file_id).await.is_err() {
                return;
            }
        }
    }
}

async fn list(client: &Client) -> HashMap<String, String> {
    let mut all = HashMap::new();
    loop {
        let page = Page {
            limit: 100,
            offset: all.len() as u64,
        };
        let list = client.files(&FileFilter::default(), page).await.unwrap();
        all.extend(list.files.into_iter().map(|file| (file.id, file.sha256_hash)));
        if !list.meta.has_more {
            return all;
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_nothing_else_kept() {
    let mut castari = Castari::start().await;
    let certain = Certain::default();
    for round in 0..5 {
        let workers: Vec<_> = (0..6)
            .map(|number| tokio::spawn(work(castari.client().clone(), number, Arc::clone(&certain))))
            .collect();
        tokio::time::sleep(Duration::from_millis(150 + 70 * round)).await;
        castari.kill();
        for worker in workers {
            worker.await.unwrap();
        }
        castari.restart().await;
        let listed = list(castari.client()).await;
        for (id, hash) in certain.lock().unwrap().iter() {
            assert_eq!(listed.get(id), Some(hash), "{id} was acknowledged");
        }
        let contents: std::collections::BTreeSet<&String> = listed.values().collect();
        assert_keeps(&castari, contents);
        for (id, expected) in &listed {
            let content = castari.client().download_file(id, 0).await.unwrap();
            let content: Vec<_> = content.try_collect().await.unwrap();
            assert_eq!(&hash(content.concat()), expected);
        }
    }
    assert!(!certain.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_arriving_goes() {
    let mut castari = Castari::start().await;
    let kept = upload(&castari, "kept", "kept").await;
    let piece = bytes(1, 1 << 16);
    let slow = stream::unfold(piece, async |piece| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok::<_, std::io::Error>(piece.clone()), piece))
    });
    let client = castari.client().clone();
    let sending = tokio::spawn(async move {
        let upload = Upload::new("slow", Body::wrap_stream(Box::pin(slow)));
        client.upload_file(upload).await
    });
    eventually("it arrives", Duration::from_secs(30), || castari.files().len() == 2).await;
    castari.kill();
    sending.await.unwrap().unwrap_err();
    assert_eq!(castari.files().len(), 2, "the killed server could not clean up");
    // As where it is killed between keeping the content and committing the row.
    std::fs::write(castari.data_dir().join("files").join(hash("orphan")), "orphan").unwrap();
    castari.restart().await;
    assert_keeps(&castari, [&kept.sha256_hash]);
    assert_eq!(list(castari.client()).await.len(), 1);
}
