//! HTTP, and nothing else: who asks, what exactly, how often they may; the platform does the rest.
//!
//! The way of a request, from the outside in: `serve` (connections) → `metrics` (how many, how long) → `catch` (panics,
//! internal errors) → `limits` (who, how often) → `head` (how large) → its route in one of the resources' files → an
//! extractor of `check` (what breaks the schema) → the platform.

mod account;
mod agents;
mod answers;
mod api_keys;
mod attachments;
mod buckets;
mod caller;
mod catch;
mod check;
mod deployments;
mod error;
mod events;
mod files;
mod form;
mod head;
mod health;
mod invocations;
mod limits;
mod metrics;
mod mounts;
mod openapi;
mod routes;
mod secrets;
mod serve;
mod sessions;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use castari_common::BASE_PATH;
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;
use error::ApiError;
use limits::Limits;
use metrics::Metrics;
use routes::Routes;
pub use serve::serve;

/// The longest body that is read whole, in bytes: a prompt of 1 MiB, each character of it escaped.
const MAX_BODY: usize = 8 << 20;

/// What every handler works with. Clones are of one.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// What the requests have in common.
pub struct Shared {
    platform: Arc<Platform>,
    limits: Limits,
    callers: caller::Callers,
    metrics: Metrics,
    /// Cancelled when streams that would never end are to end.
    closing: CancellationToken,
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Api {
    /// The API of a platform.
    #[must_use]
    pub fn new(platform: Arc<Platform>, closing: CancellationToken) -> Self {
        let settings = platform.settings();
        Self(Arc::new(Shared {
            limits: Limits::new(settings.rate_limit_crud, settings.rate_limit_invoke),
            callers: caller::Callers::default(),
            metrics: Metrics::default(),
            platform,
            closing,
        }))
    }

    /// The service behind every route, with what all of them have in common around them.
    pub fn router(self) -> Router {
        let (router, _) = routes().into_parts();
        router
            .fallback(async || ApiError::not_found("not_found", "Not found"))
            .method_not_allowed_fallback(async || {
                ApiError::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "Method not allowed",
                )
            })
            .layer(middleware::from_fn_with_state(self.clone(), surround))
            .with_state(self)
    }
}

/// What happens around every route, from the outside in. One layer, as each costs every request a few allocations. What
/// goes wrong behind the limits gets their headers; what goes wrong in them is answered all the same.
async fn surround(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
    let route = async |request| match head::check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let caught = async |request| catch::apply(&api, request, route).await;
    let limited = async |request| limits::apply(&api, request, caught).await;
    let answered = async |request| catch::apply(&api, request, limited).await;
    metrics::count(&api, request, answered).await
}

/// Every route there is.
fn routes() -> Routes {
    let resources = Routes::new()
        .merge(account::routes())
        .merge(agents::routes())
        .merge(api_keys::routes())
        .merge(attachments::routes())
        .merge(buckets::routes())
        .merge(deployments::routes())
        .merge(events::routes())
        .merge(files::routes())
        .merge(invocations::routes())
        .merge(mounts::routes())
        .merge(secrets::routes())
        .merge(sessions::routes())
        .merge(usage::routes())
        .below(BASE_PATH);
    resources
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(openapi::routes())
}
