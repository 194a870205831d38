//! `/agents`

use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use castari_common::agents::{Agent, AgentFilter, AgentList, CreateAgent, UpdateAgent, UploadedCode};
use castari_common::{Fault, Page};
use futures::TryStreamExt;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::caller::{Caller, agent_not_found};
use super::check::{Body, Path, Query};
use super::error::ApiError;
use crate::platform::PlatformError;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/agents", get(list).post(create))
        .route("/agents/{slug}", get(show).patch(update).delete(remove))
        .route("/agents/{slug}/deploy", post(deploy))
        .route("/agents/{slug}/redeploy", post(deploy))
        .route(
            "/agents/{slug}/upload-code",
            post(upload_code).layer(DefaultBodyLimit::disable()),
        )
        .route("/agents/{slug}/sandbox", delete(stop))
        // Where the published SDK sends it.
        .route("/{slug}/sandbox", delete(stop))
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
) -> Result<(StatusCode, Json<Agent>), ApiError> {
    let agent = api.platform.create_agent(caller.user_id(), agent).await?;
    Ok((StatusCode::CREATED, Json(agent)))
}

async fn show(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.agent(&caller, &slug).await?))
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

async fn remove(State(api): State<Api>, caller: Caller, Path([slug]): Path<1>) -> Result<StatusCode, ApiError> {
    if api.platform.delete_agent(caller.user_id(), &slug).await? {
        Ok(StatusCode::NO_CONTENT)
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
) -> Result<(StatusCode, Json<Agent>), ApiError> {
    let agent = api.agent(&caller, &slug).await?;
    let agent = api.platform.deploy(agent, query.wait).await?;
    Ok((StatusCode::ACCEPTED, Json(agent)))
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

async fn upload_code(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Json<UploadedCode>, ApiError> {
    let agent = api.agent(&caller, &slug).await?;
    let mut form = Multipart::from_request(request, &api).await.map_err(|_| {
        let detail = "The body must be a multipart form with a field `file`";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    })?;
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        if field.name() == Some("file") {
            let archive = field.map_err(malformed);
            return Ok(Json(api.platform.upload_code(agent, archive, query.auto_deploy).await?));
        }
    }
    Err(ApiError::Faults(vec![Fault {
        loc: vec![json!("body"), json!("file")],
        msg: "field required".into(),
        r#type: "value_error.missing".into(),
    }]))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn malformed(error: axum::extract::multipart::MultipartError) -> PlatformError {
    PlatformError::rejected(
        "malformed_multipart",
        format!("The multipart form cannot be read: {}", error.body_text()),
    )
}
