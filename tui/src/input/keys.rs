//! Which keys stand for what, in one place; vi's letters and the arrows side by side.

use crossterm::event::{KeyCode, KeyModifiers};

use super::{Action, Command, Key};

/// One row up.
pub const UP: &[Key] = &[Key::plain(KeyCode::Up), Key::char('k')];
/// One row down.
pub const DOWN: &[Key] = &[Key::plain(KeyCode::Down), Key::char('j')];
/// To the left.
pub const LEFT: &[Key] = &[Key::plain(KeyCode::Left), Key::char('h')];
/// To the right.
pub const RIGHT: &[Key] = &[Key::plain(KeyCode::Right), Key::char('l')];
/// A screenful up.
pub const PAGE_UP: &[Key] = &[Key::plain(KeyCode::PageUp), Key::ctrl('b'), Key::ctrl('u')];
/// A screenful down.
pub const PAGE_DOWN: &[Key] = &[
    Key::plain(KeyCode::PageDown),
    Key::ctrl('f'),
    Key::ctrl('d'),
    Key::char(' '),
];
/// To the first row.
pub const FIRST: &[Key] = &[Key::plain(KeyCode::Home), Key::char('g')];
/// To the last row.
pub const LAST: &[Key] = &[Key::plain(KeyCode::End), Key::char('G')];
/// Into what is selected.
pub const OPEN: &[Key] = &[Key::plain(KeyCode::Enter)];
/// Enter, where it does something.
pub const ENTER: &[Key] = &[Key::plain(KeyCode::Enter)];
/// Back to where one came from.
pub const BACK: &[Key] = &[Key::plain(KeyCode::Esc), Key::plain(KeyCode::Backspace)];
/// Escape, where text is typed.
pub const ESCAPE: &[Key] = &[Key::plain(KeyCode::Esc)];
/// Escape, or what stops a program elsewhere.
pub const CANCEL: &[Key] = &[Key::plain(KeyCode::Esc), Key::ctrl('c')];
/// The next of several things.
pub const NEXT: &[Key] = &[Key::plain(KeyCode::Tab)];
/// The one before of several things.
pub const PREVIOUS: &[Key] = &[Key::plain(KeyCode::BackTab)];
/// The next of several fields.
pub const NEXT_FIELD: &[Key] = &[Key::plain(KeyCode::Down), Key::ctrl('n')];
/// The one before of several fields.
pub const PREVIOUS_FIELD: &[Key] = &[Key::plain(KeyCode::Up), Key::plain(KeyCode::BackTab), Key::ctrl('p')];
/// A new agent.
pub const CREATE: &[Key] = &[Key::char('n')];
/// Run an agent.
pub const INVOKE: &[Key] = &[Key::char('i')];
/// Stop an agent.
pub const STOP: &[Key] = &[Key::char('s')];
/// Deploy an agent.
pub const REDEPLOY: &[Key] = &[Key::char('r'), Key::char('d')];
/// Delete an agent.
pub const DELETE: &[Key] = &[Key::char('x'), Key::plain(KeyCode::Delete)];
/// New code for an agent.
pub const UPLOAD: &[Key] = &[Key::char('u')];
/// Narrow a list.
pub const FILTER: &[Key] = &[Key::char('/')];
/// Do it once more.
pub const AGAIN: &[Key] = &[Key::char('r'), Key::ctrl('r')];
/// Change the prompt.
pub const EDIT: &[Key] = &[Key::char('e'), Key::char('n'), Key::char('i')];
/// To the end of a log, and stay there.
pub const FOLLOW: &[Key] = &[Key::char('f')];
/// Send a prompt.
pub const SEND: &[Key] = &[Key::plain(KeyCode::Enter), Key::ctrl('s'), Key::plain(KeyCode::F(5))];
/// A line break in a prompt.
pub const NEWLINE: &[Key] = &[
    Key::with(KeyModifiers::ALT, KeyCode::Enter),
    Key::with(KeyModifiers::SHIFT, KeyCode::Enter),
    Key::ctrl('j'),
];
/// Yes.
pub const YES: &[Key] = &[Key::char('y')];
/// No.
pub const NO: &[Key] = &[Key::char('n'), Key::plain(KeyCode::Esc), Key::char('q')];
/// Read everything again.
pub const REFRESH: &[Key] = &[Key::ctrl('r'), Key::plain(KeyCode::F(5))];
/// What can be done here.
pub const HELP: &[Key] = &[Key::char('?'), Key::plain(KeyCode::F(1))];
/// Close a popup that only shows.
pub const CLOSE: &[Key] = &[
    Key::plain(KeyCode::Esc),
    Key::char('q'),
    Key::char('?'),
    Key::plain(KeyCode::F(1)),
    Key::plain(KeyCode::Enter),
];
/// Leave the program.
pub const QUIT: &[Key] = &[Key::char('q')];
/// Leave the program from anywhere.
pub const INTERRUPT: &[Key] = &[Key::ctrl('c')];
/// Stop the program and give the shell back.
pub const SUSPEND: &[Key] = &[Key::ctrl('z')];

/// The commands that move through anything that has rows.
#[must_use]
pub fn movement() -> [Command; 6] {
    [
        Command::new(UP, "up", Action::Up, "One row up").quiet(),
        Command::new(DOWN, "down", Action::Down, "One row down").quiet(),
        Command::new(PAGE_UP, "page up", Action::PageUp, "A screenful up").quiet(),
        Command::new(PAGE_DOWN, "page down", Action::PageDown, "A screenful down").quiet(),
        Command::new(FIRST, "first", Action::First, "To the start").quiet(),
        Command::new(LAST, "last", Action::Last, "To the end").quiet(),
    ]
}
