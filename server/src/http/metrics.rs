//! `/metrics`: what the server counts, in the text format that Prometheus reads.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use serde_json::json;

use super::Api;
use super::routes::{Answer, Operation, Routes};

/// The format, as its specification names it (OpenMetrics 1.0.0).
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The bounds of the histogram's buckets, in seconds.
const BOUNDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Labels {
    method: String,
    route: String,
    status: u16,
}

/// What is counted, and the registry that prints it.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    durations: Histogram,
    invocations: Gauge,
    builds: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("castari");
        let requests = Family::default();
        let durations = Histogram::new(BOUNDS);
        let (invocations, builds) = (Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests that were answered", requests.clone());
        let help = "How long it took until an answer began";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, durations.clone());
        registry.register("invocations_running", "Invocations that run", invocations.clone());
        registry.register("builds_running", "Builds that run", builds.clone());
        Self {
            registry,
            requests,
            durations,
            invocations,
            builds,
        }
    }
}

pub(super) fn routes() -> Routes {
    Routes::new().get("/metrics", "Show what the server counts", show)
}

/// Counts a request and how long its answer took to begin.
pub(super) async fn count(api: &Api, request: Request, inner: impl AsyncFnOnce(Request) -> Response) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let method = name(request.method()).to_owned();
    let start = Instant::now();
    let response = inner(request).await;
    let status = response.status().as_u16();
    api.metrics.durations.observe(start.elapsed().as_secs_f64());
    let labels = Labels { method, route, status };
    api.metrics.requests.get_or_create(&labels).inc();
    response
}

/// A method's name. Those that clients make up are counted together, as each name takes memory for good.
fn name(method: &Method) -> &str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if KNOWN.contains(method) {
        method.as_str()
    } else {
        "other"
    }
}

async fn show(State(api): State<Api>) -> Counters {
    let load = api.platform.load();
    api.metrics.invocations.set(load.invocations);
    api.metrics.builds.set(load.builds);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &api.metrics.registry);
    Counters(text)
}

/// The counters as text.
struct Counters(String);

impl Answer for Counters {
    fn describe(operation: &mut Operation) {
        operation.answers_with(200, FORMAT, &json!({ "type": "string" }));
    }
}

impl IntoResponse for Counters {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, FORMAT)], self.0).into_response()
    }
}
