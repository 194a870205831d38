//! Tests of the dashboard as a whole: what it looks like, what it does with hostile input, and whole journeys against
//! a server.

mod commands;
mod fixtures;
mod journey;
mod mock;
mod picture;
mod robustness;
mod snapshots;
mod stage;
