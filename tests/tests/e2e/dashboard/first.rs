//! The first start of all.

use std::time::Duration;

use super::{USUAL, bundled, home};

#[test]
fn an_empty_start_says_what_to_do_and_leaves_nothing_behind() {
    let home = home();
    let mut terminal = bundled(home.path(), USUAL);
    terminal.wait_for("There is no agent yet");
    terminal.wait_for("● live");
    for text in [
        "a folder",
        "a git URL",
        "the starter agent",
        "bundled",
        "? help",
        "q quit",
    ] {
        terminal.wait_for(text);
    }
    assert!(terminal.note_processes() > 0, "the spawner runs");
    terminal.keys("q");
    assert_eq!(terminal.ended(Duration::from_secs(5)), 0);
    terminal.assert_restored();
    assert_eq!(terminal.screen().trim(), "", "nothing is left on the user's own screen");
}
