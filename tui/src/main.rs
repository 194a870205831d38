//! The `castari` program.
use std::path::Path;

use castari_server::Server;
use castari_server::platform::build::{STRIP_ARGUMENT, strip_types};
use castari_server::sandbox::{SPAWNER_ARGUMENT, run_spawner};
use castari_server::settings::{Settings, default_file};
fn main() -> std::process::ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let arg = |index: usize| args.get(index).map_or(Path::new(""), Path::new);
    if arg(0) == SPAWNER_ARGUMENT {
        return run_spawner(arg(1));
    }
    if arg(0) == STRIP_ARGUMENT {
        return strip_types(arg(1), arg(2));
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let settings = Settings::gather(|_| None, &default_file(), false).unwrap();
        let server = Server::start(settings, "/proc/self/exe".as_ref()).await.unwrap();
        println!("listening on http://{}", server.address());
        tokio::signal::ctrl_c().await.unwrap();
        server.stop(async { tokio::signal::ctrl_c().await.unwrap() }).await;
    });
    std::process::ExitCode::SUCCESS
}
