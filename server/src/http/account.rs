//! `/auth`

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use castari_common::account::Me;

use super::Api;
use super::caller::Caller;
use super::error::ApiError;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/auth/me", get(me))
        .route("/auth/api-key", delete(revoke_own_key))
}

async fn me(caller: Caller) -> Json<Me> {
    Json(caller.me)
}

async fn revoke_own_key(State(api): State<Api>, caller: Caller) -> Result<StatusCode, ApiError> {
    api.platform.delete_api_key_by_hash(caller.key).await?;
    Ok(StatusCode::NO_CONTENT)
}
