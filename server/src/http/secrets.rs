//! `/agents/{slug}/secrets`

use axum::Json;
use axum::extract::State;
use castari_common::secrets::{MAX_SECRET_BYTES, Secret, SecretList, SetSecret};

use super::Api;
use super::answers::{Created, NoContent};
use super::caller::{Caller, agent_not_found};
use super::check::{Body, Path, limit_bytes};
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/agents/{slug}/secrets", "List an agent's secrets", list)
        .post("/agents/{slug}/secrets", "Set a secret of an agent", set)
        .delete("/agents/{slug}/secrets/{key}", "Delete a secret of an agent", remove)
}

async fn list(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<SecretList>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    Ok(Json(api.platform.secrets(&agent).await?))
}

async fn set(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(secret): Body<SetSecret>,
) -> Result<Created<Secret>, ApiError> {
    limit_bytes("value", &secret.value, MAX_SECRET_BYTES)?;
    let agent = api.agent(&caller, &slug)?;
    let set = api.platform.set_secret(&agent, secret).await?;
    set.map(Created).ok_or_else(agent_not_found)
}

async fn remove(State(api): State<Api>, caller: Caller, Path([slug, key]): Path<2>) -> Result<NoContent, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    if api.platform.delete_secret(&agent, &key).await? {
        Ok(NoContent)
    } else {
        Err(ApiError::not_found("secret_not_found", "Secret not found"))
    }
}
