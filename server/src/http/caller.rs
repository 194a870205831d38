//! Who asks.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use castari_common::account::Me;
use castari_common::agents::Agent;
use jiff::{SignedDuration, Timestamp};

use super::Api;
use super::error::ApiError;
use super::routes::{Input, Operation};
use crate::platform::api_keys::{self, KeyHash};
use crate::platform::tokens::BadToken;

/// How often it is noted that a key was used.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// The account that a request's credential belongs to. As an argument of a handler it is what makes the handler need
/// one.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub me: Arc<Me>,
    /// The hash of the API key that was shown; `None` where it was a token.
    pub key: Option<KeyHash>,
}

impl Caller {
    pub fn user_id(&self) -> &str {
        &self.me.id
    }
}

/// What a request's credential came to.
#[derive(Clone, Debug)]
pub(super) enum Identity {
    Known(Caller),
    Missing,
    Malformed,
    UnknownKey,
    BadToken(BadToken),
}

/// When each key's use was last noted.
#[derive(Default)]
pub struct Callers {
    touched: RwLock<HashMap<KeyHash, Timestamp>>,
}

impl Api {
    /// Finds out whose credential a request shows.
    pub(super) async fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            return Ok(Identity::Missing);
        };
        let Some(token) = bearer(header.as_bytes()) else {
            return Ok(Identity::Malformed);
        };
        if !api_keys::is_key(token) {
            return Ok(match self.platform.authenticate_token(token).await? {
                Ok(me) => Identity::Known(Caller {
                    me: Arc::new(me),
                    key: None,
                }),
                Err(bad) => Identity::BadToken(bad),
            });
        }
        let Some(key) = api_keys::hash(token) else {
            return Ok(Identity::UnknownKey);
        };
        let Some(me) = self.platform.authenticate(key)? else {
            return Ok(Identity::UnknownKey);
        };
        if self.callers.is_touch_due(key, self.platform.world.now()) {
            let platform = self.platform.clone();
            tokio::spawn(async move { platform.touch_api_key(key).await });
        }
        Ok(Identity::Known(Caller { me, key: Some(key) }))
    }

    /// The caller's agent.
    pub(super) fn agent(&self, caller: &Caller, slug: &str) -> Result<Agent, ApiError> {
        let agent = self.platform.agent(caller.user_id(), slug)?;
        agent.ok_or_else(agent_not_found)
    }
}

pub(super) fn agent_not_found() -> ApiError {
    ApiError::not_found("agent_not_found", "Agent not found")
}

impl Callers {
    fn is_touch_due(&self, hash: KeyHash, now: Timestamp) -> bool {
        let touched = self.touched.read().unwrap_or_else(PoisonError::into_inner);
        let last = touched.get(&hash).copied();
        drop(touched);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= TOUCH_EVERY);
        if is_due {
            let mut touched = self.touched.write().unwrap_or_else(PoisonError::into_inner);
            touched.insert(hash, now);
        }
        is_due
    }
}

/// The token of an `Authorization: Bearer TOKEN`.
fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl Input for Caller {
    fn describe(operation: &mut Operation) {
        operation.is_private = true;
        operation.fails_with(&[401]);
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::Known(caller)) => Ok(caller.clone()),
            Some(Identity::UnknownKey) => Err(ApiError::unauthorized(
                "invalid_credentials",
                "Invalid or revoked API key",
            )),
            Some(Identity::BadToken(bad)) => Err(ApiError::unauthorized(bad.code(), bad.to_string())),
            Some(Identity::Malformed) => Err(ApiError::unauthorized(
                "invalid_credentials",
                "Authorization must be `Bearer` and a token",
            )),
            Some(Identity::Missing) | None => Err(ApiError::unauthorized("not_authenticated", "Not authenticated")),
        }
    }
}
