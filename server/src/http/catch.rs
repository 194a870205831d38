//! The outermost layer: whatever goes wrong inside, the client gets an answer, the log gets the reason, and both get
//! the same id.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;

use super::Api;
use super::error::{Internal, problem};

pub(super) async fn apply(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Ok(response) = AssertUnwindSafe(next.run(request)).catch_unwind().await else {
        // The panic's message went to stderr when it happened.
        return answer(&api, &method, &path, &"a handler panicked");
    };
    match response.extensions().get::<Internal>().cloned() {
        Some(Internal(error)) => {
            let headers = response.headers().clone();
            let mut response = answer(&api, &method, &path, &error);
            // What the layers inside had to say goes out all the same.
            for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-")) {
                response.headers_mut().insert(name, value.clone());
            }
            response
        }
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
