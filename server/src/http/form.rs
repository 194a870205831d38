//! Multipart forms, read field by field.

use std::marker::PhantomData;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::StatusCode;
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiError;
use super::routes::{Input, Operation};
use crate::platform::PlatformError;

/// A multipart form with the fields of `T`, of which only the schema is used: fields are read as they come, and files
/// are never held whole.
pub(super) struct Form<T> {
    /// `None` where the body is no form: handlers say first what else is wrong.
    parts: Option<Multipart>,
    fields: PhantomData<T>,
}

impl<T> Form<T> {
    /// The next field.
    pub async fn next(&mut self) -> Result<Option<Field<'_>>, ApiError> {
        let parts = self.parts.as_mut().ok_or_else(|| {
            let detail = "The body must be a multipart form with a field `file`";
            ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        })?;
        Ok(parts.next_field().await.map_err(malformed)?)
    }
}

impl<T> FromRequest<Api> for Form<T> {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, api: &Api) -> Result<Self, ApiError> {
        // How long a file may be is for the platform to say.
        DefaultBodyLimit::disable().apply(&mut request);
        let parts = Multipart::from_request(request, api).await.ok();
        let fields = PhantomData;
        Ok(Self { parts, fields })
    }
}

impl<T: ToSchema> Input for Form<T> {
    fn describe(operation: &mut Operation) {
        let schema = operation.schema::<T>();
        operation.body = Some(json!({ "required": true, "content": { "multipart/form-data": { "schema": schema } } }));
        operation.fails_with(&[400, 413, 415, 422]);
    }
}

/// A form that breaks off or never was one.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn malformed(error: MultipartError) -> PlatformError {
    PlatformError::rejected(
        "malformed_multipart",
        format!("The multipart form cannot be read: {}", error.body_text()),
    )
}
