//! `/usage`

use axum::Json;
use axum::extract::State;
use castari_common::usage::{DailyUsageList, Usage, UsageFilter};

use super::Api;
use super::caller::{Caller, agent_not_found};
use super::check::Query;
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/usage", "Add up the usage of the last days", total)
        .get("/usage/daily", "List the usage of the last days, day by day", daily)
}

async fn total(
    State(api): State<Api>,
    caller: Caller,
    Query(filter): Query<UsageFilter>,
) -> Result<Json<Usage>, ApiError> {
    let usage = api.platform.usage(caller.user_id(), filter).await?;
    usage.map(Json).ok_or_else(agent_not_found)
}

async fn daily(
    State(api): State<Api>,
    caller: Caller,
    Query(filter): Query<UsageFilter>,
) -> Result<Json<DailyUsageList>, ApiError> {
    let usage = api.platform.daily_usage(caller.user_id(), filter).await?;
    usage.map(Json).ok_or_else(agent_not_found)
}
