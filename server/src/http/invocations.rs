//! `/agents/{slug}/invoke`, `/agents/{slug}/stream` and `/invocations`

use axum::Json;
use axum::extract::State;
use axum::response::sse::Event;
use castari_common::Page;
use castari_common::invocations::{
    Invocation, InvocationEvent, InvocationFilter, InvocationList, InvocationResponse, Invoke, MAX_PROMPT_BYTES, Piece,
};
use futures::stream;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::answers::{Events, Text};
use super::caller::{Caller, agent_not_found};
use super::check::{Body, Path, Query, limit_bytes};
use super::error::ApiError;
use super::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .post("/agents/{slug}/invoke", "Run an agent and wait for its answer", invoke)
        .post(
            "/agents/{slug}/stream",
            "Run an agent and follow what it writes",
            stream,
        )
        .get(
            "/agents/{slug}/invocations",
            "List an agent's invocations",
            list_of_agent,
        )
        .get("/invocations", "List the invocations of all agents", list)
        .get("/invocations/{id}", "Show an invocation", show)
        .get(
            "/invocations/{id}/logs",
            "Read what an invocation wrote to stderr",
            logs,
        )
}

#[derive(Deserialize, ToSchema)]
struct ListQuery {
    #[serde(flatten)]
    filter: InvocationFilter,
    #[serde(flatten)]
    page: Page,
}

async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<InvocationList>, ApiError> {
    let listed = api.platform.invocations(caller.user_id(), query.filter, query.page);
    listed.await?.map(Json).ok_or_else(agent_not_found)
}

async fn list_of_agent(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Query(query): Query<ListQuery>,
) -> Result<Json<InvocationList>, ApiError> {
    let agent = api.agent(&caller, &slug)?;
    Ok(Json(
        api.platform.agent_invocations(&agent, query.filter, query.page).await?,
    ))
}

async fn show(State(api): State<Api>, caller: Caller, Path([id]): Path<1>) -> Result<Json<Invocation>, ApiError> {
    let invocation = api.platform.invocation(caller.user_id(), &id).await?;
    invocation.map(Json).ok_or_else(invocation_not_found)
}

async fn logs(State(api): State<Api>, caller: Caller, Path([id]): Path<1>) -> Result<Text, ApiError> {
    let log = api
        .platform
        .invocation_log(caller.user_id(), &id)
        .await?
        .ok_or_else(invocation_not_found)?;
    Ok(log.into())
}

fn invocation_not_found() -> ApiError {
    ApiError::not_found("invocation_not_found", "Invocation not found")
}

async fn invoke(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(invoke): Body<Invoke>,
) -> Result<Json<InvocationResponse>, ApiError> {
    limit_bytes("prompt", &invoke.prompt, MAX_PROMPT_BYTES)?;
    let agent = api.agent(&caller, &slug)?;
    Ok(Json(api.platform.invoke(agent, invoke).await?))
}

async fn stream(
    State(api): State<Api>,
    caller: Caller,
    Path([slug]): Path<1>,
    Body(invoke): Body<Invoke>,
) -> Result<Events, ApiError> {
    limit_bytes("prompt", &invoke.prompt, MAX_PROMPT_BYTES)?;
    let agent = api.agent(&caller, &slug)?;
    let events = api.platform.stream(agent, invoke).await?;
    let events = stream::unfold(events, async |mut events| Some((to_sse(events.recv().await?), events)));
    Ok(Events::new(events))
}

fn to_sse(event: InvocationEvent) -> Result<Event, axum::Error> {
    match event {
        InvocationEvent::Start(started) => Event::default().event("start").json_data(started),
        InvocationEvent::Output(text) => Event::default().event("output").json_data(Piece { text }),
        InvocationEvent::Log(text) => Event::default().event("log").json_data(Piece { text }),
        InvocationEvent::Done(response) => Event::default().event("done").json_data(response),
        InvocationEvent::Error(failure) => Event::default().event("error").json_data(failure),
    }
}
