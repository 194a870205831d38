//! Uploads to an address of their own, which needs no credential.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use castari_common::BASE_PATH;
use castari_common::files::{ConfirmUpload, CreateUpload, ManagedFile, ReceivedUpload, UploadUrl};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::form::{Content, linger};
use super::super::routes::{Input, Operation};
use super::{Api, ApiError, Body, Caller, Path, Query, bad_name, file_not_found};
use crate::platform::files::{NewFile, plain_name, tidy};

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Body(create): Body<CreateUpload>,
) -> Result<Json<UploadUrl>, ApiError> {
    let base = base_address(&api, &headers)?;
    let name = plain_name(&create.filename).ok_or_else(|| ApiError::Faults(vec![bad_name("filename")]))?;
    let tags = create.tags.unwrap_or_default();
    let new = NewFile {
        filename: name.into(),
        content_type: create.content_type,
        description: create.description,
        tags: tidy(tags.iter().map(|tag| tag.0.as_str())),
    };
    let upload = api
        .platform
        .create_upload(caller.user_id(), new, create.size_bytes)
        .await?;
    let (id, expires) = (&upload.file.id, upload.expires_at.as_second());
    let signature = &upload.signature;
    let kind = upload.file.content_type.as_ref();
    let answer = UploadUrl {
        upload_url: format!("{base}{BASE_PATH}/files/{id}/content?expires={expires}&signature={signature}"),
        upload_method: "PUT".into(),
        upload_headers: BTreeMap::from_iter(kind.map(|kind| ("Content-Type".into(), kind.clone()))),
        expires_at: upload.expires_at,
        file_id: upload.file.id,
    };
    Ok(Json(answer))
}

#[derive(Deserialize, ToSchema)]
struct SignedQuery {
    /// Until when the address can be used, as a Unix time.
    #[schema(minimum = 0)]
    expires: i64,
    /// What shows that the server made the address.
    #[schema(max_length = 128)]
    signature: String,
}

/// The query of an address, which stands in for a credential.
pub(super) struct Signed(SignedQuery);

impl FromRequestParts<Api> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Query(query) = Query::from_request_parts(parts, api).await?;
        Ok(Self(query))
    }
}

impl Input for Signed {
    fn describe(operation: &mut Operation) {
        Query::<SignedQuery>::describe(operation);
        operation.fails_with(&[403]);
    }
}

pub(super) async fn receive(
    State(api): State<Api>,
    Path([id]): Path<1>,
    Signed(query): Signed,
    headers: HeaderMap,
    body: Content,
) -> Result<Json<ReceivedUpload>, ApiError> {
    let upload = api.platform.signed_upload(&id, query.expires, &query.signature).await?;
    let upload = upload.ok_or_else(|| {
        let detail = "The upload address is wrong or has expired";
        ApiError::new(StatusCode::FORBIDDEN, "upload_url_invalid", detail)
    })?;
    let mut content = body.pieces();
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    match api.platform.receive_upload(upload, length, &mut content).await {
        Ok(received) => received.map(Json).ok_or_else(file_not_found),
        Err(error) => {
            linger(content);
            Err(error.into())
        }
    }
}

pub(super) async fn confirm(
    State(api): State<Api>,
    caller: Caller,
    Body(confirm): Body<ConfirmUpload>,
) -> Result<Json<ManagedFile>, ApiError> {
    let confirmed = api.platform.confirm_upload(caller.user_id(), confirm).await?;
    confirmed.map(Json).ok_or_else(file_not_found)
}

/// Where the client reaches the server: where the settings say or, where they say nothing, at what the client calls it.
fn base_address(api: &Api, headers: &HeaderMap) -> Result<String, ApiError> {
    if let Some(url) = &api.platform.settings().public_url {
        let url = url.as_str().trim_end_matches('/');
        return Ok(url.trim_end_matches(BASE_PATH).into());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
    let host: Option<Authority> = text(HOST.as_str()).and_then(|host| host.parse().ok());
    let host = host.filter(|host| !host.as_str().contains('@'));
    let host = host.ok_or_else(|| ApiError::bad_request("malformed_host", "The Host header names no host"))?;
    Ok(format!("{}://{host}", scheme.unwrap_or("http")))
}
