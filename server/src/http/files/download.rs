//! A file's content on its way out.

use std::io::SeekFrom;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use castari_common::files::ManagedFile;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::super::routes::{Answer, Operation};
use super::range::{Wanted, wanted};
use super::{Api, ApiError, Caller, Path, file_not_found};
use crate::objects::ObjectError;
use crate::platform::PlatformError;
use crate::platform::files::OpenFile;

/// How much is read at once.
const PIECE: usize = 256 << 10;

const ANY_CONTENT: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A file's content, whole or in part, or that there is nothing new or no such part.
pub(super) struct Download(Response);

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Answer for Download {
    fn describe(operation: &mut Operation) {
        let schema = json!({ "type": "string", "format": "binary" });
        for status in [200, 206] {
            operation.answers_with(status, "*/*", &schema);
        }
        operation.answers_bare(304);
        operation.fails_with(&[416]);
    }
}

pub(super) async fn download(
    State(api): State<Api>,
    caller: Caller,
    Path([id]): Path<1>,
    method: Method,
    headers: HeaderMap,
) -> Result<Download, ApiError> {
    let open = api.platform.open_file(caller.user_id(), &id).await?;
    let OpenFile { file, mut content } = open.ok_or_else(file_not_found)?;
    let etag = format!("\"{}\"", file.sha256_hash);
    if header(&headers, &IF_NONE_MATCH).is_some_and(|known| matches_any(known, &etag)) {
        return Ok(Download((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response()));
    }
    let length = file.size_bytes;
    let (status, first, count) = match asked(&method, &headers, &etag, length) {
        Wanted::Whole => (StatusCode::OK, 0, length),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Unsatisfiable => return Ok(Download(unsatisfiable(length))),
    };
    if first > 0 {
        let sought = content.seek(SeekFrom::Start(first)).await;
        sought.map_err(|error| PlatformError::from(ObjectError::file("read", &id)(error)))?;
    }
    let pieces = ReaderStream::with_capacity(content.take(count), PIECE);
    let mut response = (status, describe(&file, etag), Body::from_stream(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, count.into());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{length}", first + count - 1);
        headers.extend(HeaderValue::try_from(range).ok().map(|range| (CONTENT_RANGE, range)));
    }
    Ok(Download(response))
}

/// What is said of the content beside its length.
fn describe(file: &ManagedFile, etag: String) -> HeaderMap {
    let kind = file.content_type.as_deref().map(HeaderValue::try_from);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, kind.and_then(Result::ok).unwrap_or(ANY_CONTENT));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Whatever it is called, it is not for a browser to run.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [(ETAG, etag), (CONTENT_DISPOSITION, disposition(&file.filename))] {
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
    headers
}

/// What is asked for of so many bytes. A range counts for the content that the client has a part of already.
fn asked(method: &Method, headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let is_current = header(headers, &IF_RANGE).is_none_or(|known| known == etag);
    match header(headers, &RANGE) {
        Some(range) if *method == Method::GET && is_current => wanted(range, length),
        _ => Wanted::Whole,
    }
}

fn unsatisfiable(length: u64) -> Response {
    let detail = format!("The file has {length} bytes, and none of those that were asked for");
    let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail);
    ([(CONTENT_RANGE, format!("bytes */{length}"))], error).into_response()
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Whether a list of entity tags has this one, or is `*`. Weak ones count.
fn matches_any(list: &str, etag: &str) -> bool {
    let mut tags = list.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// A `Content-Disposition` that saves the content under its name, whatever characters that has: as it is for clients of
/// today, and nearly for others.
fn disposition(filename: &str) -> String {
    let is_plain = |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\' | '%' | '/');
    let nearly: String = filename
        .chars()
        .map(|character| if is_plain(character) { character } else { '_' })
        .collect();
    let mut exactly = String::new();
    for byte in filename.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            exactly.push(char::from(byte));
        } else {
            exactly.push('%');
            exactly.push_str(&hex::encode_upper([byte]));
        }
    }
    format!("attachment; filename=\"{nearly}\"; filename*=UTF-8''{exactly}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_header() {
        for (name, header) in [
            (
                "a b.txt",
                "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt",
            ),
            (
                "\"; x=\\ü%\r\n",
                "attachment; filename=\"_; x=_____\"; filename*=UTF-8''%22%3B%20x%3D%5C%C3%BC%25%0D%0A",
            ),
        ] {
            assert_eq!(disposition(name), header, "{name}");
            HeaderValue::try_from(disposition(name)).unwrap();
        }
    }

    #[test]
    fn entity_tags_are_found_in_lists() {
        for (list, found) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(matches_any(list, "\"a\""), found, "{list}");
        }
    }
}
