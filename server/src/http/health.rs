//! `/healthz` and `/readyz`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use castari_common::health::Health;

use super::Api;
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/healthz", "Say whether the server is alive", alive)
        .get("/readyz", "Say whether the database takes writes", ready)
}

async fn alive() -> Json<Health> {
    Json(Health {
        status: "ok".into(),
        service: "castari".into(),
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

async fn ready(State(api): State<Api>) -> Result<Json<Health>, ApiError> {
    match api.platform.check().await {
        Ok(()) => Ok(alive().await),
        Err(error) => {
            tracing::error!(%error, "a write transaction does not work");
            let detail = "The database takes no writes; the log says why";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail))
        }
    }
}
