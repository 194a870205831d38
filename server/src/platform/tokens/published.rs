use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::fetch::{self, KeySource, KeysError};
use super::keys::KeySet;

/// How long after one attempt to fetch the keys the next may be made, whatever came of it.
const EVERY: SignedDuration = SignedDuration::from_mins(1);

/// How old keys may become before they are fetched anew, so that one that was withdrawn does not serve for ever.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// What the issuer publishes, as it was last seen.
pub(super) struct Published {
    source: KeySource,
    known: Mutex<Option<Known>>,
    /// When the keys were last asked for. Held while they are, so that all who want them wait for one answer.
    attempted: tokio::sync::Mutex<Option<Timestamp>>,
}

struct Known {
    keys: Arc<KeySet>,
    /// `None` for what was there at the start.
    fetched: Option<Timestamp>,
}

impl Published {
    pub async fn start(source: KeySource) -> Result<Self, KeysError> {
        let known = match &source {
            KeySource::Url(_) => None,
            KeySource::File(_) => Some(Known {
                keys: Arc::new(fetch::key_set(&source).await?),
                fetched: None,
            }),
        };
        Ok(Self {
            source,
            known: Mutex::new(known),
            attempted: tokio::sync::Mutex::default(),
        })
    }

    /// The keys that are known. Old ones are fetched anew, but nobody waits for that: while the issuer is away, they go
    /// on serving.
    pub fn known(self: &Arc<Self>, now: Timestamp) -> Option<Arc<KeySet>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_mut()?;
        if !is_within(*known.fetched.get_or_insert(now), now, FRESH) {
            tokio::spawn(Arc::clone(self).refresh(now));
            known.fetched = Some(now);
        }
        Some(Arc::clone(&known.keys))
    }

    /// The keys that are known after they were fetched, unless that was tried only just now.
    pub async fn refreshed(self: &Arc<Self>, now: Timestamp) -> Option<Arc<KeySet>> {
        // In a task of its own: a client that goes away must not break off the one attempt of this minute.
        let _ = tokio::spawn(Arc::clone(self).refresh(now)).await;
        self.known(now)
    }

    async fn refresh(self: Arc<Self>, now: Timestamp) {
        let mut attempted = self.attempted.lock().await;
        if attempted.is_some_and(|last| is_within(last, now, EVERY)) {
            return;
        }
        *attempted = Some(now);
        match fetch::key_set(&self.source).await {
            Ok(keys) => {
                tracing::info!(source = %self.source, usable = keys.len(), "read the issuer's keys");
                let known = Known {
                    keys: Arc::new(keys),
                    fetched: Some(now),
                };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

/// Whether two times are near each other, whichever is first: a clock may be set back.
fn is_within(one: Timestamp, other: Timestamp, most: SignedDuration) -> bool {
    other.duration_since(one).abs() < most
}
