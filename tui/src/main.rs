//! The `castari` program.
use castari_server::sandbox::{SPAWNER_ARGUMENT, run_spawner};
fn main() -> std::process::ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|arg| arg == SPAWNER_ARGUMENT) {
        return run_spawner(args.next().unwrap_or_default().as_ref());
    }
    std::process::ExitCode::SUCCESS
}
