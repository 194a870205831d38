//! `/agents/{slug}/deployments`

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use castari_common::Page;
use castari_common::deployments::DeploymentList;
use futures::stream;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answers::Text;
use super::caller::{Caller, agent_not_found};
use super::check::{Path, Query};
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/agents/{slug}/deployments", "List an agent's deployments", list)
        .get("/agents/{slug}/deployments/{id}/logs", "Read a deployment's log", logs)
}

async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Query(page): Query<Page>,
) -> Result<Json<DeploymentList>, ApiError> {
    let listed = api.platform.deployments(caller.user_id(), &slug, page).await?;
    listed.map(Json).ok_or_else(agent_not_found)
}

#[derive(Deserialize, ToSchema)]
struct LogsQuery {
    /// Whether to go on until the deployment ends.
    #[serde(default)]
    #[schema(default = false)]
    follow: bool,
}

async fn logs(
    State(api): State<Api>,
    caller: Caller,
    Path([slug, id]): Path<2>,
    Query(query): Query<LogsQuery>,
) -> Result<Text, ApiError> {
    let log = api
        .platform
        .deployment_log(caller.user_id(), &slug, &id, query.follow)
        .await?;
    let log = log.ok_or_else(|| ApiError::not_found("deployment_not_found", "Deployment not found"))?;
    let pieces = stream::try_unfold((log, api.closing.clone()), async |(mut log, closing)| {
        tokio::select! {
            piece = log.next() => piece.map(|piece| piece.map(|piece| (piece, (log, closing)))),
            () = closing.cancelled() => Ok(None),
        }
    });
    Ok(Text(Body::from_stream(pieces)))
}
