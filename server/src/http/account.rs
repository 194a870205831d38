//! `/auth`

use axum::Json;
use axum::extract::State;
use castari_common::account::Me;

use super::Api;
use super::answers::NoContent;
use super::caller::Caller;
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/auth/me", "Show whose credential this is", me)
        .delete("/auth/api-key", "Revoke the API key that asks", revoke_own_key)
}

async fn me(caller: Caller) -> Json<Me> {
    Json(caller.me.as_ref().clone())
}

async fn revoke_own_key(State(api): State<Api>, caller: Caller) -> Result<NoContent, ApiError> {
    let no_key = || {
        let detail = "The request shows a token, not an API key: there is no key to revoke";
        ApiError::bad_request("not_an_api_key", detail)
    };
    let key = caller.key.ok_or_else(no_key)?;
    api.platform.delete_api_key_by_hash(key).await?;
    Ok(NoContent)
}
