//! The Castari platform for one machine: its API, its store, and the sandboxes that agents run in.
//!
//! A request walks straight through: [`http`] parses and checks, [`platform`] decides, [`store`], [`objects`] and
//! [`sandbox`] do. Lower rooms know nothing of upper ones. A resource has the same file name in every room.

pub mod doctor;
pub mod http;
pub mod objects;
pub mod platform;
pub mod sandbox;
mod server;
pub mod settings;
pub mod store;

pub use server::{Server, StartError, rotate_master_key};
