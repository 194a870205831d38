//! What holds for every route there is, found by walking the document that the server makes of its own routes.

use castari_tests::{Answer, Castari};
use reqwest::Method;
use serde_json::{Value, json};

/// The routes that need no credential; the last has a signature in its query.
const PUBLIC: [&str; 5] = [
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "PUT /api/v1/files/{id}/content",
];

/// An operation of the document.
struct Operation {
    method: Method,
    /// The path, with a value for each of its parameters.
    path: String,
    /// As in [`PUBLIC`].
    name: String,
    description: Value,
}

async fn document(castari: &Castari) -> Value {
    let answer = castari.send(castari.anonymous(Method::GET, "/openapi.json")).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, description) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            operations.push(Operation {
                path: path.split('/').map(filled).collect::<Vec<_>>().join("/"),
                name: format!("{method} {path}"),
                method,
                description: description.clone(),
            });
        }
    }
    operations
}

fn filled(segment: &str) -> &str {
    if segment.starts_with('{') { "missing" } else { segment }
}

fn assert_contract_s_error(answer: &Answer, operation: &Operation) {
    let name = &operation.name;
    assert!((400..500).contains(&answer.status), "{name}: {answer:?}");
    assert!(
        answer.header("content-type").starts_with("application/json"),
        "{name}: {answer:?}"
    );
    let body = answer.json();
    if answer.status == 422 {
        assert!(
            body["detail"].as_array().is_some_and(|faults| !faults.is_empty()),
            "{name}: {body}"
        );
    } else {
        assert!(body["detail"].is_string() && body["code"].is_string(), "{name}: {body}");
    }
    assert_has_limits(answer, operation);
    let documented = &operation.description["responses"][answer.status.to_string()];
    assert!(documented.is_object(), "{name} may not answer {}", answer.status);
}

fn assert_has_limits(answer: &Answer, operation: &Operation) {
    for header in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        assert!(
            answer.header(header).parse::<u64>().is_ok(),
            "{}: {answer:?}",
            operation.name
        );
    }
}

#[tokio::test]
async fn the_document_is_as_it_was_agreed_on() {
    let castari = Castari::start().await;
    insta::assert_json_snapshot!("openapi", document(&castari).await);
}

#[tokio::test]
async fn every_route_wants_a_credential_and_has_limits() {
    let castari = Castari::start().await;
    let mut public = Vec::new();
    for operation in operations(&document(&castari).await) {
        let answer = castari
            .send(castari.anonymous(operation.method.clone(), &operation.path))
            .await;
        assert_has_limits(&answer, &operation);
        if operation.description["security"] == json!([]) {
            public.push(operation.name);
        } else {
            assert_eq!(answer.status, 401, "{}: {answer:?}", operation.name);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert_contract_s_error(&answer, &operation);
        }
    }
    public.sort();
    assert_eq!(public, PUBLIC);
}

#[tokio::test]
async fn every_route_with_a_name_in_it_says_when_there_is_no_such_thing() {
    let castari = Castari::start().await;
    for operation in operations(&document(&castari).await) {
        if !operation.path.contains("missing") || PUBLIC.contains(&operation.name.as_str()) {
            continue;
        }
        let request = castari.anonymous(operation.method.clone(), &operation.path);
        let answer = castari.send(request.bearer_auth(castari.key())).await;
        assert_contract_s_error(&answer, &operation);
        if operation.description["requestBody"].is_null() {
            assert_eq!(answer.status, 404, "{}: {answer:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn every_body_and_query_is_checked() {
    let castari = Castari::start().await;
    for operation in operations(&document(&castari).await) {
        let request = || {
            let request = castari.anonymous(operation.method.clone(), &operation.path);
            request.bearer_auth(castari.key())
        };
        let takes_anything = &operation.description["requestBody"]["content"]["application/octet-stream"];
        if operation.description["requestBody"].is_object() && takes_anything.is_null() {
            let answer = castari
                .send(request().header("Content-Type", "text/plain").body("nonsense"))
                .await;
            assert!([404, 415].contains(&answer.status), "{}: {answer:?}", operation.name);
            assert_contract_s_error(&answer, &operation);
        }
        if operation.description["requestBody"]["content"]["application/json"].is_object() {
            for body in [json!(7), json!([]), json!({"prompt": 7, "name": 7})] {
                let answer = castari.send(request().json(&body)).await;
                assert_contract_s_error(&answer, &operation);
            }
        }
        for parameter in operation.description["parameters"].as_array().unwrap() {
            let (place, kind) = (&parameter["in"], &parameter["schema"]["type"]);
            if place == "query" && (kind == "integer" || kind == "boolean") {
                let name = parameter["name"].as_str().unwrap();
                let answer = castari.send(request().query(&[(name, "nonsense")])).await;
                assert_contract_s_error(&answer, &operation);
            }
        }
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let castari = Castari::start().await;
    castari.get("/agents/missing").await;
    let answer = castari.send(castari.anonymous(Method::GET, "/metrics")).await;
    assert_eq!(answer.status, 200);
    let counted = r#"castari_http_requests_total{method="GET",route="/api/v1/agents/{slug}",status="404"} 1"#;
    assert!(answer.text.contains(counted), "{}", answer.text);
    assert!(answer.text.contains("castari_invocations_running 0"), "{}", answer.text);
    assert!(!answer.text.contains(castari.key()));
}
