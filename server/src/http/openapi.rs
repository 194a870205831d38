//! `/openapi.json`

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::routes::{Answer, Operation, Routes, document};

/// The document, made when it is first asked for.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let (_, operations) = super::routes().into_parts();
    document(operations).to_string().into()
});

pub(super) fn routes() -> Routes {
    Routes::new().get("/openapi.json", "Describe the API", show)
}

/// The OpenAPI document.
struct Document(Bytes);

impl Answer for Document {
    fn describe(operation: &mut Operation) {
        operation.answers_with(200, "application/json", &json!({ "type": "object" }));
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

async fn show() -> Document {
    Document(DOCUMENT.clone())
}
