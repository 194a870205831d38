//! The server from outside: the real program, over HTTP, and what it leaves on the machine.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what does not work is to be seen at once, also in what its functions share"
)]

mod agents;
mod api;
mod api_keys;
mod attachments;
mod buckets;
mod crash;
mod crowd;
mod dashboard;
mod deploy;
mod endurance;
mod events;
mod files;
mod git;
mod hostile;
mod hostile_http;
mod invoke;
mod isolation;
mod mounts;
mod openapi;
mod ordinary;
mod secrets;
mod sessions;
mod start;
mod stores;
mod tokens;
mod usage;
mod users;
