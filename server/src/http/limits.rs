//! How often one may ask: windows of a minute, one for invocations and one for the rest, each for a user or, without a
//! valid credential, for an address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::Api;
use super::caller::Identity;
use super::error::ApiError;

const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// What is shown as the limit where there is none.
const UNLIMITED: u32 = 1_000_000;

/// Above this many windows, those that are over are removed, once a minute.
const SWEEP_ABOVE: usize = 10_000;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Kind {
    Crud,
    Invoke,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Asker {
    User(String),
    Address(IpAddr),
}

struct Window {
    ends: Timestamp,
    used: u32,
}

/// The windows of all who asked lately.
pub struct Limits {
    crud: u32,
    invoke: u32,
    windows: Mutex<Windows>,
}

#[derive(Default)]
struct Windows {
    open: HashMap<(Asker, Kind), Window>,
    swept: Timestamp,
}

/// Where an asker stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Standing {
    limit: u32,
    remaining: u32,
    ends: Timestamp,
    is_over: bool,
}

impl Limits {
    /// Limits a minute; 0 is none.
    pub fn new(crud: u32, invoke: u32) -> Self {
        Self {
            crud,
            invoke,
            windows: Mutex::default(),
        }
    }

    /// Where an asker stands, after this request where it `counts`.
    fn ask(&self, asker: Asker, kind: Kind, counts: bool, now: Timestamp) -> Standing {
        let limit = match kind {
            Kind::Crud => self.crud,
            Kind::Invoke => self.invoke,
        };
        let fresh = || Window {
            ends: now + WINDOW,
            used: 0,
        };
        if limit == 0 {
            let ends = fresh().ends;
            return Standing {
                limit: UNLIMITED,
                remaining: UNLIMITED,
                ends,
                is_over: false,
            };
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.open.len() > SWEEP_ABOVE && windows.swept + WINDOW <= now {
            windows.open.retain(|_, window| window.ends > now);
            windows.swept = now;
        }
        let window = windows.open.entry((asker, kind)).or_insert_with(fresh);
        if window.ends <= now {
            *window = fresh();
        }
        let is_over = counts && window.used >= limit;
        if counts && !is_over {
            window.used += 1;
        }
        Standing {
            limit,
            remaining: limit - window.used,
            ends: window.ends,
            is_over,
        }
    }
}

/// Finds out who asks, lets them or not, and says in every answer where they stand.
pub(super) async fn apply(api: &Api, mut request: Request, inner: impl AsyncFnOnce(Request) -> Response) -> Response {
    let identity = match api.identify(request.headers()).await {
        Ok(identity) => identity,
        Err(error) => return error.into_response(),
    };
    let asker = match &identity {
        Identity::Known(caller) => Asker::User(caller.me.id.clone()),
        _ => Asker::Address(address(&request)),
    };
    let (kind, counts) = classify(&request);
    let now = api.platform.world.now();
    let standing = api.limits.ask(asker, kind, counts, now);
    request.extensions_mut().insert(identity);
    let mut response = if standing.is_over {
        refuse(&standing, now)
    } else {
        inner(request).await
    };
    let headers = response.headers_mut();
    headers.insert(LIMIT, standing.limit.into());
    headers.insert(REMAINING, standing.remaining.into());
    headers.insert(RESET, HeaderValue::from(reset(&standing)));
    response
}

fn address(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip())
}

/// Which window a request is of, and whether it counts.
fn classify(request: &Request) -> (Kind, bool) {
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    let is_invocation = request.method() == Method::POST && (path.ends_with("/invoke") || path.ends_with("/stream"));
    let is_free = matches!(path, "/healthz" | "/readyz" | "/metrics" | "/openapi.json") || path.ends_with("/events");
    (if is_invocation { Kind::Invoke } else { Kind::Crud }, !is_free)
}

/// Whole seconds, rounded up: who comes back then is let in.
fn reset(standing: &Standing) -> i64 {
    standing.ends.as_second() + i64::from(standing.ends.subsec_nanosecond() > 0)
}

fn refuse(standing: &Standing, now: Timestamp) -> Response {
    let left = standing.ends.duration_since(now);
    let seconds = (left.as_secs() + i64::from(left.subsec_nanos() > 0)).max(1);
    let detail = format!("Rate limit exceeded. Try again in {seconds} seconds.");
    let mut response = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).into_response();
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_window_closes_and_opens_again() {
        let limits = Limits::new(2, 1);
        let ask = |kind, second| limits.ask(Asker::User("usr_1".into()), kind, true, at(second));
        assert_eq!(ask(Kind::Crud, 0).remaining, 1);
        assert_eq!(ask(Kind::Crud, 1).remaining, 0);
        assert!(ask(Kind::Crud, 59).is_over);
        assert!(!ask(Kind::Invoke, 59).is_over, "the other window is its own");
        assert_eq!(ask(Kind::Crud, 60).remaining, 1);
    }

    #[test]
    fn who_does_not_count_is_never_over() {
        let limits = Limits::new(1, 1);
        let ask = |counts| limits.ask(Asker::Address([1, 2, 3, 4].into()), Kind::Crud, counts, at(0));
        assert_eq!(ask(true).remaining, 0);
        assert!(!ask(false).is_over);
        assert!(ask(true).is_over);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let limits = Limits::new(0, 0);
        for _ in 0..1000 {
            assert!(
                !limits
                    .ask(Asker::User("usr_1".into()), Kind::Invoke, true, at(0))
                    .is_over
            );
        }
    }
}
