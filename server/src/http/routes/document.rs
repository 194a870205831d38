//! The OpenAPI document, put together of the routes' descriptions.

use serde_json::{Map, Value, json};

use super::Operation;

/// Headers that every answer has.
const LIMITS: [(&str, &str); 3] = [
    ("X-RateLimit-Limit", "How many requests a minute are let through."),
    ("X-RateLimit-Remaining", "How many are left in this minute."),
    (
        "X-RateLimit-Reset",
        "When the next minute begins, in seconds since the Unix epoch.",
    ),
];

/// The document of these operations, OpenAPI 3.1.
pub(in super::super) fn document(operations: Vec<Operation>) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for mut operation in operations {
        operation.fails_with(&[400, 404, 429, 500, 503]);
        schemas.append(&mut std::mem::take(&mut operation.schemas));
        let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_lowercase();
        path[method] = entry(operation);
    }
    schemas.sort_keys();
    let headers = LIMITS.map(|(name, description)| {
        let header = json!({ "description": description, "required": true, "schema": { "type": "integer" } });
        (name.to_owned(), header)
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Castari",
            "description": "Runs AI agents in sandboxes on one machine.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": Map::from_iter(headers),
            "responses": {
                "Problem": {
                    "description": "What is wrong, for a person and for a program",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                    "headers": limits(),
                },
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a JWT of the configured issuer.",
                },
            },
        },
    })
}

fn entry(operation: Operation) -> Value {
    let mut answers: Vec<(u16, Value)> = operation.answers;
    answers.sort_by_key(|(status, _)| *status);
    let limits = limits();
    let answers: Map<String, Value> = answers
        .into_iter()
        .map(|(status, mut answer)| {
            if answer.get("$ref").is_none() {
                answer["headers"] = limits.clone();
            }
            (status.to_string(), answer)
        })
        .collect();
    let mut parameters = path_parameters(&operation.path);
    parameters.extend(operation.parameters);
    let mut entry = json!({
        "operationId": name(operation.method.as_str(), &operation.path),
        "summary": operation.summary,
        "tags": [tag(&operation.path)],
        "parameters": parameters,
        "responses": answers,
        // None is needed where the list is empty.
        "security": if operation.is_private { json!([{ "bearer": [] }]) } else { json!([]) },
    });
    if let Some(body) = operation.body {
        entry["requestBody"] = body;
    }
    entry
}

/// The headers of every answer.
fn limits() -> Value {
    let reference = |name| json!({ "$ref": format!("#/components/headers/{name}") });
    LIMITS
        .map(|(name, _)| (name.to_owned(), reference(name)))
        .into_iter()
        .collect()
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect()
}

/// What an operation is called: method and path, as `get_agents_slug`.
fn name(method: &str, path: &str) -> String {
    let path = path.strip_prefix(castari_common::BASE_PATH).unwrap_or(path);
    let words = path.split(|character: char| !character.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", method.to_lowercase(), words.join("_"))
}

/// The group that an operation is shown in: the first part of its path that is fixed.
fn tag(path: &str) -> &str {
    let path = path.strip_prefix(castari_common::BASE_PATH).unwrap_or("/server");
    let mut segments = path.split('/').skip(1);
    segments.find(|segment| !segment.starts_with('{')).unwrap_or("server")
}
