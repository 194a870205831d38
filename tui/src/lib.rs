//! The Castari dashboard: a terminal user interface that talks to a server through
//! [`castari_common::Client`] and nothing else.
//!
//! Everything that happens — a key, an answer, a change on the server — is a [`message::Message`] in one queue.
//! [`state`] takes messages, one after the other, and asks for [`effects`]; effects are asynchronous and send messages
//! back. [`view`] draws the state when the queue is empty. Data flows in that one direction.

pub mod dashboard;
pub mod effects;
pub mod input;
pub mod message;
pub mod state;
mod terminal;
pub mod text;
pub mod theme;
pub mod view;

#[cfg(test)]
mod tests;
