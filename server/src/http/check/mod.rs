//! Extractors that check a request against its type's schema, the same that the documentation is made from, and report
//! every fault at once.

mod faults;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::Api;
use super::error::ApiError;
use super::routes::{Input, Operation};

/// A JSON body that keeps to its schema.
pub(super) struct Body<T>(pub T);

/// A query that keeps to its schema. What the schema does not know is ignored.
pub(super) struct Query<T>(pub T);

/// The values of a path, in their order.
pub(super) struct Path<const N: usize>(pub [String; N]);

impl<T: ToSchema + DeserializeOwned + 'static> FromRequest<Api> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            let detail = "The body must be JSON, with `Content-Type: application/json`";
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                detail,
            ));
        }
        let bytes = Bytes::from_request(request, api)
            .await
            .map_err(|error| unreadable(&error))?;
        if bytes.is_empty() {
            return Err(ApiError::Faults(vec![faults::missing(vec![json!("body")])]));
        }
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::bad_request("malformed_json", format!("The body is not valid JSON: {error}")))?;
        checked(value, "body").map(Self)
    }
}

impl<T: ToSchema + DeserializeOwned + 'static> FromRequestParts<Api> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let schema = schema::<T>();
        let mut fields = Map::new();
        let query = parts.uri.query().unwrap_or_default();
        for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
            if let Some(property) = property(&schema.document, &name) {
                fields.insert(name.into_owned(), typed(property, &text));
            }
        }
        checked(Value::Object(fields), "query").map(Self)
    }
}

impl<const N: usize> FromRequestParts<Api> for Path<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let not_found = || ApiError::not_found("not_found", "Not found");
        let params = RawPathParams::from_request_parts(parts, api)
            .await
            .map_err(|_| not_found())?;
        let values: Vec<String> = params.iter().map(|(_, value)| value.to_owned()).collect();
        values.try_into().map(Self).map_err(|_| not_found())
    }
}

impl<T: ToSchema> Input for Body<T> {
    fn describe(operation: &mut Operation) {
        let schema = operation.schema::<T>();
        operation.body = Some(json!({ "required": true, "content": { "application/json": { "schema": schema } } }));
        operation.fails_with(&[400, 413, 415, 422]);
    }
}

impl<T: ToSchema + 'static> Input for Query<T> {
    fn describe(operation: &mut Operation) {
        let schema = schema::<T>();
        for part in parts(&schema.document) {
            let needed = part.get("required").and_then(Value::as_array);
            for (name, property) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let mut property = property.clone();
                let description = property.as_object_mut().and_then(|fields| fields.remove("description"));
                operation.parameters.push(json!({
                    "name": name,
                    "in": "query",
                    "required": needed.is_some_and(|names| names.iter().any(|needed| needed == name)),
                    "description": description,
                    "schema": property,
                }));
            }
        }
        operation.fails_with(&[422]);
    }
}

impl<const N: usize> Input for Path<N> {
    /// The path itself says what its parameters are.
    fn describe(operation: &mut Operation) {
        operation.fails_with(&[404]);
    }
}

/// Whether a body is JSON by its type; one without a type is taken for it.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let kind = kind
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn unreadable(error: &BytesRejection) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("The body is larger than {} MiB", super::MAX_BODY >> 20);
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
    }
    ApiError::bad_request("malformed_body", "The body could not be read to its end")
}

/// A value that keeps to the schema of its type; `place` is where it came from.
pub(super) fn checked<T: ToSchema + DeserializeOwned + 'static>(
    value: Value,
    place: &'static str,
) -> Result<T, ApiError> {
    let faults = faults::find(&schema::<T>().validator, &value, place);
    if !faults.is_empty() {
        return Err(ApiError::Faults(faults));
    }
    // What the schema lets through and the type does not, such as a number beyond its range.
    serde_json::from_value(with_integers(value))
        .map_err(|error| ApiError::Faults(vec![faults::other(place, &error.to_string())]))
}

/// Checks the length of a body's field where the contract counts in bytes: a schema counts in characters.
pub(super) fn limit_bytes(field: &str, text: &str, most: usize) -> Result<(), ApiError> {
    if text.len() <= most {
        return Ok(());
    }
    Err(ApiError::Faults(vec![faults::too_many_bytes(field, most)]))
}

/// A body with `5.0` as `5`: to a schema they are the same integer.
fn with_integers(value: Value) -> Value {
    /// Up to here a float tells one integer from the next.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, with_integers(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(with_integers).collect(),
        Value::Number(number) => match number.as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and within what a float is exact for"
            )]
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => (float as i64).into(),
            _ => Value::Number(number),
        },
        other => other,
    }
}

struct Schema {
    document: Value,
    validator: Validator,
}

/// The schema of a type, made once.
fn schema<T: ToSchema + 'static>() -> Arc<Schema> {
    static SCHEMAS: OnceLock<RwLock<HashMap<TypeId, Arc<Schema>>>> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(RwLock::default);
    let id = TypeId::of::<T>();
    if let Some(schema) = schemas.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return Arc::clone(schema);
    }
    let schema = Arc::new(make_schema::<T>());
    schemas
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(id, Arc::clone(&schema));
    schema
}

#[expect(
    clippy::expect_used,
    reason = "a schema that is none is a mistake in a type, which the tests find"
)]
fn make_schema<T: ToSchema>() -> Schema {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts: Map<String, Value> = parts.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    let mut document = json!(T::schema());
    document["components"] = json!({"schemas": parts});
    let validator = jsonschema::draft202012::new(&document).expect("a type's schema is valid");
    Schema { document, validator }
}

/// The schemas that a type's is put together of: itself, and what it includes.
fn parts(document: &Value) -> impl Iterator<Item = &Value> {
    let included = document.get("allOf").and_then(Value::as_array);
    std::iter::once(document)
        .chain(included.into_iter().flatten())
        .filter_map(|part| match part.get("$ref").and_then(Value::as_str) {
            Some(reference) => document.pointer(reference.trim_start_matches('#')),
            None => Some(part),
        })
}

/// The schema of a field, also where a type is put together of several.
fn property<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    parts(document).find_map(|part| part.get("properties")?.get(name))
}

/// A query's text as what its schema wants it to be, where it can be that.
fn typed(property: &Value, text: &str) -> Value {
    let wants = |kind: &str| match property.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    };
    let text_value = || Value::String(text.into());
    if wants("integer") {
        return text.parse::<i64>().map_or_else(|_| text_value(), Value::from);
    }
    if wants("boolean") {
        // As FastAPI reads them.
        return match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" | "t" | "y" => Value::Bool(true),
            "false" | "0" | "off" | "no" | "f" | "n" => Value::Bool(false),
            _ => text_value(),
        };
    }
    text_value()
}
