//! Sandboxes.

pub mod egress;
