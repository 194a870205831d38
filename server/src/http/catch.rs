//! Whatever goes wrong inside, the client gets an answer, the log gets the reason, and both get
//! the same id.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use futures::FutureExt;

use super::Api;
use super::error::{Internal, problem};

pub(super) async fn apply(api: &Api, request: Request, inner: impl AsyncFnOnce(Request) -> Response) -> Response {
    let (method, address) = (request.method().clone(), request.uri().clone());
    let Ok(response) = AssertUnwindSafe(inner(request)).catch_unwind().await else {
        // The panic's message went to stderr when it happened.
        return answer(api, &method, address.path(), &"a handler panicked");
    };
    match response.extensions().get::<Internal>() {
        Some(Internal(error)) => answer(api, &method, address.path(), error),
        None => response,
    }
}

fn answer(api: &Api, method: &axum::http::Method, path: &str, error: &dyn std::fmt::Display) -> Response {
    let id = api.platform.world.id("err");
    tracing::error!(id, %method, path, %error, "a request failed");
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        format!("Internal server error ({id})"),
    )
}
