mod error;
mod retry;

use std::time::Duration;

use futures::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use sse_stream::{Sse, SseStream};

use crate::BASE_PATH;
pub use error::{ClientError, Refusal};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call is repeated for where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of the API. Clones share their connections.
///
/// Every call fails with [`ClientError::Unreachable`] when no answer comes, with [`ClientError::Refused`] when the
/// server says no, and with [`ClientError::Garbled`] when the answer is not what the contract says.
///
/// # Asking again
/// Before it fails, a call is repeated where that can do nothing twice, for ten seconds in all, or as
/// [`with_patience`](Self::with_patience) says:
/// - After a 429, any call: it was not carried out. The pause is what `Retry-After` says. Where that is longer than the
///   patience that is left, the refusal is returned at once.
/// - Where no connection came about, any call, a few times, with pauses that double from 75 ms to 2 s.
/// - Where the connection broke later, or the server is about to end (503 `shutting_down`), only what reads: the server
///   may have done the rest. So an invocation that may have reached the server is never started again.
///
/// A body that is sent as it comes, such as an upload's, cannot be sent twice, nor can an answer that is handed on as
/// it comes, such as a stream of events, go on where it broke off: its reader has to ask for the rest.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
    patience: Duration,
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
        let http = http_client().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self {
            http,
            base,
            authorization,
            patience: PATIENCE,
        })
    }

    /// The same client, but with calls repeated for so long; not at all for zero. A single try may take longer: this is
    /// the time after which no further one is begun.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
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

    /// Sends a request; an answer that is no success becomes an error. The answer's body is yet to come.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        retry::send(request, self.patience, |answer| std::future::ready(Ok(answer))).await
    }

    /// Sends a request and reads the answer's JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let body = retry::send(request, self.patience, Response::bytes).await?;
        serde_json::from_slice(&body).map_err(ClientError::garbled)
    }

    /// Sends a request and reads the answer's text.
    pub(crate) async fn text(&self, request: RequestBuilder) -> Result<String, ClientError> {
        retry::send(request, self.patience, Response::text).await
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

/// What every HTTP client of ours is made from: it has its cryptography, and says who it is.
pub fn http_client() -> reqwest::ClientBuilder {
    // Another part of the process may have chosen a provider already: then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().user_agent(concat!("castari/", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests;
