//! `/agents/{slug}/mounts`

use axum::Json;
use axum::extract::State;
use castari_common::mounts::{CreateMount, Mount, MountList, UpdateMount};

use super::Api;
use super::answers::{Created, NoContent};
use super::caller::Caller;
use super::check::{Body, Path};
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/agents/{slug}/mounts", "List an agent's mounts", list)
        .post("/agents/{slug}/mounts", "Mount a bucket in an agent", create)
        .get("/agents/{slug}/mounts/{id}", "Show a mount", show)
        .patch("/agents/{slug}/mounts/{id}", "Change a mount", update)
        .delete("/agents/{slug}/mounts/{id}", "Take a mount away", remove)
        .post(
            "/agents/{slug}/files/sync",
            "Forget what is cached of an agent's buckets",
            sync,
        )
}

async fn list(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<MountList>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    Ok(Json(api.platform.mounts(agent).await?))
}

async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(mount): Body<CreateMount>,
) -> Result<Created<Mount>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    let mount = api.platform.create_mount(agent, mount).await?;
    Ok(Created(mount))
}

async fn show(State(api): State<Api>, caller: Caller, Path([slug, id]): Path<2>) -> Result<Json<Mount>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    Ok(Json(api.platform.mount(&agent, &id)?))
}

async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path([slug, id]): Path<2>,
    Body(change): Body<UpdateMount>,
) -> Result<Json<Mount>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    Ok(Json(api.platform.update_mount(agent, &id, change).await?))
}

async fn remove(State(api): State<Api>, caller: Caller, Path([slug, id]): Path<2>) -> Result<NoContent, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    api.platform.delete_mount(agent, &id).await?;
    Ok(NoContent)
}

/// Nothing of a bucket is cached yet, so that every read is fresh.
async fn sync(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<NoContent, ApiError> {
    api.agent(&caller, &slug)?;
    Ok(NoContent)
}
