//! What handlers answer, by types that the document can be made from.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::routes::{Answer, Operation};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// 201 with what was made.
pub(super) struct Created<T>(pub T);

/// 202 with what goes on.
pub(super) struct Accepted<T>(pub T);

/// 204.
pub(super) struct NoContent;

/// 200 with text, which may come in pieces.
pub(super) struct Text(pub Body);

/// 200 with server-sent events.
pub(super) struct Events(Response);

impl<T: ToSchema> Answer for Json<T> {
    fn describe(operation: &mut Operation) {
        let schema = operation.schema::<T>();
        operation.answers_with(200, JSON, &schema);
    }
}

impl<T: ToSchema> Answer for Created<T> {
    fn describe(operation: &mut Operation) {
        let schema = operation.schema::<T>();
        operation.answers_with(201, JSON, &schema);
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: ToSchema> Answer for Accepted<T> {
    fn describe(operation: &mut Operation) {
        let schema = operation.schema::<T>();
        operation.answers_with(202, JSON, &schema);
    }
}

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

impl Answer for NoContent {
    fn describe(operation: &mut Operation) {
        operation.answers_bare(204);
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Answer for Text {
    fn describe(operation: &mut Operation) {
        operation.answers_with(200, TEXT, &json!({ "type": "string" }));
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, TEXT)], self.0).into_response()
    }
}

impl Events {
    /// Sends frames as they come, and a sign of life where none come for a while.
    pub fn new(frames: impl Stream<Item = Result<Event, axum::Error>> + Send + 'static) -> Self {
        Self(Sse::new(frames).keep_alive(KeepAlive::default()).into_response())
    }
}

impl Answer for Events {
    fn describe(operation: &mut Operation) {
        let text = json!({ "type": "string" });
        let event = json!({ "type": "object", "properties": { "id": text, "event": text, "data": text } });
        operation.answers_with(200, "text/event-stream", &event);
    }
}

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Body::from(Bytes::from(text)))
    }
}
