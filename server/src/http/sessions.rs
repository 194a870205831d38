//! `/agents/{slug}/sessions`

use axum::Json;
use axum::extract::State;
use castari_common::Page;
use castari_common::sessions::SessionList;

use super::Api;
use super::answers::NoContent;
use super::caller::{Caller, agent_not_found};
use super::check::{Path, Query};
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/agents/{slug}/sessions", "List an agent's sessions", list)
        .delete("/agents/{slug}/sessions/{id}", "Delete a session", remove)
}

async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Query(page): Query<Page>,
) -> Result<Json<SessionList>, ApiError> {
    let listed = api.platform.sessions(caller.user_id(), &slug, page).await?;
    listed.map(Json).ok_or_else(agent_not_found)
}

async fn remove(State(api): State<Api>, caller: Caller, Path([slug, id]): Path<2>) -> Result<NoContent, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    if api.platform.delete_session(&agent, &id).await? {
        Ok(NoContent)
    } else {
        Err(ApiError::not_found("session_not_found", "Session not found"))
    }
}
