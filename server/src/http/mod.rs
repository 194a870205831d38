//! HTTP, and nothing else: who asks, what exactly, how often they may; the platform does the rest.
//!
//! The way of a request, from the outside in: `catch` (panics, internal errors) → `limits` (who, how often) → its
//! route in one of the resources' files → an extractor of `check` (what breaks the schema) → the platform.

mod account;
mod agents;
mod api_keys;
mod caller;
mod catch;
mod check;
mod deployments;
mod error;
mod events;
mod health;
mod invocations;
mod limits;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use castari_common::BASE_PATH;
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;
use error::ApiError;
use limits::Limits;

/// The longest body that is read whole, in bytes: a prompt of 1 MiB, each character of it escaped.
const MAX_BODY: usize = 8 << 20;

/// What every handler works with.
#[derive(Clone)]
pub struct Api {
    platform: Arc<Platform>,
    limits: Arc<Limits>,
    callers: Arc<caller::Callers>,
    /// Cancelled when streams that would never end are to end.
    closing: CancellationToken,
}

impl Api {
    /// The API of a platform.
    #[must_use]
    pub fn new(platform: Arc<Platform>, closing: CancellationToken) -> Self {
        let settings = platform.settings();
        Self {
            limits: Arc::new(Limits::new(settings.rate_limit_crud, settings.rate_limit_invoke)),
            callers: Arc::default(),
            platform,
            closing,
        }
    }

    /// Every route there is.
    pub fn router(self) -> Router {
        let resources = Router::new()
            .merge(account::routes())
            .merge(agents::routes())
            .merge(api_keys::routes())
            .merge(deployments::routes())
            .merge(events::routes())
            .merge(invocations::routes());
        Router::new()
            .nest(BASE_PATH, resources)
            .merge(health::routes())
            .fallback(async || ApiError::not_found("not_found", "Not found"))
            .method_not_allowed_fallback(async || {
                ApiError::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "Method not allowed",
                )
            })
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(middleware::from_fn_with_state(self.clone(), limits::apply))
            .layer(middleware::from_fn_with_state(self.clone(), catch::apply))
            .with_state(self)
    }
}
