//! `/files`

mod download;
mod range;
mod signed;

use axum::Json;
use axum::extract::State;
use castari_common::files::{
    FileFilter, FileList, FileUsage, MAX_FILENAME_BYTES, ManagedFile, UpdateFile, UploadedFile,
};
use castari_common::{Fault, Page};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Api;
use super::answers::{Created, NoContent};
use super::caller::Caller;
use super::check::{Body, Path, Query, checked};
use super::error::ApiError;
use super::form::{self, Form, Part, fault};
use super::routes::Routes;
use crate::platform::files::{NewFile, Received, plain_name, tidy};

/// The longest content type that is kept, in bytes.
const MAX_CONTENT_TYPE: usize = 255;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/files", "List files", list)
        .post("/files", "Upload a file", upload)
        .get("/files/usage", "Show how much the files take", usage)
        .post(
            "/files/upload-url",
            "Make an address to upload a file to",
            signed::create,
        )
        .post(
            "/files/confirm-upload",
            "Confirm an upload to an address",
            signed::confirm,
        )
        .get("/files/{id}", "Show a file", show)
        .patch("/files/{id}", "Change what is said of a file", update)
        .delete("/files/{id}", "Delete a file", remove)
        .get("/files/{id}/download", "Download a file", download::download)
        .get("/files/{id}/content", "Download a file", download::download)
        .put("/files/{id}/content", "Upload a file to its address", signed::receive)
}

#[derive(Deserialize, ToSchema)]
struct ListQuery {
    #[serde(flatten)]
    filter: FileFilter,
    /// How many items at the most.
    #[serde(default = "fifty")]
    #[schema(minimum = 1, maximum = 100, default = 50)]
    limit: u32,
    /// How many items to pass over first.
    #[serde(default)]
    #[schema(minimum = 0, default = 0)]
    offset: u64,
}

fn fifty() -> u32 {
    50
}

async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<FileList>, ApiError> {
    let page = Page {
        limit: query.limit,
        offset: query.offset,
    };
    Ok(Json(api.platform.files(caller.user_id(), query.filter, page).await?))
}

async fn show(State(api): State<Api>, caller: Caller, Path([id]): Path<1>) -> Result<Json<ManagedFile>, ApiError> {
    let file = api.platform.file(caller.user_id(), &id).await?;
    file.map(Json).ok_or_else(file_not_found)
}

async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path([id]): Path<1>,
    Body(change): Body<UpdateFile>,
) -> Result<Json<ManagedFile>, ApiError> {
    let updated = api.platform.update_file(caller.user_id(), &id, change).await?;
    updated.map(Json).ok_or_else(file_not_found)
}

async fn remove(State(api): State<Api>, caller: Caller, Path([id]): Path<1>) -> Result<NoContent, ApiError> {
    if api.platform.delete_file(caller.user_id(), &id).await? {
        Ok(NoContent)
    } else {
        Err(file_not_found())
    }
}

async fn usage(State(api): State<Api>, caller: Caller) -> Result<Json<FileUsage>, ApiError> {
    Ok(Json(api.platform.file_usage(caller.user_id()).await?))
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema describes the form")]
struct FileForm {
    /// The file, with its name.
    #[schema(value_type = String, format = Binary)]
    file: (),
    /// What it is for.
    #[schema(max_length = 10_000, pattern = r"^[^\x00]*$")]
    description: Option<String>,
    /// What it can be found by; commas separate tags.
    tags: Option<String>,
}

async fn upload(
    State(api): State<Api>,
    caller: Caller,
    mut form: Form<FileForm>,
) -> Result<Created<UploadedFile>, ApiError> {
    match read(&api, &caller, &mut form).await {
        Ok((new, received)) => {
            let file = api.platform.create_file(caller.user_id(), new, received).await?;
            Ok(Created(file))
        }
        Err(error) => {
            form.linger();
            Err(error)
        }
    }
}

/// Reads a form to its end. What it says may come in any order.
async fn read(api: &Api, caller: &Caller, form: &mut Form<FileForm>) -> Result<(NewFile, Received), ApiError> {
    let mut said = Map::new();
    let mut faults = Vec::new();
    let mut file = None;
    while let Some(part) = form.next().await? {
        match part.name() {
            "file" if file.is_some() => faults.push(fault("file", "only one file can be uploaded", "value_error")),
            "file" => match name_and_type(&part) {
                Ok((name, kind)) => {
                    let received = api.platform.receive_file(caller.user_id(), part.content()).await?;
                    file = Some((name, kind, received));
                }
                Err(fault) => faults.push(fault),
            },
            "description" => match part.text().await? {
                Ok(text) => _ = said.insert("description".into(), json!(Some(text).filter(|text| !text.is_empty()))),
                Err(fault) => faults.push(fault),
            },
            "tags" => match part.text().await? {
                Ok(text) => _ = said.insert("tags".into(), json!(tidy(text.split(',')))),
                Err(fault) => faults.push(fault),
            },
            _ => {}
        }
    }
    if file.is_none() && faults.iter().all(|fault| fault.loc.last() != Some(&json!("file"))) {
        faults.push(form::missing("file"));
    }
    match (checked::<UpdateFile>(Value::Object(said), "body"), file) {
        (Ok(said), Some((filename, content_type, received))) if faults.is_empty() => {
            let tags = said.tags.unwrap_or_default().into_iter().map(|tag| tag.0).collect();
            let new = NewFile {
                filename,
                content_type,
                description: said.description.flatten(),
                tags,
            };
            Ok((new, received))
        }
        (Err(ApiError::Faults(more)), _) => {
            faults.extend(more);
            Err(ApiError::Faults(faults))
        }
        (Err(error), _) => Err(error),
        (Ok(_), _) => Err(ApiError::Faults(faults)),
    }
}

/// What a part says of the file that it is.
fn name_and_type(part: &Part<'_>) -> Result<(String, Option<String>), Fault> {
    let given = part.file_name().ok_or_else(|| form::missing("file"))?;
    let name = plain_name(&given).ok_or_else(|| bad_name("file"))?;
    let kind = part.content_type().filter(|kind| kind.len() <= MAX_CONTENT_TYPE);
    Ok((name.into(), kind.map(Into::into)))
}

fn bad_name(field: &str) -> Fault {
    let msg = format!("ensure the file name has 1 to {MAX_FILENAME_BYTES} bytes and no control characters");
    fault(field, msg, "value_error")
}

pub(super) fn file_not_found() -> ApiError {
    ApiError::not_found("file_not_found", "File not found")
}
