//! However the dashboard ends, nothing of it is left.

use std::time::Duration;

use castari_tests::terminal::{INTERRUPT, Terminal};
use nix::sys::signal::Signal;

use super::{USUAL, bundled, create_from_folder, home, invoke, script};

/// How long an end may take.
const END: Duration = Duration::from_secs(5);

/// An idle dashboard with a bundled server.
fn idle(home: &std::path::Path) -> Terminal {
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
    terminal.ended(END);
}

/// A dashboard with a bundled server in which an agent answers for ever.
fn busy(home: &std::path::Path) -> Terminal {
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
    terminal.ended(END);
}

#[test]
fn a_kill_ends_what_runs() {
    let home = home();
    let mut terminal = busy(home.path());
    terminal.signal(Signal::SIGKILL);
    terminal.ended(END);
}
