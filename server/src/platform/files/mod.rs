//! Managed files: received, changed, read, deleted.
//!
//! Content is on disk before the row that uses it is committed, and is removed after the last such row is gone. Both
//! happen under one lock, [`Filing`]'s, in a task that a client who goes away does not cut off: so content that is
//! deleted by one and uploaded by another at the same time is either still there or there again. Whatever a crash
//! leaves between the two steps is content without a row, which the next start removes.

mod arriving;
mod rules;
mod signature;
mod uploads;

use std::sync::Arc;

use bytes::Bytes;
use castari_common::events::EventKind;
use castari_common::files::{
    FileFilter, FileList, FileScope, FileUsage, ManagedFile, UpdateFile, UploadStatus, UploadedFile,
};
use castari_common::{Meta, Page};
use futures::{Stream, TryStreamExt};
use tokio::sync::Mutex;

use super::vault::Vault;
use super::{Platform, PlatformError};
use crate::objects::{ObjectError, Sealed, blocking};
use crate::store::{QueryResult, Read, Write, files};
use arriving::{Arriving, Share};
pub use rules::{plain_name, tidy};
use signature::Signer;
use uploads::Sending;
pub use uploads::SignedUpload;

/// After how many bytes of an upload it is looked again how much the user has.
const LOOK_AGAIN: u64 = 16 << 20;

/// What the platform holds for files.
pub struct Filing {
    /// Held while content gets or loses a row.
    lock: Mutex<()>,
    arriving: Arc<Arriving>,
    sending: Arc<Sending>,
    signer: Signer,
}

/// Content that has arrived and belongs to no file yet. Dropped, it leaves nothing.
pub struct Received {
    content: Sealed,
    share: Share,
}

/// What is said of a new file.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its name, as [`plain_name`] gave it.
    pub filename: String,
    /// What kind of content it is.
    pub content_type: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it can be found by, as [`tidy`] gave them.
    pub tags: Vec<String>,
}

/// A file and its content.
pub struct OpenFile {
    /// What is known of it.
    pub file: ManagedFile,
    /// The content, to be read.
    pub content: tokio::fs::File,
}

/// What came of a change of files.
struct Change<T> {
    /// What to answer. Also after a refusal, what was written is kept.
    outcome: Result<T, PlatformError>,
    /// The contents that the change took from files.
    released: Vec<String>,
}

impl<T> From<Result<T, PlatformError>> for Change<T> {
    fn from(outcome: Result<T, PlatformError>) -> Self {
        Self {
            outcome,
            released: Vec::new(),
        }
    }
}

impl Filing {
    /// No uploads yet.
    pub(super) fn new(vault: &Vault) -> Self {
        Self {
            lock: Mutex::default(),
            arriving: Arc::default(),
            sending: Arc::default(),
            signer: Signer::new(vault),
        }
    }
}

impl NewFile {
    fn into_file(self, platform: &Platform, size_bytes: u64, content: Option<&str>) -> ManagedFile {
        let (id, now) = (platform.world.id("file"), platform.world.now());
        ManagedFile {
            file_id: id.clone(),
            id,
            filename: self.filename,
            content_type: self.content_type,
            size_bytes,
            sha256_hash: content.unwrap_or_default().into(),
            scope: FileScope::User,
            scope_id: None,
            description: self.description,
            tags: self.tags,
            upload_status: content.map_or(UploadStatus::Pending, |_| UploadStatus::Confirmed),
            created_at: now,
            updated_at: now,
        }
    }
}

