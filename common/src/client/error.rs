use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::{Detail, Problem};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address or the key cannot be used in a request.
    #[error("{0}")]
    Unusable(String),
    /// No answer, or one that broke off.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The answer is not what the contract says.
    #[error("the server answered something that this client cannot read: {0}")]
    Garbled(String),
}

/// What the server said no with.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The contract's code, where there is one.
    pub code: Option<String>,
    /// What is wrong.
    pub detail: Detail,
    /// How long to wait before asking again.
    pub retry_after: Option<Duration>,
    /// The whole body.
    pub body: Value,
}

impl ClientError {
    /// An answer that cannot be read, and why.
    pub(crate) fn garbled(error: impl std::fmt::Display) -> Self {
        Self::Garbled(error.to_string())
    }

    /// The server's refusal, where that is what this is.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// A connection that did not come about or broke off, with all that caused it.
impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        let mut message = String::new();
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = source {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&error.to_string());
            source = error.source();
        }
        Self::Unreachable(message)
    }
}

/// Reads an answer that is no success.
pub(super) async fn refusal(answer: Response) -> reqwest::Result<Refusal> {
    let status = answer.status();
    let retry_after = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let text = answer.text().await?;
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let problem = serde_json::from_value::<Problem>(body.clone()).unwrap_or_else(|_| Problem {
        detail: Detail::Sentence(unexplained(status)),
        code: None,
    });
    Ok(Refusal {
        status: status.as_u16(),
        code: problem.code,
        detail: problem.detail,
        retry_after,
        body,
    })
}

/// What to say of a status whose body is not the contract's, such as a proxy's.
fn unexplained(status: StatusCode) -> String {
    format!("the server answered {status} without an explanation")
}
