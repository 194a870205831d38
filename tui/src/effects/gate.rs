use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The window that the server counts requests in.
const WINDOW: Duration = Duration::from_secs(60);
/// How many reads may pass in a window. The contract's limit is 100; the rest is for what a person asks for.
const READS: usize = 80;

/// Lets reads through at a rate that stays below the server's limit, in the order in which they came.
#[derive(Clone, Default)]
pub struct Gate {
    passed: Arc<Mutex<VecDeque<Instant>>>,
}

impl Gate {
    /// Waits until a read may be sent.
    pub async fn pass(&self) {
        // The lock is held while waiting: that is the queue, and the lock is fair.
        let mut passed = self.passed.lock().await;
        if passed.len() >= READS
            && let Some(first) = passed.pop_front()
        {
            tokio::time::sleep_until(first + WINDOW).await;
        }
        passed.push_back(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_lets_more_through_than_the_window_allows() {
        let gate = Gate::default();
        let start = Instant::now();
        for _ in 0..READS {
            gate.pass().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        gate.pass().await;
        assert_eq!(start.elapsed(), WINDOW);
    }
}
