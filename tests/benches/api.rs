//! What the API costs: requests a second, side by side with a bare axum server that answers the same bytes; and lists and
//! usage over a million invocations.
//!
//! `cargo bench -p castari-tests --bench api` prints tables; with `load` or `rows` behind it, only those.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run is to say so at once")]

#[path = "api/load.rs"]
mod load;
#[path = "api/rows.rs"]
mod rows;
#[path = "api/seed.rs"]
mod seed;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, file] = args.as_slice()
        && first == load::BARE_ARGUMENT
    {
        // The part that this program plays as its own child.
        return load::serve_bare(file);
    }
    // `cargo test --all-targets` runs benchmarks too, unoptimised: then there is nothing to measure.
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    let wants = |name: &str| {
        let mut names = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|wanted| wanted == name)
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        if wants("load") {
            load::compare().await;
        }
        if wants("rows") {
            rows::measure().await;
        }
    });
}
