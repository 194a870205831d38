//! A small server that answers as the contract says, for journeys. It holds what it is told to hold: a test lets a
//! deploy or an answer go on when it is ready to watch it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Multipart, Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use castari_common::agents::{Agent, AgentStatus, CreateAgent, SourceType};
use castari_common::deployments::{Deployment, DeploymentStatus};
use castari_common::invocations::{Invocation, InvocationStatus, Invoke};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

use super::fixtures;

pub type Shared = Arc<Mock>;

pub struct Mock {
    pub data: Mutex<Data>,
    changes: broadcast::Sender<Value>,
    /// How far deploys and answers may go: the test raises it.
    pub go: watch::Sender<u32>,
    pub requests: Mutex<Vec<String>>,
}

#[derive(Default)]
pub struct Data {
    pub agents: Vec<Agent>,
    pub deployments: Vec<Deployment>,
    pub invocations: Vec<Invocation>,
    pub uploaded: Vec<u8>,
    pub fail_next_deploy: bool,
    pub cancelled: usize,
    /// Whether it is like a server that has neither a stream of changes nor deployments.
    pub tells_no_changes: bool,
    pub answers_garbage: bool,
}

impl Mock {
    pub fn new() -> Shared {
        let data = Mutex::default();
        Arc::new(Self {
            data,
            changes: broadcast::channel(64).0,
            go: watch::channel(0).0,
            requests: Mutex::default(),
        })
    }

    /// Serves on that port, or on any; says where, and how to stop.
    pub async fn serve(self: &Shared, port: u16) -> (u16, AbortHandle) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = router(self.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (port, server.abort_handle())
    }

    pub fn change(&self, kind: &str) {
        let _ = self.changes.send(json!({"kind": kind, "slug": null, "id": null}));
    }

    /// Ends the streams of changes that are open.
    pub fn end_connections(&self) {
        let _ = self.changes.send(Value::Null);
    }

    fn agent(&self, slug: &str) -> Option<Agent> {
        self.data
            .lock()
            .unwrap()
            .agents
            .iter()
            .find(|agent| agent.slug == slug)
            .cloned()
    }

    fn set(&self, slug: &str, status: AgentStatus) {
        for agent in self
            .data
            .lock()
            .unwrap()
            .agents
            .iter_mut()
            .filter(|agent| agent.slug == slug)
        {
            agent.status = status;
        }
        self.change("agent");
    }

    async fn wait_for(&self, step: u32) {
        self.go.subscribe().wait_for(|go| *go >= step).await.unwrap();
    }
}

fn router(mock: Shared) -> Router {
    let api = Router::new()
        .route("/agents", get(agents).post(create))
        .route("/agents/{slug}", get(agent).delete(remove))
        .route("/agents/{slug}/deploy", post(deploy))
        .route("/agents/{slug}/redeploy", post(deploy))
        .route("/agents/{slug}/sandbox", delete(stop))
        .route("/agents/{slug}/upload-code", post(upload))
        .route("/agents/{slug}/stream", post(stream_answer))
        .route("/agents/{slug}/deployments", get(deployments))
        .route("/agents/{slug}/deployments/{id}/logs", get(log))
        .route("/agents/{slug}/invocations", get(invocations))
        .route("/invocations", get(invocations))
        .route("/invocations/{id}", get(invocation))
        .route("/invocations/{id}/logs", get(|| async { "reading the prompt\n" }))
        .route("/events", get(events));
    let noted = mock.clone();
    Router::new()
        .nest("/api/v1", api)
        .with_state(mock)
        .layer(axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                noted
                    .requests
                    .lock()
                    .unwrap()
                    .push(format!("{} {}", request.method(), request.uri()));
                next.run(request)
            },
        ))
}

fn list(name: &str, rows: &impl serde::Serialize, total: usize) -> Json<Value> {
    Json(json!({name: rows, "meta": {"total": total, "limit": 100, "offset": 0, "has_more": false}}))
}

fn refuse(status: StatusCode, code: &str, detail: &str) -> Response {
    (status, Json(json!({"detail": detail, "code": code}))).into_response()
}

async fn agents(State(mock): State<Shared>) -> Json<Value> {
    let data = mock.data.lock().unwrap();
    list("agents", &data.agents, data.agents.len())
}

async fn agent(State(mock): State<Shared>, Path(slug): Path<String>) -> Response {
    match mock.agent(&slug) {
        Some(agent) => Json(agent).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "not_found", "Agent not found"),
    }
}

async fn create(State(mock): State<Shared>, Json(wanted): Json<CreateAgent>) -> Response {
    let mut agent = fixtures::agent(1, &wanted.name, AgentStatus::Draft);
    agent.slug = wanted.slug.unwrap_or(agent.slug);
    agent.source_type = wanted.source_type.unwrap_or(SourceType::Git);
    let mut data = mock.data.lock().unwrap();
    if data.agents.iter().any(|other| other.slug == agent.slug) {
        return refuse(StatusCode::BAD_REQUEST, "slug_taken", "The slug is taken");
    }
    agent.id = format!("agt_{}", data.agents.len());
    data.agents.insert(0, agent.clone());
    drop(data);
    mock.change("agent");
    (StatusCode::CREATED, Json(agent)).into_response()
}

async fn remove(State(mock): State<Shared>, Path(slug): Path<String>) -> StatusCode {
    mock.data.lock().unwrap().agents.retain(|agent| agent.slug != slug);
    mock.change("agent");
    StatusCode::NO_CONTENT
}

