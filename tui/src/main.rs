//! The `castari` program: the dashboard, the server alone, and a look at the machine.

mod cli;

use std::path::Path;
use std::process::ExitCode;

use castari_server::platform::build::{STRIP_ARGUMENT, strip_types};
use castari_server::sandbox::{SPAWNER_ARGUMENT, run_spawner};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let arg = |index: usize| args.get(index).map_or(Path::new(""), Path::new);
    // The parts that this program plays as its own child, before anything else is started.
    if arg(0) == SPAWNER_ARGUMENT {
        return run_spawner();
    }
    if arg(0) == STRIP_ARGUMENT {
        return strip_types(arg(1), arg(2));
    }
    cli::run()
}
