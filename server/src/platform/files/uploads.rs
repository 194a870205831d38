//! Uploads to an address of their own: a pending file reserves its size, its content is sent to the address, and its
//! owner confirms it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use castari_common::files::{ConfirmUpload, ManagedFile, ReceivedUpload, UploadStatus};
use futures::{Stream, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Change, NewFile, has_room};
use crate::platform::{Platform, PlatformError};
use crate::store::{Write, files};

/// How long an address can be used.
const VALID_FOR: SignedDuration = SignedDuration::from_hours(1);

/// How often it is looked for uploads that have expired.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

const HASH_MISMATCH: &str = "hash_mismatch";

/// A pending file, and what its address is signed with.
pub struct SignedUpload {
    /// The file.
    pub file: ManagedFile,
    /// Until when the address can be used.
    pub expires_at: Timestamp,
    /// The signature, in hexadecimal.
    pub signature: String,
}

/// Who sends to which file. Of two, the later one is taken: the earlier one's connection may be dead.
#[derive(Default)]
pub(super) struct Sending(Mutex<HashMap<String, Arc<CancellationToken>>>);

/// The one who sends to a file.
struct Sender {
    sending: Arc<Sending>,
    id: String,
    superseded: Arc<CancellationToken>,
}

impl Sending {
    fn begin(self: &Arc<Self>, id: &str) -> Sender {
        let superseded = Arc::<CancellationToken>::default();
        if let Some(earlier) = self.files().insert(id.into(), Arc::clone(&superseded)) {
            earlier.cancel();
        }
        Sender {
            sending: Arc::clone(self),
            id: id.into(),
            superseded,
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, Arc<CancellationToken>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut files = self.sending.files();
        if files
            .get(&self.id)
            .is_some_and(|last| Arc::ptr_eq(last, &self.superseded))
        {
            files.remove(&self.id);
        }
    }
}

impl Platform {
    /// Makes a pending file of a user, whose content may be sent to an address for a while.
    ///
    /// # Errors
    /// `quota_exceeded`, when the file would be too large, or when the store fails.
    pub async fn create_upload(
        self: &Arc<Self>,
        user_id: &str,
        new: NewFile,
        size_bytes: u64,
    ) -> Result<SignedUpload, PlatformError> {
        self.check_size(size_bytes)?;
        self.expire_uploads().await?;
        let file = new.into_file(self, size_bytes, None);
        let expires = (file.created_at + VALID_FOR).as_second();
        let expires_at = Timestamp::from_second(expires).unwrap_or(file.created_at);
        let limit = self.settings.files_limit_bytes;
        let (owner, full, kept) = (user_id.to_owned(), self.quota_exceeded(), file.clone());
        let inserted = self.store.write(move |write| {
            if !has_room(write, &owner, size_bytes, limit)? {
                return Ok(Err(full));
            }
            files::insert(write, &owner, &kept, Some(expires_at))?;
            Ok(Ok(()))
        });
        inserted.await??;
        self.tell_of_file(user_id, &file.id);
        Ok(SignedUpload {
            signature: self.filing.signer.sign(&file.id, size_bytes, expires),
            file,
            expires_at,
        })
    }

    /// The file that an address with this signature is for; `None` where the signature is wrong or has expired.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn signed_upload(
        &self,
        id: &str,
        expires: i64,
        signature: &str,
    ) -> Result<Option<files::Owned>, PlatformError> {
        if expires <= self.world.now().as_second() {
            return Ok(None);
        }
        let wanted = id.to_owned();
        let found = self.store.read(move |read| files::of_anybody(read, &wanted)).await?;
        let signer = &self.filing.signer;
        Ok(found.filter(|owned| signer.is_valid(id, owned.file.size_bytes, expires, signature)))
    }

