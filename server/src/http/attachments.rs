//! `/agents/{slug}/files`

use axum::Json;
use axum::extract::State;
use castari_common::attachments::{AttachFile, Attachment, AttachmentList};
use castari_common::files::MAX_FILENAME_BYTES;

use super::Api;
use super::answers::{Created, NoContent};
use super::caller::Caller;
use super::check::{Body, Path};
use super::error::ApiError;
use super::files::file_not_found;
use super::form::fault;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/agents/{slug}/files", "List what is attached to an agent", list)
        .post("/agents/{slug}/files", "Attach a file to an agent", attach)
        .delete("/agents/{slug}/files/{file_id}", "Detach a file from an agent", detach)
}

async fn list(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<AttachmentList>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    Ok(Json(api.platform.attachments(&agent).await?))
}

async fn attach(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(attach): Body<AttachFile>,
) -> Result<Created<Attachment>, ApiError> {
    check_mount_path(&attach)?;
    let agent = api.agent(&caller, &slug)?;
    let attached = api.platform.attach_file(&agent, attach).await?;
    attached.map(Created).ok_or_else(file_not_found)
}

async fn detach(State(api): State<Api>, caller: Caller, Path([slug, file_id]): Path<2>) -> Result<NoContent, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    if api.platform.detach_file(&agent, &file_id).await? {
        Ok(NoContent)
    } else {
        Err(file_not_found())
    }
}

/// File systems count names in bytes, a schema in characters.
fn check_mount_path(attach: &AttachFile) -> Result<(), ApiError> {
    let path = attach.mount_path.as_deref().unwrap_or_default();
    if path.split('/').all(|name| name.len() <= MAX_FILENAME_BYTES) {
        return Ok(());
    }
    let msg = format!("ensure each part of the path has at most {MAX_FILENAME_BYTES} bytes");
    Err(ApiError::Faults(vec![fault(
        "mount_path",
        msg,
        "value_error.any_str.max_length",
    )]))
}
