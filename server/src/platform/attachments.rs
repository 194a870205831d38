//! Managed files that are attached to agents.

use castari_common::agents::Agent;
use castari_common::attachments::{ATTACHMENTS_DIR, AttachFile, Attachment, AttachmentList};
use castari_common::events::EventKind;
use castari_common::files::UploadStatus;

use super::files::upload_pending;
use super::{Platform, PlatformError};
use crate::store::{agents, attachments, files};

impl Platform {
    /// All that is attached to an agent.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn attachments(&self, agent: &Agent) -> Result<AttachmentList, PlatformError> {
        let id = agent.id.clone();
        let files = self.store.read(move |read| attachments::list(read, &id)).await?;
        let total_size_bytes = files.iter().map(|file| file.size_bytes).sum();
        Ok(AttachmentList {
            files,
            total_size_bytes,
        })
    }

    /// Attaches a file of the agent's user to it; `None` where there is no such file, or no such agent any more.
    ///
    /// # Errors
    /// `upload_pending`, `already_attached`, `mount_path_taken`, or when the store fails.
    pub async fn attach_file(&self, agent: &Agent, attach: AttachFile) -> Result<Option<Attachment>, PlatformError> {
        let (id, now) = (self.world.id("att"), self.world.now());
        let (user_id, agent_id) = (agent.user_id.clone(), agent.id.clone());
        let attached = self.store.write(move |write| {
            let agent = agents::by_id(write, &agent_id)?;
            let file = files::by_id(write, &user_id, &attach.file_id)?;
            let Some((_, file)) = agent.zip(file) else {
                return Ok(Ok(None));
            };
            if file.upload_status == UploadStatus::Pending {
                return Ok(Err(upload_pending()));
            }
            if attachments::is_attached(write, &agent_id, &file.id)? {
                let detail = "The file is attached to this agent already";
                return Ok(Err(PlatformError::rejected("already_attached", detail)));
            }
            let mount_path = attach.mount_path;
            let mount_path = mount_path.unwrap_or_else(|| format!("{ATTACHMENTS_DIR}/{}", file.filename));
            if attachments::is_taken(write, &agent_id, &mount_path)? {
                let detail = format!("Something is attached to this agent at, above or below {mount_path}");
                return Ok(Err(PlatformError::rejected("mount_path_taken", detail)));
            }
            let attachment = Attachment {
                id,
                file_id: file.id,
                filename: file.filename,
                mount_path,
                read_only: attach.read_only.unwrap_or(true),
                size_bytes: file.size_bytes,
                created_at: now,
            };
            attachments::insert(write, &agent_id, &attachment)?;
            Ok(Ok(Some(attachment)))
        });
        let attached = attached.await??;
        if let Some(attachment) = &attached {
            self.tell_of_attachment(agent, &attachment.file_id);
        }
        Ok(attached)
    }

    /// Detaches a file from an agent; answers whether it was attached.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn detach_file(&self, agent: &Agent, file_id: &str) -> Result<bool, PlatformError> {
        let (agent_id, wanted) = (agent.id.clone(), file_id.to_owned());
        let detached = self
            .store
            .write(move |write| attachments::delete(write, &agent_id, &wanted));
        let is_detached = detached.await?;
        if is_detached {
            self.tell_of_attachment(agent, file_id);
        }
        Ok(is_detached)
    }

    fn tell_of_attachment(&self, agent: &Agent, file_id: &str) {
        self.events
            .tell(&agent.user_id, EventKind::File, Some(&agent.slug), file_id);
    }
}
