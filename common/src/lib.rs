//! What the server and its clients say to each other: the types of the wire contract, one file a resource, and a
//! client that speaks it.
//!
//! Each resource's file holds its types and the calls of [`Client`] that use them. Wire names are the field names
//! here. Times are RFC 3339 in UTC. Optional values are present and `null`, never left out.

pub mod account;
pub mod agents;
pub mod api_keys;
pub mod attachments;
pub mod buckets;
mod client;
pub mod deployments;
mod error;
pub mod events;
pub mod files;
pub mod health;
pub mod invocations;
mod money;
pub mod mounts;
mod page;
pub mod secrets;
pub mod sessions;
pub mod usage;

pub use client::{Client, ClientError, Refusal, http_client};
pub use error::{Detail, Fault, Problem};
pub use money::{NotMoney, Usd};
pub use page::{MAX_PAGE, Meta, Page};

/// The path that every route of the API but the probes starts with.
pub const BASE_PATH: &str = "/api/v1";

/// Where a server listens, and a client looks, when nothing else is said.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:2278";
