//! `/api-keys`

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use castari_common::api_keys::{ApiKeyList, CreateApiKey, NewApiKey};

use super::Api;
use super::caller::Caller;
use super::check::{Body, Path};
use super::error::ApiError;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api-keys", get(list).post(create))
        .route("/api-keys/{id}", delete(remove))
}

async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ApiKeyList>, ApiError> {
    Ok(Json(api.platform.api_keys(caller.user_id()).await?))
}

async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(create): Body<CreateApiKey>,
) -> Result<(StatusCode, Json<NewApiKey>), ApiError> {
    let new = api.platform.create_api_key(caller.user_id(), create).await?;
    Ok((StatusCode::CREATED, Json(new)))
}

async fn remove(State(api): State<Api>, caller: Caller, Path([id]): Path<1>) -> Result<StatusCode, ApiError> {
    if api.platform.delete_api_key(caller.user_id(), &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found("api_key_not_found", "API key not found"))
    }
}
