//! The Castari platform for one machine.

pub mod objects;
pub mod sandbox;
pub mod store;
