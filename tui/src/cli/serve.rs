//! `castari serve`: the server alone.

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use castari_server::Server;
use castari_server::settings::Settings;
use color_eyre::eyre::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The variable that says how much is logged, in the syntax of `tracing_subscriber`'s `EnvFilter`.
const LOG_VARIABLE: &str = "CASTARI_LOG";

pub(super) async fn run(settings: Settings) -> Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_env_filter(filter())
        .init();
    let mut stop = Stop::listen()?;
    let server = Server::start(settings, &super::program()).await?;
    writeln!(io::stdout(), "listening on http://{}", server.address())?;
    stop.asked().await;
    tracing::info!("ending what runs; a second signal ends it at once");
    server.stop(stop.asked()).await;
    Ok(ExitCode::SUCCESS)
}

/// Sends the log to a file, as where the terminal is the dashboard's.
pub(super) fn log_to(file: File) {
    tracing_subscriber::fmt()
        .with_writer(file)
        .with_ansi(false)
        .with_env_filter(filter())
        .init();
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// The signals that ask a server to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
