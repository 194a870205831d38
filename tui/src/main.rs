//! The `castari` program.

fn main() {}