    /// Receives the content of a pending file, whose length may be known; `None` where the file goes meanwhile.
    ///
    /// # Errors
    /// `already_confirmed`, `size_mismatch`, `upload_superseded`, what the content fails with, or when the store or the
    /// disk fails.
    pub async fn receive_upload(
        self: &Arc<Self>,
        upload: files::Owned,
        length: Option<u64>,
        mut content: impl Stream<Item = Result<Bytes, PlatformError>> + Unpin,
    ) -> Result<Option<ReceivedUpload>, PlatformError> {
        let files::Owned { user_id, file } = upload;
        if file.upload_status == UploadStatus::Confirmed {
            return Err(already_confirmed());
        }
        if let Some(length) = length {
            check_length(&file, length)?;
        }
        let sender = self.filing.sending.begin(&file.id);
        let mut incoming = self.objects.blobs.receive(&self.world.id("content")).await?;
        loop {
            let piece = tokio::select! {
                piece = content.try_next() => piece?,
                () = sender.superseded.cancelled() => return Err(superseded()),
            };
            let Some(bytes) = piece else { break };
            let length = incoming.length() + bytes.len() as u64;
            if length > file.size_bytes {
                check_length(&file, length)?;
            }
            incoming.write(&bytes).await?;
        }
        check_length(&file, incoming.length())?;
        let content = incoming.seal().await?;
        let received = ReceivedUpload {
            file_id: file.id.clone(),
            size_bytes: content.length(),
            sha256_hash: content.hash().into(),
        };
        let (owner, hash, now) = (user_id.clone(), received.sha256_hash.clone(), self.world.now());
        let change = move |write: &Write<'_>| {
            let Some(file) = files::by_id(write, &owner, &file.id)? else {
                return Ok(Ok(None).into());
            };
            if file.upload_status == UploadStatus::Confirmed {
                return Ok(Err(already_confirmed()).into());
            }
            files::set_content(write, &file.id, &hash, now)?;
            Ok(Change {
                outcome: Ok(Some(())),
                released: vec![file.sha256_hash],
            })
        };
        let is_there = self.change_files(Some(content), change).await?.is_some();
        if is_there {
            self.tell_of_file(&user_id, &received.file_id);
        }
        Ok(is_there.then_some(received))
    }

    /// Makes a user's pending file a confirmed one. One whose content is not what it has to be goes.
    ///
    /// # Errors
    /// `upload_missing`, `hash_mismatch`, `already_confirmed`, or when the store or the disk fails.
    pub async fn confirm_upload(
        self: &Arc<Self>,
        user_id: &str,
        confirm: ConfirmUpload,
    ) -> Result<Option<ManagedFile>, PlatformError> {
        self.expire_uploads().await?;
        let (owner, now) = (user_id.to_owned(), self.world.now());
        let (id, hash) = (confirm.file_id.clone(), confirm.sha256_hash.to_ascii_lowercase());
        let change = move |write: &Write<'_>| {
            let Some(file) = files::by_id(write, &owner, &id)? else {
                return Ok(Ok(None).into());
            };
            match (file.upload_status, file.sha256_hash == hash) {
                // Whoever missed the answer asks again.
                (UploadStatus::Confirmed, true) => Ok(Ok(Some(file)).into()),
                (UploadStatus::Confirmed, false) => Ok(Err(already_confirmed()).into()),
                (UploadStatus::Pending, true) => {
                    files::confirm(write, &id, now)?;
                    Ok(Ok(files::by_id(write, &owner, &id)?).into())
                }
                (UploadStatus::Pending, false) if file.sha256_hash.is_empty() => {
                    let missing = "Nothing was sent to the file's address yet";
                    Ok(Err(PlatformError::rejected("upload_missing", missing)).into())
                }
                (UploadStatus::Pending, false) => {
                    files::delete(write, &id)?;
                    let differs = format!("The content that arrived has the SHA-256 {}", file.sha256_hash);
                    Ok(Change {
                        outcome: Err(PlatformError::rejected(HASH_MISMATCH, differs)),
                        released: vec![file.sha256_hash],
                    })
                }
            }
        };
        let outcome = self.change_files(None, change).await;
        let is_gone = matches!(&outcome, Err(PlatformError::Rejected { code, .. }) if *code == HASH_MISMATCH);
        if is_gone || matches!(&outcome, Ok(Some(_))) {
            self.tell_of_file(user_id, &confirm.file_id);
        }
        outcome
    }

    /// Removes pending files whose address has expired, with what was sent to them.
    pub(super) async fn expire_uploads(self: &Arc<Self>) -> Result<(), PlatformError> {
        let now = self.world.now();
        if self.store.read(move |read| files::expired(read, now)).await?.is_empty() {
            return Ok(());
        }
        let change = move |write: &Write<'_>| {
            let expired = files::expired(write, now)?;
            for owned in &expired {
                files::delete(write, &owned.file.id)?;
            }
            let released = expired.iter().map(|owned| owned.file.sha256_hash.clone()).collect();
            let outcome = Ok(expired);
            Ok(Change { outcome, released })
        };
        for files::Owned { user_id, file } in self.change_files(None, change).await? {
            self.tell_of_file(&user_id, &file.id);
        }
        Ok(())
    }

    /// Removes what expires for as long as the platform is there.
    pub(in crate::platform) fn expire_uploads_from_now_on(self: &Arc<Self>) {
        let (platform, ending) = (Arc::downgrade(self), self.ending.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(EXPIRE_EVERY) => {}
                    () = ending.cancelled() => return,
                }
                let Some(platform) = platform.upgrade() else { return };
                if let Err(error) = platform.expire_uploads().await {
                    tracing::warn!(%error, "uploads that have expired cannot be removed");
                }
            }
        });
    }
}

fn already_confirmed() -> PlatformError {
    PlatformError::rejected("already_confirmed", "The file's upload is confirmed already")
}

fn superseded() -> PlatformError {
    PlatformError::rejected("upload_superseded", "The file's content is being sent again")
}

/// A pending file's content has to be as long as was said when the file was made.
fn check_length(file: &ManagedFile, length: u64) -> Result<(), PlatformError> {
    let how = match length.cmp(&file.size_bytes) {
        Ordering::Equal => return Ok(()),
        Ordering::Less => "fewer",
        Ordering::Greater => "more",
    };
    let detail = format!("The body has {how} than the {} bytes that were said", file.size_bytes);
    Err(PlatformError::rejected("size_mismatch", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_later_is_taken() {
        let sending = Arc::<Sending>::default();
        let first = sending.begin("file_1");
        let other = sending.begin("file_2");
        let second = sending.begin("file_1");
        assert!(first.superseded.is_cancelled());
        drop(first);
        assert!(!second.superseded.is_cancelled() && !other.superseded.is_cancelled());
        assert_eq!(sending.files().len(), 2);
        drop((second, other));
        assert!(sending.files().is_empty());
    }
}