impl Platform {
    /// A page of a user's files.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn files(&self, user_id: &str, filter: FileFilter, page: Page) -> Result<FileList, PlatformError> {
        let user_id = user_id.to_owned();
        let tags = tidy(filter.tags.as_deref().unwrap_or_default().split(','));
        let (files, total) = self
            .store
            .read(move |read| files::list(read, &user_id, &filter, &tags, page))
            .await?;
        let meta = Meta::new(total, page);
        Ok(FileList { files, meta })
    }

    /// A user's file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn file(&self, user_id: &str, id: &str) -> Result<Option<ManagedFile>, PlatformError> {
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        Ok(self.store.read(move |read| files::by_id(read, &user_id, &id)).await?)
    }

    /// Receives content that is to become a user's file.
    ///
    /// # Errors
    /// `quota_exceeded`, what the content fails with, when it is too large, or when the store or the disk fails.
    pub async fn receive_file(
        &self,
        user_id: &str,
        mut content: impl Stream<Item = Result<Bytes, PlatformError>> + Unpin,
    ) -> Result<Received, PlatformError> {
        let mut incoming = self.objects.blobs.receive(&self.world.id("content")).await?;
        let mut share = self.filing.arriving.share(user_id);
        let mut room = self.room(user_id).await?;
        let mut looked_at = 0;
        while let Some(bytes) = content.try_next().await? {
            let length = incoming.length() + bytes.len() as u64;
            self.check_size(length)?;
            if length - looked_at > LOOK_AGAIN {
                room = self.room(user_id).await?;
                looked_at = length;
            }
            if share.add(bytes.len() as u64) > room {
                return Err(self.quota_exceeded());
            }
            incoming.write(&bytes).await?;
        }
        let content = incoming.seal().await?;
        Ok(Received { content, share })
    }

    /// Makes a file of what was received.
    ///
    /// # Errors
    /// `quota_exceeded`, or when the store or the disk fails.
    pub async fn create_file(
        self: &Arc<Self>,
        user_id: &str,
        new: NewFile,
        received: Received,
    ) -> Result<UploadedFile, PlatformError> {
        let Received { content, share } = received;
        let file = new.into_file(self, content.length(), Some(content.hash()));
        // From here on the store counts it.
        drop(share);
        let limit = self.settings.files_limit_bytes;
        let (owner, full, kept) = (user_id.to_owned(), self.quota_exceeded(), file.clone());
        let change = move |write: &Write<'_>| {
            if !has_room(write, &owner, kept.size_bytes, limit)? {
                return Ok(Err(full).into());
            }
            files::insert(write, &owner, &kept, None)?;
            Ok(Ok(()).into())
        };
        self.change_files(Some(content), change).await?;
        self.tell_of_file(user_id, &file.id);
        Ok(UploadedFile {
            file_id: file.id,
            filename: file.filename,
            content_type: file.content_type,
            size_bytes: file.size_bytes,
            sha256_hash: file.sha256_hash,
            created_at: file.created_at,
        })
    }

    /// Changes what is said of a user's file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn update_file(
        &self,
        user_id: &str,
        id: &str,
        change: UpdateFile,
    ) -> Result<Option<ManagedFile>, PlatformError> {
        let (owner, id, now) = (user_id.to_owned(), id.to_owned(), self.world.now());
        let tags = change.tags.as_ref();
        let tags = tags.map(|tags| tidy(tags.iter().map(|tag| tag.0.as_str())));
        let updated = self.store.write(move |write| {
            if files::by_id(write, &owner, &id)?.is_none() {
                return Ok(None);
            }
            files::update(write, &id, &change, tags.as_deref(), now)?;
            files::by_id(write, &owner, &id)
        });
        let updated = updated.await?;
        if let Some(file) = &updated {
            self.tell_of_file(user_id, &file.id);
        }
        Ok(updated)
    }

    /// Deletes a user's file and detaches it everywhere; answers whether there was one.
    ///
    /// # Errors
    /// When the store or the disk fails.
    pub async fn delete_file(self: &Arc<Self>, user_id: &str, id: &str) -> Result<bool, PlatformError> {
        let (owner, wanted) = (user_id.to_owned(), id.to_owned());
        let change = move |write: &Write<'_>| {
            let Some(file) = files::by_id(write, &owner, &wanted)? else {
                return Ok(Ok(false).into());
            };
            files::delete(write, &wanted)?;
            Ok(Change {
                outcome: Ok(true),
                released: vec![file.sha256_hash],
            })
        };
        let is_deleted = self.change_files(None, change).await?;
        if is_deleted {
            self.tell_of_file(user_id, id);
        }
        Ok(is_deleted)
    }

    /// A user's file with its content.
    ///
    /// # Errors
    /// `upload_pending`, or when the store or the disk fails.
    pub async fn open_file(&self, user_id: &str, id: &str) -> Result<Option<OpenFile>, PlatformError> {
        let Some(file) = self.file(user_id, id).await? else {
            return Ok(None);
        };
        if file.upload_status == UploadStatus::Pending {
            return Err(upload_pending());
        }
        if let Some(content) = self.objects.blobs.open(&file.sha256_hash).await? {
            return Ok(Some(OpenFile { file, content }));
        }
        // It was deleted just now, or else the disk lost it.
        let _filing = self.filing.lock.lock().await;
        match self.file(user_id, id).await? {
            None => Ok(None),
            Some(file) => {
                let lost = std::io::Error::other(format!("the content {} is lost", file.sha256_hash));
                Err(ObjectError::file("open", id)(lost).into())
            }
        }
    }

    /// How much a user keeps.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn file_usage(self: &Arc<Self>, user_id: &str) -> Result<FileUsage, PlatformError> {
        self.expire_uploads().await?;
        let owner = user_id.to_owned();
        let (total_files, total_bytes) = self.store.read(move |read| files::usage(read, &owner)).await?;
        Ok(rules::usage(total_files, total_bytes, self.settings.files_limit_bytes))
    }

    /// Removes content that no file has, as a crash between two steps leaves it.
    pub(super) async fn sweep_files(self: &Arc<Self>) -> Result<(), PlatformError> {
        self.expire_uploads().await?;
        let _filing = self.filing.lock.lock().await;
        let used = self.store.read(files::contents).await?.into_iter().collect();
        let blobs = self.objects.blobs.clone();
        Ok(blocking(move || blobs.sweep(&used)).await?)
    }

    /// Changes files, and keeps or removes content accordingly: first what arrived for them is kept, then the change is
    /// committed, then what no file has any more is removed.
    async fn change_files<T, F>(self: &Arc<Self>, arrived: Option<Sealed>, change: F) -> Result<T, PlatformError>
    where
        T: Send + 'static,
        F: FnOnce(&Write<'_>) -> QueryResult<Change<T>> + Send + 'static,
    {
        let platform = Arc::clone(self);
        let work = async move {
            let _filing = platform.filing.lock.lock().await;
            let mut suspects: Vec<String> = arrived.iter().map(|content| content.hash().to_owned()).collect();
            if let Some(content) = arrived {
                platform.objects.blobs.keep(content).await?;
            }
            let written = platform.store.write(move |write| {
                let change = change(write)?;
                suspects.extend(change.released);
                Ok((change.outcome, unused(write, suspects)?))
            });
            let (outcome, unused) = written.await?;
            for hash in unused {
                if let Err(error) = platform.objects.blobs.remove(&hash).await {
                    tracing::warn!(%error, "content that no file has stays until the next start");
                }
            }
            outcome
        };
        self.see_through(work).await
    }

    /// How much more a user may keep.
    async fn room(&self, user_id: &str) -> Result<u64, PlatformError> {
        let user_id = user_id.to_owned();
        let (_, used) = self.store.read(move |read| files::usage(read, &user_id)).await?;
        Ok(self.settings.files_limit_bytes.saturating_sub(used))
    }

    fn check_size(&self, bytes: u64) -> Result<(), PlatformError> {
        let limit = self.settings.max_file_bytes;
        if bytes <= limit {
            return Ok(());
        }
        let detail = format!("The file is larger than {} MiB", limit >> 20);
        Err(PlatformError::TooLarge(detail))
    }

    fn quota_exceeded(&self) -> PlatformError {
        let detail = format!(
            "Your files would take more than {} MiB",
            self.settings.files_limit_bytes >> 20
        );
        PlatformError::rejected("quota_exceeded", detail)
    }

    /// Tells of a change of a file.
    fn tell_of_file(&self, user_id: &str, id: &str) {
        self.events.tell(user_id, EventKind::File, None, id);
    }
}

/// What is said of a file whose content is not there for sure.
pub(super) fn upload_pending() -> PlatformError {
    PlatformError::rejected("upload_pending", "The file's upload is not confirmed yet")
}

/// Whether a user may keep so much more.
fn has_room(read: &Read<'_>, user_id: &str, bytes: u64, limit: u64) -> QueryResult<bool> {
    let (_, used) = files::usage(read, user_id)?;
    Ok(used.saturating_add(bytes) <= limit)
}

/// Those contents that no file has.
fn unused(read: &Read<'_>, mut hashes: Vec<String>) -> QueryResult<Vec<String>> {
    hashes.retain(|hash| !hash.is_empty());
    let mut unused = Vec::new();
    for hash in hashes {
        if !files::is_content(read, &hash)? {
            unused.push(hash);
        }
    }
    Ok(unused)
}
