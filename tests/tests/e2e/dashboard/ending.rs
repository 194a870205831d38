//! However the dashboard ends, nothing of it is left.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use castari_tests::terminal::{INTERRUPT, Terminal, castari};
use castari_tests::{Castari, eventually, process};
use nix::sys::signal::Signal;

use super::{USUAL, alone, at, bundled, create_from_folder, home, invoke, script};

/// How long an end may take.
const END: Duration = Duration::from_secs(5);

/// An idle dashboard with a bundled server.
fn idle(home: &Path) -> Terminal {
    let mut terminal = bundled(home, USUAL);
    terminal.wait_for("● live");
    assert!(terminal.note_processes() > 0);
    terminal
}

#[test]
fn signals_end_it_and_give_the_terminal_back() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let home = home();
        let mut terminal = idle(home.path());
        terminal.signal(signal);
        assert_eq!(terminal.ended(END), 0, "{signal}");
        terminal.assert_restored();
    }
}

#[test]
fn ctrl_c_ends_it() {
    let home = home();
    let mut terminal = idle(home.path());
    terminal.keys(INTERRUPT);
    assert_eq!(terminal.ended(END), 0);
    terminal.assert_restored();
}

#[test]
fn a_closed_terminal_ends_it() {
    let home = home();
    let mut terminal = idle(home.path());
    terminal.close();
    assert_eq!(terminal.ended(END), 0, "an end like others");
}

/// A dashboard with a bundled server in which an agent answers for ever.
fn busy(home: &Path) -> Terminal {
    let mut terminal = idle(home);
    let folder = script(home, "endless", "console.log('at it'); setInterval(() => {}, 1000);");
    create_from_folder(&mut terminal, &folder, "Endless");
    terminal.wait_for("i invoke");
    invoke(&mut terminal, "never end");
    terminal.wait_for("at it");
    let idle = 1;
    assert!(terminal.note_processes() > idle, "the sandbox runs");
    terminal
}

#[test]
fn a_signal_ends_what_runs() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let home = home();
        let mut terminal = busy(home.path());
        terminal.signal(signal);
        assert_eq!(terminal.ended(END), 0, "{signal}");
        terminal.assert_restored();
    }
}

#[test]
fn a_closed_terminal_ends_what_runs() {
    let home = home();
    let mut terminal = busy(home.path());
    terminal.close();
    assert_eq!(terminal.ended(END), 0, "an end like others");
}

#[test]
fn a_kill_ends_what_runs() {
    let home = home();
    let mut terminal = busy(home.path());
    terminal.signal(Signal::SIGKILL);
    terminal.ended(END);
}

/// A shell that runs a line, in the dashboard's environment.
fn shell(dashboard: &Command, line: &str) -> Command {
    let mut shell = Command::new("sh");
    if !line.is_empty() {
        shell.args(["-c", line]);
    }
    shell.stdin(Stdio::null()).env("PROGRAM", dashboard.get_program());
    for (name, value) in dashboard.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_terminal_is_noticed_without_a_signal() {
    let home = home();
    // In a session of its own it can use the terminal, but is not told of its end.
    let line = "setsid sh -c 'echo $$ >pid; exec \"$PROGRAM\"'; echo gone";
    let mut command = shell(&castari(home.path(), &alone(), &[]), line);
    command.current_dir(home.path());
    for keys in ["", "12121212"] {
        let mut terminal = Terminal::start(&command, USUAL);
        terminal.wait_for("● live");
        terminal.note_processes();
        let pid = std::fs::read_to_string(home.path().join("pid")).unwrap();
        let pid: u32 = pid.trim().parse().unwrap();
        assert!(process::is_alive(pid));
        terminal.keys(keys);
        terminal.close();
        eventually("the dashboard ends", END, || !process::is_alive(pid)).await;
        terminal.ended(END);
        let log = std::fs::read_to_string(home.path().join("share/castari/server.log")).unwrap();
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_dashboard_goes_on_where_it_was() {
    let server = Castari::start().await;
    server.create("still-there").await;
    let mut terminal = Terminal::start(&shell(&castari(Path::new("/"), &at(&server), &[]), ""), USUAL);
    terminal.keys("PS1='ready> '\r");
    terminal.wait_for("ready> ");
    terminal.keys("\"$PROGRAM\"\r");
    terminal.wait_for("still-there");
    terminal.wait_for("● live");
    terminal.keys("\x1a");
    // The terminal is given back before the process stops, and the shell tells of it after that.
    terminal.wait_for("Stopped");
    assert!(!terminal.look(vt100::Screen::alternate_screen), "{}", terminal.screen());
    terminal.keys("fg\r");
    terminal.wait_until("the dashboard's screen", vt100::Screen::alternate_screen);
    terminal.wait_for("still-there");
    terminal.wait_for("? help");
    terminal.keys("?");
    terminal.wait_for("Everywhere");
    terminal.keys("?");
    terminal.wait_gone("Everywhere");
    terminal.keys("q");
    let shell = terminal.pid();
    eventually("the dashboard ends", END, || process::descendants(shell).is_empty()).await;
    terminal.keys("exit\r");
    assert_eq!(terminal.ended(END), 0);
    terminal.assert_restored();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_no_shell_could_undo_is_none() {
    let server = Castari::start().await;
    server.create("unstoppable").await;
    let mut terminal = super::attached(&server, USUAL);
    terminal.wait_for("unstoppable");
    terminal.keys("\x1a");
    terminal.wait_until("the terminal is given back", |screen| !screen.alternate_screen());
    terminal.wait_for("unstoppable");
    terminal.keys("q");
    assert_eq!(terminal.ended(END), 0);
    terminal.assert_restored();
}
