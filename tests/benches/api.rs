//! What the API costs: requests a second, side by side with a bare axum server that answers the same bytes.
//!
//! `cargo bench -p castari-tests --bench api` prints a table.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run is to say so at once")]

#[path = "api/load.rs"]
mod load;

fn main() {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        // The part that this program plays as its own child.
        Some(load::BARE_ARGUMENT) => load::serve_bare(&args.next().unwrap()),
        Some("--bench") => tokio::runtime::Runtime::new().unwrap().block_on(load::compare()),
        // `cargo test --all-targets` runs benchmarks too, unoptimised.
        _ => {}
    }
}
