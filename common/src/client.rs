use std::time::Duration;

use futures::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sse_stream::{Sse, SseStream};

use crate::{BASE_PATH, Detail, Problem};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the API. Clones share their connections.
///
/// Every call fails with [`ClientError::Unreachable`] when no answer comes, with [`ClientError::Refused`] when the
/// server says no, and with [`ClientError::Garbled`] when the answer is not what the contract says.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

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

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_decode() {
            return Self::garbled(error);
        }
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

impl Client {
    /// A client of the server at `address`, such as `http://127.0.0.1:2278`, that shows `key` as its credential.
    ///
    /// # Errors
    /// [`ClientError::Unusable`] when the address is no HTTP URL or the key cannot stand in a header.
    pub fn new(address: &str, key: &str) -> Result<Self, ClientError> {
        let base = Url::parse(address)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ClientError::Unusable(format!("`{address}` is not an http:// or https:// address")))?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| ClientError::Unusable("the API key has characters that no key has".into()))?;
        authorization.set_sensitive(true);
        // Another part of the process may have chosen a provider already: then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("castari/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            base,
            authorization,
        })
    }

    /// The address that this client talks to.
    #[must_use]
    pub fn address(&self) -> &Url {
        &self.base
    }

    /// A request to a path below the API's base, given as its segments, which are escaped.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            // An address that names the API's base already, as the hosted service's clients do, is as good.
            if !self.base.path().trim_end_matches('/').ends_with(BASE_PATH) {
                segments.extend(BASE_PATH.split('/').skip(1));
            }
            segments.extend(path);
        }
        self.authorized(method, url)
    }

    /// A request to a path at the server's root.
    pub(crate) fn outside_api(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.authorized(method, url)
    }

    /// A request to an address that the server named, which is not shown the key.
    pub(crate) fn elsewhere(&self, method: Method, address: &str) -> Result<RequestBuilder, ClientError> {
        let url = Url::parse(address).map_err(|_| ClientError::Unusable(format!("`{address}` is not an address")))?;
        Ok(self.http.request(method, url))
    }

    fn authorized(&self, method: Method, url: Url) -> RequestBuilder {
        self.http
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone())
    }

    /// Sends a request; an answer that is no success becomes an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(ClientError::Refused(Box::new(refusal(answer).await?)))
    }

    /// Sends a request and reads the answer's JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let body = self.send(request).await?.bytes().await?;
        serde_json::from_slice(&body).map_err(ClientError::garbled)
    }

    /// Sends a request and reads the answer's text.
    pub(crate) async fn text(&self, request: RequestBuilder) -> Result<String, ClientError> {
        Ok(self.send(request).await?.text().await?)
    }

    /// Sends a request and follows the answer's server-sent events.
    pub(crate) async fn server_sent_events(
        &self,
        request: RequestBuilder,
    ) -> Result<impl Stream<Item = Result<Sse, ClientError>> + Send + Unpin + use<>, ClientError> {
        let answer = self.send(request.header("Accept", "text/event-stream")).await?;
        let frames = SseStream::from_bytes_stream(answer.bytes_stream());
        Ok(Box::pin(frames.map(|frame| {
            frame.map_err(|error| ClientError::Unreachable(error.to_string()))
        })))
    }
}

async fn refusal(answer: Response) -> Result<Refusal, ClientError> {
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
