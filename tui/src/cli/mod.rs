//! The command line.

mod attach;
mod doctor;
mod rotate;
mod serve;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use castari_server::settings::{self, Setting, Settings, TABLE};
use clap::{Arg, ArgMatches, Command};
use color_eyre::eyre::{Result, eyre};

/// How long the end may wait for what still runs in the process.
const LAST_WORDS: Duration = Duration::from_secs(1);

const ABOUT: &str = "Run AI agents on your own machine.

Without a command, opens the dashboard: on the server that CASTARI_API_URL and CASTARI_API_KEY name, else on the one \
that runs on this machine, else on one that it starts itself.";

const ROTATE: &str = "Make a new master key and encrypt all secrets with it; the server has to be stopped. \
A new key may also be given in CASTARI_NEW_MASTER_KEY";

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    if let Err(error) = color_eyre::install() {
        return fail(&error);
    }
    let matches = command().get_matches();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let done = runtime.block_on(async {
        match matches.subcommand() {
            Some(("serve", matches)) => serve::run(settings(matches)?).await,
            Some(("doctor", _)) => doctor::run().await,
            Some(("rotate-master-key", matches)) => rotate::run(settings(matches)?).await,
            _ => attach::run(settings(&matches)?).await,
        }
    });
    // Whoever reads from a terminal that is gone may read for ever, and nothing that matters is left to wait for.
    runtime.shutdown_timeout(LAST_WORDS);
    done.unwrap_or_else(|error| fail(&error))
}

/// Says what went wrong in one line: a backtrace is for faults of ours.
fn fail(error: &color_eyre::Report) -> ExitCode {
    let _ = writeln!(io::stderr(), "castari: {}", said(error));
    ExitCode::FAILURE
}

/// An error with its causes, without those that it tells already.
fn said(error: &color_eyre::Report) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

fn command() -> Command {
    let with_settings = |command: Command| command.args(TABLE.iter().map(argument)).arg(config());
    with_settings(Command::new("castari"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .args_conflicts_with_subcommands(true)
        .subcommand(with_settings(Command::new("serve")).about("Run the server alone; it logs to stderr"))
        .subcommand(with_settings(Command::new("rotate-master-key")).about(ROTATE))
        .subcommand(Command::new("doctor").about("Say what this machine can and cannot do, and what to do about it"))
}

fn argument(setting: &Setting) -> Arg {
    let default = setting.default.filter(|default| !default.is_empty());
    let default = default.map_or(String::new(), |default| format!(" [default: {default}]"));
    let help = format!("{}{default} [env: {}]", setting.help, setting.variable());
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help(help)
}

fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The settings file [default: $XDG_CONFIG_HOME/castari/config.toml] [env: CASTARI_CONFIG]")
}

fn settings(matches: &ArgMatches) -> Result<Settings> {
    let named = matches.get_one::<PathBuf>("config").cloned();
    let named = named.or_else(|| std::env::var_os("CASTARI_CONFIG").map(PathBuf::from));
    let file = named.clone().unwrap_or_else(settings::default_file);
    let flag = |name: &str| matches.get_one::<String>(name).cloned();
    Settings::gather(flag, &file, named.is_some()).map_err(|fault| eyre!(fault))
}

/// This program's own file, which the server starts its spawner from.
fn program() -> PathBuf {
    "/proc/self/exe".into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
