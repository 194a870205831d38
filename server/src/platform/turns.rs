//! Turns: what runs in one session runs one after the other, and what runs in others does not wait for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// An agent's id and a session's.
type Key = (String, String);

/// A line for each session that something runs in.
#[derive(Clone, Default)]
pub(super) struct Turns {
    lines: Arc<Mutex<HashMap<Key, Line>>>,
}

#[derive(Default)]
struct Line {
    /// Cancelled when the session ends, for those that stand in line then.
    ended: CancellationToken,
    /// Whose turn it is, and who follows. Each is told when its turn comes.
    places: VecDeque<Arc<Notify>>,
}

/// A place in a session's line. Whoever is next has its turn when this is dropped.
pub(super) struct Place {
    turns: Turns,
    key: Key,
    called: Arc<Notify>,
    ended: CancellationToken,
}

impl Turns {
    /// Takes the last place of a session's line.
    pub fn join(&self, agent_id: &str, session_id: &str) -> Place {
        let key = (agent_id.to_owned(), session_id.to_owned());
        let called = Arc::new(Notify::new());
        let mut lines = self.lock();
        let line = lines.entry(key.clone()).or_default();
        if line.places.is_empty() {
            called.notify_one();
        }
        line.places.push_back(Arc::clone(&called));
        Place {
            turns: self.clone(),
            key,
            called,
            ended: line.ended.clone(),
        }
    }

    /// Ends all that stands in a session's line. They keep their places until they have ended: who joins later, in a
    /// session of that name made anew, waits for them.
    pub fn end(&self, agent_id: &str, session_id: &str) {
        if let Some(line) = self.lock().get_mut(&(agent_id.to_owned(), session_id.to_owned())) {
            line.end();
        }
    }

    /// Ends all that stands in any line of an agent.
    pub fn end_all(&self, agent_id: &str) {
        let mut lines = self.lock();
        let of_agent = lines.iter_mut().filter(|((agent, _), _)| agent == agent_id);
        of_agent.for_each(|(_, line)| line.end());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn end(&mut self) {
        std::mem::take(&mut self.ended).cancel();
    }
}

impl Place {
    /// Waits for the turn.
    pub async fn turn(&self) {
        self.called.notified().await;
    }

    /// Waits until the session ends.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.turns.lock();
        let Some(line) = lines.get_mut(&self.key) else {
            return;
        };
        let had_turn = line
            .places
            .front()
            .is_some_and(|first| Arc::ptr_eq(first, &self.called));
        line.places.retain(|place| !Arc::ptr_eq(place, &self.called));
        match line.places.front() {
            None => drop(lines.remove(&self.key)),
            Some(next) if had_turn => next.notify_one(),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    fn has_turn(place: &Place) -> bool {
        place.turn().now_or_never().is_some()
    }

    #[test]
    fn turns_come_in_order_and_sessions_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let [first, second, third] = std::array::from_fn(|_| turns.join("agt_1", "a"));
        let others = [turns.join("agt_1", "b"), turns.join("agt_2", "a")];
        assert!(has_turn(&first) && others.iter().all(has_turn));
        assert!(!has_turn(&second) && !has_turn(&third));
        drop(first);
        assert!(!has_turn(&third) && has_turn(&second));
        drop(second);
        assert!(has_turn(&third));
        drop(third);
        drop(others);
        assert!(turns.lock().is_empty(), "nothing is left behind");
    }

    #[test]
    fn who_leaves_the_line_lets_nobody_pass_too_early() {
        let turns = Turns::default();
        let [first, second, third] = std::array::from_fn(|_| turns.join("agt_1", "a"));
        drop(second);
        assert!(!has_turn(&third));
        drop(first);
        assert!(has_turn(&third));
    }

    #[test]
    fn a_session_s_end_ends_who_stands_in_its_line() {
        let turns = Turns::default();
        let ended = |place: &Place| place.ended().now_or_never().is_some();
        let [first, second, other] = ["a", "a", "b"].map(|session| turns.join("agt_1", session));
        turns.end("agt_1", "a");
        assert!(ended(&first) && ended(&second) && !ended(&other));
        let later = turns.join("agt_1", "a");
        assert!(!ended(&later) && !has_turn(&later));
        turns.end_all("agt_2");
        assert!(!ended(&later));
        turns.end_all("agt_1");
        assert!(ended(&later) && ended(&other));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn never_do_two_have_their_turn_at_once() {
        let turns = Turns::default();
        let busy = Arc::new(Mutex::new(()));
        let work = (0..200).map(|number| {
            let (place, busy) = (turns.join("agt_1", "a"), Arc::clone(&busy));
            tokio::spawn(async move {
                if number % 3 == 0
                    && tokio::time::timeout(Duration::from_micros(number * 10), place.turn())
                        .await
                        .is_err()
                {
                    return;
                }
                if number % 3 != 0 {
                    place.turn().await;
                }
                let _alone = busy.try_lock().unwrap();
                std::thread::sleep(Duration::from_micros(50));
            })
        });
        for done in futures::future::join_all(work.collect::<Vec<_>>()).await {
            done.unwrap();
        }
        assert!(turns.lock().is_empty());
    }
}
