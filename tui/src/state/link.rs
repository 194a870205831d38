use std::time::Duration;

use jiff::Timestamp;

use crate::message::{Failure, FailureKind, Feed, Message};

/// How things stand with the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// No answer yet.
    Connecting,
    /// It tells of changes.
    Live,
    /// It answers, but does not tell of changes: they are looked for from time to time.
    Polling,
    /// It is away; everything on the screen is from before then.
    Lost {
        /// When it last answered, if it ever did.
        since: Option<Timestamp>,
        /// What came of the last try.
        reason: String,
    },
    /// It does not accept the key.
    Denied {
        /// What it says.
        reason: String,
    },
    /// It has had too many requests, until then.
    Limited {
        /// When it takes requests again.
        until: Timestamp,
    },
}

/// The connection to the server, as far as it can be told from what came of the calls.
#[derive(Debug)]
pub struct Link {
    /// How things stand.
    pub standing: Standing,
    /// When the server last answered.
    last_answer: Option<Timestamp>,
    /// Whether the server tells of changes; `None` while that is not known.
    feed: Option<bool>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            standing: Standing::Connecting,
            last_answer: None,
            feed: None,
        }
    }

    /// Takes note of what a message says of the server; says whether it is back after it was away.
    pub(super) fn receive(&mut self, message: &Message, now: Timestamp) -> bool {
        match message {
            Message::Feed(Feed::Open) => {
                self.feed = Some(true);
                self.answered(now)
            }
            Message::Feed(Feed::Absent) => {
                self.feed = Some(false);
                self.answered(now)
            }
            Message::Feed(Feed::Changed(_) | Feed::Alive) => self.answered(now),
            Message::Feed(Feed::Failed(failure)) => {
                self.failed(failure, now);
                false
            }
            _ => match outcome(message) {
                Some(Ok(())) => self.answered(now),
                Some(Err(failure)) => {
                    self.failed(failure, now);
                    false
                }
                None => false,
            },
        }
    }

    fn answered(&mut self, now: Timestamp) -> bool {
        self.last_answer = Some(now);
        let was_away = matches!(self.standing, Standing::Lost { .. } | Standing::Denied { .. });
        if matches!(self.standing, Standing::Limited { until } if until > now) {
            return false;
        }
        self.standing = match self.feed {
            Some(true) => Standing::Live,
            Some(false) => Standing::Polling,
            None => Standing::Connecting,
        };
        was_away
    }

    fn failed(&mut self, failure: &Failure, now: Timestamp) {
        match &failure.kind {
            FailureKind::Unreachable => {
                let since = match self.standing {
                    Standing::Lost { since, .. } => since,
                    _ => self.last_answer,
                };
                self.standing = Standing::Lost {
                    since,
                    reason: failure.text.clone(),
                };
            }
            FailureKind::Unauthorised => {
                self.standing = Standing::Denied {
                    reason: failure.text.clone(),
                }
            }
            FailureKind::Limited(wait) => {
                self.standing = Standing::Limited {
                    until: after(now, *wait),
                }
            }
            FailureKind::Missing | FailureKind::Refused(_) | FailureKind::Garbled => {}
        }
    }

    /// Until when no request should be sent that nobody asked for.
    pub(super) fn limited_until(&self) -> Option<Timestamp> {
        match self.standing {
            Standing::Limited { until } => Some(until),
            _ => None,
        }
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(now)
}

/// What a message says of whether the server answers. Invocations have a limit of their own, and a deployment's log
/// can be held up by a proxy: neither says anything of the rest.
fn outcome(message: &Message) -> Option<Result<(), &Failure>> {
    fn of<T>(answer: &Result<T, Failure>) -> Result<(), &Failure> {
        answer.as_ref().map(drop)
    }
    Some(match message {
        Message::Agents(_, answer) => of(answer),
        Message::Agent(_, answer) | Message::Created(_, answer) => of(answer),
        Message::Deployments(_, answer) => of(answer),
        Message::Invocations(_, answer) => of(answer),
        Message::Invocation(_, answer) => of(answer),
        Message::Acted(_, _, answer) => of(answer),
        _ => return None,
    })
}
