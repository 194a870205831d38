//! Tokens: the JSON Web Tokens of the one issuer that this server trusts, and whether one is good.
//!
//! They are taken apart here and their signatures checked by `ring`, rather than by a library for such tokens: one
//! takes the time from the machine instead of the [`World`], lets claims of a wrong type pass, and knows many
//! algorithms where two are wanted.

mod claims;
mod fetch;
mod keys;
mod published;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use castari_common::account::Me;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Platform, PlatformError, World};
use crate::settings::Settings;
use crate::store::Write;
use crate::store::account::{self, Subject};
use claims::{Claims, Expected};
pub use fetch::{KeySource, KeysError};
use keys::KeySet;
use published::Published;
use token::Token;

/// How many good tokens are remembered, so that showing one again costs no signature check.
const REMEMBERED: usize = 4096;

/// Why a token is refused. None of it holds anything of the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadToken {
    /// No issuer is trusted.
    #[error("Invalid or revoked API key")]
    NotTaken,
    /// It cannot be read.
    #[error("The credential is neither an API key nor a JSON Web Token")]
    Malformed,
    /// Signed in another way, or not at all.
    #[error("The token is not signed with RS256 or ES256")]
    Algorithm,
    /// It has `crit`.
    #[error("The token demands an extension that this server does not know")]
    Critical,
    /// A claim is missing, of the wrong type, or out of bounds.
    #[error("The token's claim `{0}` is missing or not valid")]
    Claim(&'static str),
    /// Another issuer's.
    #[error("The token is of an issuer that this server does not trust")]
    Issuer,
    /// Meant for others.
    #[error("The token is meant for another audience")]
    Audience,
    /// Too old.
    #[error("The token has expired")]
    Expired,
    /// Too new.
    #[error("The token is not valid yet")]
    NotYet,
    /// The issuer does not publish the key, as far as is known.
    #[error("The token is signed with a key that this server does not know")]
    UnknownKey,
    /// The key did not make the signature.
    #[error("The token's signature is not that of its key")]
    Signature,
    /// The issuer's keys were never had.
    #[error("The keys of the token's issuer cannot be had at present; try again in a minute")]
    NoKeys,
}

impl BadToken {
    /// The same for a program.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet_valid",
            Self::NoKeys => "issuer_unavailable",
            _ => "invalid_credentials",
        }
    }
}

/// The tokens of one issuer.
pub(super) struct Tokens {
    expected: Expected,
    published: Arc<Published>,
    good: Mutex<HashMap<[u8; 32], Good>>,
}

/// A token that was found good.
#[derive(Clone)]
struct Good {
    claims: Arc<Claims>,
    /// The keys that it was good under: new ones mean that it is checked again.
    keys: Arc<KeySet>,
}

impl Tokens {
    /// The tokens that the settings want taken, if any. The keys are fetched when the first token comes, for the issuer
    /// may not be up yet; a file has to be there.
    pub async fn start(settings: &Settings) -> Result<Option<Self>, KeysError> {
        let (Some(issuer), Some(source)) = (&settings.jwt_issuer, &settings.jwt_jwks) else {
            return Ok(None);
        };
        Ok(Some(Self {
            expected: Expected {
                issuer: issuer.clone(),
                audience: settings.jwt_audience.clone(),
            },
            published: Arc::new(Published::start(source.clone()).await?),
            good: Mutex::default(),
        }))
    }

    /// What a good token claims.
    async fn check(&self, world: &World, text: &str) -> Result<Arc<Claims>, BadToken> {
        let now = world.now();
        let hash = Sha256::digest(text).into();
        if let Some(claims) = self.recall(&hash, now) {
            claims.check_time(now)?;
            return Ok(claims);
        }
        let token = Token::parse(text)?;
        // First, so that what is hopeless anyway makes nobody fetch keys.
        let claims = Arc::new(Claims::read(&token.payload, &self.expected)?);
        claims.check_time(now)?;
        let keys = self.verify(&token, now).await?;
        self.remember(hash, Arc::clone(&claims), keys, now);
        Ok(claims)
    }

    /// Checks the signature; yields the keys that it is good under.
    async fn verify(&self, token: &Token<'_>, now: Timestamp) -> Result<Arc<KeySet>, BadToken> {
        if let Some(keys) = self.published.known(now) {
            match keys.verify(token) {
                Ok(()) => return Ok(keys),
                // The key that it names is known, and did not make this signature.
                Err(BadToken::Signature) if token.key_id.is_some() => return Err(BadToken::Signature),
                Err(_) => {}
            }
        }
        let keys = self.published.refreshed(now).await.ok_or(BadToken::NoKeys)?;
        keys.verify(token).map(|()| keys)
    }

    fn recall(&self, hash: &[u8; 32], now: Timestamp) -> Option<Arc<Claims>> {
        let keys = self.published.known(now)?;
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let found = good.get(hash).filter(|good| Arc::ptr_eq(&good.keys, &keys))?;
        Some(Arc::clone(&found.claims))
    }

    fn remember(&self, hash: [u8; 32], claims: Arc<Claims>, keys: Arc<KeySet>, now: Timestamp) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= REMEMBERED {
            good.retain(|_, good| Arc::ptr_eq(&good.keys, &keys) && good.claims.check_time(now).is_ok());
        }
        if good.len() >= REMEMBERED {
            good.clear();
        }
        good.insert(hash, Good { claims, keys });
    }
}

impl Platform {
    /// The account that a token names, made on first sight.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn authenticate_token(&self, token: &str) -> Result<Result<Me, BadToken>, PlatformError> {
        let Some(tokens) = &self.tokens else {
            return Ok(Err(BadToken::NotTaken));
        };
        match tokens.check(&self.world, token).await {
            Ok(claims) => Ok(Ok(self.user(&tokens.expected.issuer, claims).await?)),
            Err(bad) => Ok(Err(bad)),
        }
    }

    /// The user whom a token's claims name.
    async fn user(&self, issuer: &str, claims: Arc<Claims>) -> Result<Me, PlatformError> {
        let found = self
            .store
            .look_up(|read| account::by_subject(read, subject(issuer, &claims)))?;
        let is_current = |me: &Me| claims.email.as_ref().is_none_or(|email| *email == me.email);
        if let Some(me) = found.filter(is_current) {
            return Ok(me);
        }
        let (of, id, now) = (issuer.to_owned(), self.world.id("usr"), self.world.now());
        let ensure =
            move |write: &Write<'_>| account::ensure(write, &id, subject(&of, &claims), claims.email.as_deref(), now);
        Ok(self.store.write(ensure).await?)
    }
}

fn subject<'a>(issuer: &'a str, claims: &'a Claims) -> Subject<'a> {
    Subject {
        issuer,
        subject: &claims.subject,
    }
}

#[cfg(test)]
mod tests;
