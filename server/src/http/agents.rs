//! `/agents`

use axum::Json;
use axum::extract::State;
use castari_common::Page;
use castari_common::agents::{Agent, AgentFilter, AgentList, CreateAgent, UpdateAgent, UploadedCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answers::{Accepted, Created, NoContent};
use super::caller::{Caller, agent_not_found};
use super::check::{Body, Path, Query};
use super::error::ApiError;
use super::form::{self, Form};
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/agents", "List agents", list)
        .post("/agents", "Make an agent", create)
        .get("/agents/{slug}", "Show an agent", show)
        .patch("/agents/{slug}", "Change an agent", update)
        .delete("/agents/{slug}", "Delete an agent and all that belongs to it", remove)
        .post("/agents/{slug}/deploy", "Deploy an agent", deploy)
        .post(
            "/agents/{slug}/redeploy",
            "Deploy an agent again, from its latest code",
            deploy,
        )
        .post("/agents/{slug}/upload-code", "Upload an agent's code", upload_code)
        .delete("/agents/{slug}/sandbox", "Stop an agent", stop)
        // Where the published SDK sends it.
        .delete("/{slug}/sandbox", "Stop an agent", stop)
}

#[derive(Deserialize, ToSchema)]
struct ListQuery {
    #[serde(flatten)]
    filter: AgentFilter,
    #[serde(flatten)]
    page: Page,
}

async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<AgentList>, ApiError> {
    Ok(Json(
        api.platform.agents(caller.user_id(), query.filter, query.page).await?,
    ))
}

async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(agent): Body<CreateAgent>,
) -> Result<Created<Agent>, ApiError> {
    Ok(Created(api.platform.create_agent(caller.user_id(), agent).await?))
}

async fn show(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.agent(&caller, &slug)?))
}

async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(change): Body<UpdateAgent>,
) -> Result<Json<Agent>, ApiError> {
    let updated = api.platform.update_agent(caller.user_id(), &slug, change).await?;
    updated.map(Json).ok_or_else(agent_not_found)
}

async fn remove(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<NoContent, ApiError> {
    if api.platform.delete_agent(caller.user_id(), &slug).await? {
        Ok(NoContent)
    } else {
        Err(agent_not_found())
    }
}

#[derive(Deserialize, ToSchema)]
struct DeployQuery {
    /// Whether to answer when the deploy has ended.
    #[serde(default)]
    #[schema(default = false)]
    wait: bool,
}

async fn deploy(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Query(query): Query<DeployQuery>,
) -> Result<Accepted<Agent>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    Ok(Accepted(api.platform.deploy(agent, query.wait).await?))
}

async fn stop(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<Agent>, ApiError> {
    let stopped = api.platform.stop_agent(caller.user_id(), &slug).await?;
    stopped.map(Json).ok_or_else(agent_not_found)
}

#[derive(Deserialize, ToSchema)]
struct UploadQuery {
    /// Whether to deploy the code before answering.
    #[serde(default = "yes")]
    #[schema(default = true)]
    auto_deploy: bool,
}

fn yes() -> bool {
    true
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema describes the form")]
struct CodeForm {
    /// The code as `.tar.gz`.
    #[schema(value_type = String, format = Binary)]
    file: (),
}

async fn upload_code(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Query(query): Query<UploadQuery>,
    mut form: Form<CodeForm>,
) -> Result<Json<UploadedCode>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    while let Some(part) = form.next().await? {
        if part.name() == "file" {
            let archive = part.content();
            return Ok(Json(api.platform.upload_code(agent, archive, query.auto_deploy).await?));
        }
    }
    Err(ApiError::Faults(vec![form::missing("file")]))
}
