//! Errors as the contract shows them.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use castari_common::invocations::InvocationFailure;
use castari_common::{Detail, Fault, Problem};

use crate::platform::PlatformError;

/// Why a request was not met.
#[derive(Debug)]
pub(super) enum ApiError {
    /// A sentence and a code.
    Problem {
        status: StatusCode,
        code: &'static str,
        detail: String,
    },
    /// Everything that breaks the schema.
    Faults(Vec<Fault>),
    /// The invocation ran, and failed.
    InvocationFailed(Box<InvocationFailure>),
    /// What the client may not see; [`super::catch`] logs it and answers.
    Internal(PlatformError),
}

/// An internal error on its way to the log.
#[derive(Clone)]
pub(super) struct Internal(pub Arc<PlatformError>);

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Problem {
            status,
            code,
            detail: detail.into(),
        }
    }

    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }
}

impl From<PlatformError> for ApiError {
    fn from(error: PlatformError) -> Self {
        match error {
            PlatformError::Rejected { code, detail } => Self::bad_request(code, detail),
            PlatformError::Invalid { field, fault } => Self::Faults(vec![body_fault(field, fault, "value_error")]),
            PlatformError::Missing(field) => {
                Self::Faults(vec![body_fault(field, "field required".into(), "value_error.missing")])
            }
            PlatformError::NotFound { code, detail } => Self::not_found(code, detail),
            PlatformError::TooLarge(detail) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            PlatformError::InvocationFailed(failure) => Self::InvocationFailed(failure),
            PlatformError::ShuttingDown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "shutting_down",
                "The server is shutting down",
            ),
            internal => Self::Internal(internal),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Problem { status, code, detail } => problem(status, code, detail),
            Self::Faults(faults) => {
                let body = Problem {
                    detail: Detail::Faults(faults),
                    code: None,
                };
                (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
            }
            Self::InvocationFailed(failure) => (StatusCode::INTERNAL_SERVER_ERROR, Json(failure)).into_response(),
            Self::Internal(error) => {
                let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
                response.extensions_mut().insert(Internal(Arc::new(error)));
                response
            }
        }
    }
}

fn body_fault(field: &str, msg: String, kind: &str) -> Fault {
    Fault {
        loc: vec!["body".into(), field.into()],
        msg,
        r#type: kind.into(),
    }
}

/// A sentence and a code.
pub(super) fn problem(status: StatusCode, code: &str, detail: String) -> Response {
    let body = Problem {
        detail: Detail::Sentence(detail),
        code: Some(code.into()),
    };
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
