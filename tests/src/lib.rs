//! What the end-to-end tests stand on: a server that really runs, agents to give it, and a look at what it does to the
//! machine.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what does not work is to be seen at once"
)]

pub mod archive;
pub mod host;
pub mod issuer;
pub mod process;
mod program;
mod server;
pub mod shape;
pub mod stores;
pub mod terminal;
mod user;

pub use issuer::Issuer;
pub use program::program;
pub use server::{Answer, Castari, Options, run};
pub use user::User;

use std::time::{Duration, Instant};

/// Waits for a condition that nothing tells of, such as the end of a process that is not ours.
pub async fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for something that has to come, for a while.
pub async fn within<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}
