//! The way to the stores: what is asked, and what the answers mean.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};

use super::BucketError;
use super::addresses::{self, Guard};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one request may take to the last byte of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that nothing uses is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest list that is read, in bytes: a thousand keys of 1 KiB, each character escaped.
const MAX_LIST: usize = 8 << 20;

/// How much is read of an answer that says why not.
const MAX_REFUSAL: usize = 64 << 10;

/// A client of any store, for lists: nothing else is asked of stores yet. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    http: reqwest::Client,
}

impl Wire {
    pub fn new() -> Result<Self, reqwest::Error> {
        let http = castari_common::http_client()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(Policy::none())
            .dns_resolver(std::sync::Arc::new(Guard))
            .build()?;
        Ok(Self { http })
    }

    /// Sends a request for a list.
    pub async fn list(&self, request: reqwest::Request) -> Result<(Response, Bytes), BucketError> {
        addresses::check(request.url()).await?;
        let mut answer = self.http.execute(request).await.map_err(|error| unsent(&error))?;
        let is_success = answer.status().is_success();
        let body = body(&mut answer, if is_success { MAX_LIST } else { MAX_REFUSAL }).await?;
        if is_success {
            return Ok((answer, body));
        }
        Err(refusal(&answer, &String::from_utf8_lossy(&body)))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, BucketError> {
        let request = request.map(reqwest::Body::wrap);
        let request =
            reqwest::Request::try_from(request).map_err(|_| BucketError::Unreachable("its address is none"))?;
        let (answer, body) = self.list(request).await?;
        // Of a page that is no list, the parser would take an empty one.
        if !String::from_utf8_lossy(&body).contains("<ListBucketResult") {
            return Err(BucketError::NotAStore);
        }
        let answer: hyper::Response<reqwest::Body> = answer.into();
        let (parts, _) = answer.into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }
}

impl HttpService for Wire {
    fn call<'wire, 'call>(&'wire self, request: HttpRequest) -> BoxFuture<'call, Result<HttpResponse, HttpError>>
    where
        'wire: 'call,
        Self: 'call,
    {
        Box::pin(async move {
            let sent = self.send(request).await;
            sent.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))
        })
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// Reads a body up to a limit; of what says why not, the rest does not matter.
async fn body(answer: &mut Response, limit: usize) -> Result<Bytes, BucketError> {
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| unsent(&error))? {
        if body.len() + piece.len() > limit {
            return Err(BucketError::NotAStore);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// What it means that no whole answer came.
fn unsent(error: &reqwest::Error) -> BucketError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut reason = None;
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<BucketError>() {
            return error.clone();
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return BucketError::NotAStore;
        }
        reason = reason.or_else(|| known(error));
        cause = error.source();
    }
    match reason {
        Some(reason) => BucketError::Unreachable(reason),
        None if error.is_connect() && error.is_timeout() => {
            BucketError::Unreachable("no connection came about in time")
        }
        None if error.is_timeout() => BucketError::TimedOut,
        None if error.is_connect() => BucketError::Unreachable("no connection came about"),
        None => BucketError::Unreachable("the connection broke off"),
    }
}

/// A cause that can be told without saying anything that the other side chose.
fn known(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => return Some("the connection was refused"),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                return Some("no way leads to its address");
            }
            _ => {}
        }
    }
    let text = error.to_string();
    if text.starts_with("dns error") {
        Some("its host name is not known")
    } else if text.contains("invalid peer certificate") {
        Some("its certificate is not trusted")
    } else {
        None
    }
}

/// What a store means that says no.
fn refusal(answer: &Response, body: &str) -> BucketError {
    let status = answer.status();
    let code = between(body, "<Code>", "</Code>").filter(|code| is_token(code));
    let region = || {
        let region = answer.headers().get("x-amz-bucket-region")?.to_str().ok()?;
        is_token(region).then(|| region.to_owned())
    };
    match (code, status) {
        (Some("NoSuchBucket"), _) => BucketError::Missing,
        (Some("InvalidAccessKeyId"), _) => BucketError::AccessDenied("the access key is not known to it"),
        (Some("SignatureDoesNotMatch"), _) => BucketError::AccessDenied("the secret access key is not the right one"),
        (Some("RequestTimeTooSkewed"), _) => BucketError::AccessDenied("this machine's clock is wrong"),
        (Some("PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed"), _) => {
            BucketError::Elsewhere(region())
        }
        (_, StatusCode::UNAUTHORIZED) => BucketError::AccessDenied("the credentials are not good"),
        (_, StatusCode::FORBIDDEN) => BucketError::AccessDenied("the credentials do not allow it"),
        (_, status) if status.is_redirection() => BucketError::Elsewhere(region()),
        (None, StatusCode::NOT_FOUND) if body.is_empty() || body.trim_start().starts_with('{') => BucketError::Missing,
        (None, status) if status.is_client_error() => BucketError::NotAStore,
        (code, status) => BucketError::Failing(
            status.as_u16(),
            code.map(|code| format!(", {code}")).unwrap_or_default(),
        ),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// Whether a foreign word is short and plain enough to be shown.
fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
