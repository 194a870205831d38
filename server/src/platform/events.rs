//! Changes, told to whoever follows them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use castari_common::events::{Event, EventKind};
use tokio::sync::broadcast;

/// How many past events are kept for those who come back.
const KEPT: usize = 1024;

/// An event, whose it is, and its place in the order of all.
#[derive(Clone, Debug)]
pub struct Told {
    /// Rises by one from event to event.
    pub number: u64,
    /// The user whose event this is.
    pub user_id: String,
    /// The event.
    pub event: Event,
}

/// The events of all users.
pub struct Events {
    /// Tells the numbers of this run of the server from those of others.
    run: String,
    past: Mutex<VecDeque<Told>>,
    live: broadcast::Sender<Told>,
}

/// What a follower gets first, and where it goes on.
pub struct Following {
    /// What was missed; `None` when too much was missed to tell.
    pub missed: Option<Vec<Told>>,
    /// What comes.
    pub live: broadcast::Receiver<Told>,
}

impl Events {
    /// No events yet; `run` is an id of this run of the server.
    #[must_use]
    pub fn new(run: String) -> Self {
        Self {
            run,
            past: Mutex::default(),
            live: broadcast::channel(KEPT).0,
        }
    }

    /// Tells of a change; of which agent's, where there is one.
    pub fn tell(&self, user_id: &str, kind: EventKind, slug: Option<&str>, id: &str) {
        let event = Event {
            kind,
            slug: slug.map(Into::into),
            id: Some(id.into()),
        };
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let told = Told {
            number: past.back().map_or(1, |last| last.number + 1),
            user_id: user_id.into(),
            event,
        };
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(told.clone());
        // Nobody follows now: then the past is all there is.
        let _ = self.live.send(told);
    }

    /// The id that a follower may come back with to go on after an event.
    #[must_use]
    pub fn resume_id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// Follows events, from after the one that `resume_id` names, or from now.
    #[must_use]
    pub fn follow(&self, resume_id: Option<&str>) -> Following {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.subscribe();
        let Some(resume_id) = resume_id else {
            return Following {
                missed: Some(Vec::new()),
                live,
            };
        };
        let seen = resume_id.rsplit_once('-').filter(|(run, _)| *run == self.run);
        let seen: Option<u64> = seen.and_then(|(_, number)| number.parse().ok());
        let oldest = past.front().map_or(1, |told| told.number);
        let newest = past.back().map_or(0, |told| told.number);
        let missed = seen
            .filter(|seen| {
                seen.checked_add(1)
                    .is_some_and(|next| (oldest..=newest + 1).contains(&next))
            })
            .map(|seen| past.iter().filter(|told| told.number > seen).cloned().collect());
        Following { missed, live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(following: &Following) -> Option<Vec<u64>> {
        following
            .missed
            .as_ref()
            .map(|missed| missed.iter().map(|told| told.number).collect())
    }

    #[test]
    fn who_comes_back_gets_what_was_missed() {
        let events = Events::new("run".into());
        for _ in 0..3 {
            events.tell("usr_1", EventKind::Agent, Some("a"), "agt_1");
        }
        assert_eq!(numbers(&events.follow(None)), Some(vec![]));
        assert_eq!(numbers(&events.follow(Some("run-1"))), Some(vec![2, 3]));
        assert_eq!(numbers(&events.follow(Some("run-3"))), Some(vec![]));
    }

    #[test]
    fn who_missed_too_much_is_told_so() {
        let events = Events::new("run".into());
        for _ in 0..KEPT + 5 {
            events.tell("usr_1", EventKind::Agent, Some("a"), "agt_1");
        }
        assert_eq!(numbers(&events.follow(Some("run-1"))), None);
        assert_eq!(numbers(&events.follow(Some("earlier-5"))), None);
        assert_eq!(numbers(&events.follow(Some("nonsense"))), None);
        assert_eq!(numbers(&events.follow(Some(&format!("run-{}", u64::MAX)))), None);
    }
}