async fn stop(State(mock): State<Shared>, Path(slug): Path<String>) -> Json<Agent> {
    mock.set(&slug, AgentStatus::Stopped);
    Json(mock.agent(&slug).unwrap())
}

async fn upload(State(mock): State<Shared>, Path(slug): Path<String>, mut form: Multipart) -> Json<Value> {
    let file = form.next_field().await.unwrap().unwrap().bytes().await.unwrap();
    mock.data.lock().unwrap().uploaded = file.to_vec();
    let agent = mock.agent(&slug).unwrap();
    Json(json!({"agent_id": agent.id, "source_hash": "0f", "status": "draft", "sandbox_id": null, "message": "ok"}))
}

async fn deploy(State(mock): State<Shared>, Path(slug): Path<String>) -> Response {
    let id = {
        let mut data = mock.data.lock().unwrap();
        let id = format!("dep_{}", data.deployments.len() + 1);
        let mut deployment = fixtures::deployments().remove(0);
        deployment.id.clone_from(&id);
        data.deployments.insert(0, deployment);
        id
    };
    mock.set(&slug, AgentStatus::Deploying);
    mock.change("deployment");
    let (worker, agent) = (mock.clone(), slug.clone());
    tokio::spawn(async move {
        worker.wait_for(2).await;
        let failed = {
            let mut data = worker.data.lock().unwrap();
            let failed = std::mem::take(&mut data.fail_next_deploy);
            let deployment = data
                .deployments
                .iter_mut()
                .find(|deployment| deployment.id == id)
                .unwrap();
            deployment.finished_at = Some(fixtures::now());
            deployment.status = if failed {
                DeploymentStatus::Failed
            } else {
                DeploymentStatus::Succeeded
            };
            deployment.error = failed.then(|| "npm install failed: no such package".into());
            failed
        };
        worker.set(
            &agent,
            if failed {
                AgentStatus::Error
            } else {
                AgentStatus::Active
            },
        );
        worker.change("deployment");
    });
    (StatusCode::ACCEPTED, Json(mock.agent(&slug).unwrap())).into_response()
}

async fn deployments(State(mock): State<Shared>) -> Response {
    let data = mock.data.lock().unwrap();
    if data.tells_no_changes {
        return refuse(StatusCode::NOT_FOUND, "not_found", "Not Found");
    }
    list("deployments", &data.deployments, data.deployments.len()).into_response()
}

async fn log(State(mock): State<Shared>, Query(query): Query<Value>) -> Response {
    if query.get("follow").is_none() {
        return "npm ci\nadded 57 packages\n".into_response();
    }
    let pieces = stream::iter([(1, "npm ci\n"), (2, "added 57 packages\n")]).then(move |(step, piece)| {
        let mock = mock.clone();
        async move {
            mock.wait_for(step).await;
            Ok::<_, Infallible>(Bytes::from(piece))
        }
    });
    Body::from_stream(pieces).into_response()
}

/// Counts when an answer is given up before its end.
struct Unfinished(Shared, bool);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.1 {
            self.0.data.lock().unwrap().cancelled += 1;
            self.0.change("invocation");
        }
    }
}

async fn stream_answer(
    State(mock): State<Shared>,
    Path(slug): Path<String>,
    Json(invoke): Json<Invoke>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut record = fixtures::invocation(1, InvocationStatus::Completed, &slug, &invoke.prompt, "Hello, world");
    record.id = "inv_0009".into();
    let events = stream::unfold((0, Unfinished(mock, false)), move |(step, mut guard)| {
        let record = record.clone();
        async move {
            let event = match step {
                0 => Event::default()
                    .event("start")
                    .data(r#"{"invocation_id":"inv_0009","session_id":"s","sandbox_id":null}"#),
                1 => Event::default().event("output").data(r#"{"text":"Hello, "}"#),
                2 => {
                    guard.0.wait_for(3).await;
                    Event::default().event("log").data(r#"{"text":"thinking\n"}"#)
                }
                3 => Event::default().event("output").data(r#"{"text":"world"}"#),
                4 => {
                    guard.1 = true;
                    guard.0.data.lock().unwrap().invocations.insert(0, record);
                    guard.0.change("invocation");
                    let response = serde_json::to_string(&fixtures::response()).unwrap();
                    Event::default().event("done").data(response)
                }
                _ => return None,
            };
            Some((Ok(event), (step + 1, guard)))
        }
    });
    Sse::new(events)
}

async fn invocations(State(mock): State<Shared>) -> Response {
    let data = mock.data.lock().unwrap();
    if data.answers_garbage {
        return "<html>\x1b[31m".into_response();
    }
    list("invocations", &data.invocations, data.invocations.len()).into_response()
}

async fn invocation(State(mock): State<Shared>, Path(id): Path<String>) -> Response {
    match mock
        .data
        .lock()
        .unwrap()
        .invocations
        .iter()
        .find(|invocation| invocation.id == id)
    {
        Some(invocation) => Json(invocation.clone()).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "not_found", "Invocation not found"),
    }
}

async fn events(State(mock): State<Shared>) -> Response {
    if mock.data.lock().unwrap().tells_no_changes {
        return refuse(StatusCode::NOT_FOUND, "not_found", "Not Found");
    }
    let changes = stream::unfold(mock.changes.subscribe(), async |mut changes| {
        let change = changes.recv().await.ok().filter(|change| !change.is_null())?;
        Some((Ok::<_, Infallible>(Event::default().data(change.to_string())), changes))
    });
    Sse::new(changes).into_response()
}
