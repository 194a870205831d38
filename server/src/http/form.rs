//! Bodies that are read as they come: multipart forms, and plain ones.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use castari_common::Fault;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::error::ApiError;
use super::routes::{Input, Operation};
use crate::platform::PlatformError;

/// How long a body may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// How much of a form may come without its going on: its parser keeps that in memory, as it is kept of other bodies.
const MAX_BETWEEN: usize = super::MAX_BODY;

/// How many fields a form may have.
const MAX_FIELDS: usize = 100;

/// How long a field may be that is read whole, in bytes.
const MAX_TEXT: usize = 64 << 10;

/// How much of a refused body is read all the same, and for how long: a client that is still sending when its
/// connection is closed may not get to see why.
const LINGER_BYTES: usize = 64 << 20;
const LINGER: Duration = Duration::from_secs(5);

/// A multipart form with the fields of `T`, of which only the schema is used: fields are read as they come, and files
/// are never held whole.
pub(super) struct Form<T> {
    /// `None` where the body is no form: handlers say first what else is wrong.
    parts: Option<Multipart>,
    /// How much has come since the form last went on.
    between: Arc<AtomicUsize>,
    count: usize,
    fields: PhantomData<T>,
}

/// A field of a form.
pub(super) struct Part<'f> {
    field: Field<'f>,
    between: Arc<AtomicUsize>,
}

/// A body that is no form, nor anything else that is known.
pub(super) struct Content(Body);

impl<T> FromRequest<Api> for Form<T> {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, api: &Api) -> Result<Self, ApiError> {
        // How long a file may be is for the platform to say.
        DefaultBodyLimit::disable().apply(&mut request);
        let between = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&between);
        let request = request.map(|body| {
            let bytes = pieces(body).map(move |piece| {
                let piece = piece?;
                let come = counted.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
                if come > MAX_BETWEEN {
                    return Err(BodyError::Shapeless);
                }
                Ok(piece)
            });
            Body::from_stream(bytes)
        });
        Ok(Self {
            parts: Multipart::from_request(request, api).await.ok(),
            between,
            count: 0,
            fields: PhantomData,
        })
    }
}

impl<T: ToSchema> Input for Form<T> {
    fn describe(operation: &mut Operation) {
        let schema = operation.schema::<T>();
        operation.body = Some(json!({ "required": true, "content": { "multipart/form-data": { "schema": schema } } }));
        operation.fails_with(&[400, 413, 415, 422]);
    }
}

impl<T: Send + 'static> Form<T> {
    /// The next field; `None` only where the form came to its proper end.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, ApiError> {
        let parts = self.parts.as_mut().ok_or_else(|| {
            let detail = "The body must be a multipart form with a field `file`";
            ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        })?;
        let Some(field) = parts.next_field().await.map_err(malformed)? else {
            return Ok(None);
        };
        self.between.store(0, Ordering::Relaxed);
        self.count += 1;
        if self.count > MAX_FIELDS {
            let detail = format!("The form has more than {MAX_FIELDS} fields");
            return Err(ApiError::bad_request("malformed_multipart", detail));
        }
        Ok(Some(Part {
            field,
            between: Arc::clone(&self.between),
        }))
    }

    /// Reads on for a while, as the form was refused.
    pub fn linger(mut self) {
        tokio::spawn(tokio::time::timeout(LINGER, async move {
            let mut left = LINGER_BYTES;
            while let Ok(Some(part)) = self.next().await {
                let mut content = part.content();
                while let Some(Ok(bytes)) = content.next().await {
                    left = left.saturating_sub(bytes.len());
                    if left == 0 {
                        return;
                    }
                }
            }
        }));
    }
}

impl<'f> Part<'f> {
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// The name that the client has for the file, where it has one. Clients that cannot write it plainly write it as
    /// RFC 8187 has it.
    pub fn file_name(&self) -> Option<String> {
        let disposition = self.field.headers().get(CONTENT_DISPOSITION)?;
        let extended = std::str::from_utf8(disposition.as_bytes()).ok().and_then(extended_name);
        extended.or_else(|| self.field.file_name().map(Into::into))
    }

    pub fn content_type(&self) -> Option<&str> {
        self.field.content_type()
    }

