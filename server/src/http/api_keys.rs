//! `/api-keys`

use axum::Json;
use axum::extract::State;
use castari_common::api_keys::{ApiKeyList, CreateApiKey, NewApiKey};

use super::Api;
use super::answers::{Created, NoContent};
use super::caller::Caller;
use super::check::{Body, Path};
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/api-keys", "List API keys", list)
        .post("/api-keys", "Make an API key", create)
        .delete("/api-keys/{id}", "Revoke an API key", remove)
}

async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ApiKeyList>, ApiError> {
    Ok(Json(api.platform.api_keys(caller.user_id()).await?))
}

async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(create): Body<CreateApiKey>,
) -> Result<Created<NewApiKey>, ApiError> {
    Ok(Created(api.platform.create_api_key(caller.user_id(), create).await?))
}

async fn remove(State(api): State<Api>, caller: Caller, Path([id]): Path<1>) -> Result<NoContent, ApiError> {
    if api.platform.delete_api_key(caller.user_id(), &id).await? {
        Ok(NoContent)
    } else {
        Err(ApiError::not_found("api_key_not_found", "API key not found"))
    }
}
