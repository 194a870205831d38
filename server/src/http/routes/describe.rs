//! What a handler says about itself: its arguments are what a route takes, its result is what the route answers.

use axum::http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::super::error::ApiError;

/// Where the document has the answer of everything that fails.
pub(super) const PROBLEM: &str = "#/components/responses/Problem";

/// The description of a route.
pub(in super::super) struct Operation {
    pub method: Method,
    pub path: String,
    pub summary: &'static str,
    /// Whether a credential has to be shown.
    pub is_private: bool,
    pub parameters: Vec<Value>,
    /// The body that is taken.
    pub body: Option<Value>,
    /// The statuses that answer, and the bodies that they come with.
    pub answers: Vec<(u16, Value)>,
    /// The named schemas that all this refers to.
    pub schemas: Map<String, Value>,
}

/// A handler that can be described. `D` tells the numbers of arguments apart.
pub(in super::super) trait Describe<D> {
    fn describe(operation: &mut Operation);
}

/// An argument of a handler.
pub(in super::super) trait Input {
    fn describe(operation: &mut Operation);
}

/// A handler's answer where it succeeds.
pub(in super::super) trait Answer {
    fn describe(operation: &mut Operation);
}

impl Operation {
    pub fn new(method: Method, path: &str, summary: &'static str) -> Self {
        Self {
            method,
            path: path.into(),
            summary,
            is_private: false,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            schemas: Map::new(),
        }
    }

    /// Answers with a body of this type.
    pub fn answers_with(&mut self, status: u16, content_type: &str, schema: &Value) {
        let content = json!({ content_type: { "schema": schema } });
        self.answers
            .push((status, json!({ "description": reason(status), "content": content })));
    }

    /// Answers without a body.
    pub fn answers_bare(&mut self, status: u16) {
        self.answers.push((status, json!({ "description": reason(status) })));
    }

    /// May answer with a problem in these statuses.
    pub fn fails_with(&mut self, statuses: &[u16]) {
        for status in statuses {
            if !self.answers.iter().any(|(other, _)| other == status) {
                self.schema::<castari_common::Problem>();
                self.answers.push((*status, json!({ "$ref": PROBLEM })));
            }
        }
    }

    /// A reference to a type's schema.
    pub fn schema<T: ToSchema>(&mut self) -> Value {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        let parts = parts.into_iter().map(|(name, schema)| (name, json!(schema)));
        self.schemas.extend(parts);
        let name = T::name();
        self.schemas.insert(name.to_string(), json!(T::schema()));
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

fn reason(status: u16) -> &'static str {
    let known = axum::http::StatusCode::from_u16(status).ok();
    known.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

impl<A: Answer> Answer for Result<A, ApiError> {
    fn describe(operation: &mut Operation) {
        A::describe(operation);
    }
}

/// Headers are read where they have to be; there is nothing to say about them.
impl Input for HeaderMap {
    fn describe(_: &mut Operation) {}
}

/// The route says it already, but for `HEAD`.
impl Input for Method {
    fn describe(_: &mut Operation) {}
}

impl<S> Input for axum::extract::State<S> {
    fn describe(_: &mut Operation) {}
}

/// The rest of the request, for what has no schema.
impl Input for axum::extract::Request {
    fn describe(_: &mut Operation) {}
}

macro_rules! describe_handlers_of {
    ($($argument:ident),*) => {
        impl<F, Made, A, $($argument),*> Describe<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Made,
            Made: Future<Output = A>,
            A: Answer,
            $($argument: Input,)*
        {
            fn describe(operation: &mut Operation) {
                A::describe(operation);
                $($argument::describe(operation);)*
            }
        }
    };
}

describe_handlers_of!();
describe_handlers_of!(A1);
describe_handlers_of!(A1, A2);
describe_handlers_of!(A1, A2, A3);
describe_handlers_of!(A1, A2, A3, A4);
describe_handlers_of!(A1, A2, A3, A4, A5);
describe_handlers_of!(A1, A2, A3, A4, A5, A6);