    /// The field's content, as it comes.
    pub fn content(self) -> impl Stream<Item = Result<Bytes, PlatformError>> + Unpin + use<'f> {
        let between = self.between;
        self.field.map(move |piece| {
            between.store(0, Ordering::Relaxed);
            piece.map_err(malformed)
        })
    }

    /// The field's content as text, or what is wrong with it.
    pub async fn text(self) -> Result<Result<String, Fault>, ApiError> {
        let field = self.name().to_owned();
        let mut content = self.content();
        let mut text = Vec::new();
        while let Some(bytes) = content.try_next().await? {
            if text.len() + bytes.len() > MAX_TEXT {
                let msg = format!("ensure this value has at most {MAX_TEXT} bytes");
                return Ok(Err(fault(&field, msg, "value_error.any_str.max_length")));
            }
            text.extend_from_slice(&bytes);
        }
        Ok(String::from_utf8(text).map_err(|_| fault(&field, "value is not valid UTF-8", "value_error")))
    }
}

impl<S: Sync> FromRequest<S> for Content {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Ok(Self(request.into_body()))
    }
}

impl Input for Content {
    fn describe(operation: &mut Operation) {
        let schema = json!({ "type": "string", "format": "binary" });
        operation.body =
            Some(json!({ "required": true, "content": { "application/octet-stream": { "schema": schema } } }));
        operation.fails_with(&[400, 413]);
    }
}

impl Content {
    /// The body, as it comes.
    pub fn pieces(self) -> impl Stream<Item = Result<Bytes, PlatformError>> + Unpin {
        pieces(self.0).map_err(|error| PlatformError::rejected("malformed_body", error.to_string()))
    }
}

/// Reads a refused body on for a while.
pub(super) fn linger(mut body: impl Stream<Item = Result<Bytes, PlatformError>> + Send + Unpin + 'static) {
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        let mut left = LINGER_BYTES;
        while let Some(Ok(bytes)) = body.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    }));
}

/// A fault of a field of the body.
pub(super) fn fault(field: &str, msg: impl Into<String>, kind: &str) -> Fault {
    Fault {
        loc: vec![json!("body"), json!(field)],
        msg: msg.into(),
        r#type: kind.into(),
    }
}

/// A field of the body that is needed.
pub(super) fn missing(field: &str) -> Fault {
    fault(field, "field required", "value_error.missing")
}

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("The body could not be read to its end")]
    BrokenOff,
    #[error("No data came for {} seconds", SILENCE.as_secs())]
    Silent,
    #[error("a boundary or a field's headers do not end")]
    Shapeless,
}

fn pieces(body: Body) -> impl Stream<Item = Result<Bytes, BodyError>> + Unpin {
    Box::pin(stream::try_unfold(body.into_data_stream(), async |mut body| {
        let piece = tokio::time::timeout(SILENCE, body.try_next()).await;
        let piece = piece.map_err(|_| BodyError::Silent)?;
        let piece = piece.map_err(|_| BodyError::BrokenOff)?;
        Ok(piece.map(|piece| (piece, body)))
    }))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn malformed(error: MultipartError) -> PlatformError {
    let mut reason: &dyn std::error::Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    PlatformError::rejected(
        "malformed_multipart",
        format!("The multipart form cannot be read: {reason}"),
    )
}

/// The `filename*` of a `Content-Disposition`, in UTF-8.
fn extended_name(disposition: &str) -> Option<String> {
    let parameter = disposition.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("filename*").then(|| value.trim())
    })?;
    let mut parts = parameter.splitn(3, '\'');
    let (charset, _language, value) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.extend(hex::decode(digits).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::extended_name;

    #[test]
    fn extended_names_are_decoded() {
        for (value, name) in [
            ("filename*=UTF-8''%C3%BC%20b.txt", Some("ü b.txt")),
            ("filename=\"a\"; FileName* = utf-8'en'b%2ftxt", Some("b/txt")),
            ("filename=\"a\"", None),
            ("filename*=latin1''a", None),
            ("filename*=UTF-8''%C3", None),
            ("filename*=UTF-8''%C", None),
            ("filename*=UTF-8'a", None),
        ] {
            assert_eq!(
                extended_name(&format!("form-data; {value}")).as_deref(),
                name,
                "{value}"
            );
        }
    }
}
