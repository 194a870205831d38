//! Keys, the commands that they stand for, and fields to type into.

mod editor;
mod field;
pub mod keys;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use editor::Editor;
pub use field::Field;

use crate::state::PaneId;

/// A key with its modifiers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key {
    /// The key.
    pub code: KeyCode,
    /// What is held with it. Shift is part of a character already and not named here.
    pub modifiers: KeyModifiers,
}

impl Key {
    /// A key on its own.
    #[must_use]
    pub const fn plain(code: KeyCode) -> Self {
        let modifiers = KeyModifiers::NONE;
        Self { code, modifiers }
    }

    /// A character.
    #[must_use]
    pub const fn char(c: char) -> Self {
        Self::plain(KeyCode::Char(c))
    }

    /// A character with Ctrl.
    #[must_use]
    pub const fn ctrl(c: char) -> Self {
        let modifiers = KeyModifiers::CONTROL;
        let code = KeyCode::Char(c);
        Self { code, modifiers }
    }

    /// A key with modifiers.
    #[must_use]
    pub const fn with(modifiers: KeyModifiers, code: KeyCode) -> Self {
        Self { code, modifiers }
    }

    /// Whether that is what was pressed.
    #[must_use]
    pub fn matches(self, event: &KeyEvent) -> bool {
        // Terminals disagree on whether they report Shift beside a character and beside BackTab that it makes.
        let ignored = match self.code {
            KeyCode::Char(_) | KeyCode::BackTab => KeyModifiers::SHIFT,
            _ => KeyModifiers::NONE,
        };
        event.code == self.code && event.modifiers.difference(ignored) == self.modifiers
    }

    /// Whether the key would type something into a text field.
    #[must_use]
    pub fn types(self) -> bool {
        matches!(self.code, KeyCode::Char(_)) && self.modifiers.is_empty()
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.modifiers.contains(KeyModifiers::CONTROL) {
            f.write_str("^")?;
        }
        if self.modifiers.contains(KeyModifiers::ALT) {
            f.write_str("alt-")?;
        }
        if self.modifiers.contains(KeyModifiers::SHIFT) {
            f.write_str("shift-")?;
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("space"),
            KeyCode::Char(c) if self.modifiers.contains(KeyModifiers::CONTROL) => {
                write!(f, "{}", c.to_ascii_uppercase())
            }
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::Enter => f.write_str("⏎"),
            KeyCode::Esc => f.write_str("esc"),
            KeyCode::Tab => f.write_str("tab"),
            KeyCode::BackTab => f.write_str("shift-tab"),
            KeyCode::Up => f.write_str("↑"),
            KeyCode::Down => f.write_str("↓"),
            KeyCode::Left => f.write_str("←"),
            KeyCode::Right => f.write_str("→"),
            KeyCode::PageUp => f.write_str("pgup"),
            KeyCode::PageDown => f.write_str("pgdn"),
            KeyCode::Home => f.write_str("home"),
            KeyCode::End => f.write_str("end"),
            KeyCode::Delete => f.write_str("del"),
            KeyCode::F(number) => write!(f, "F{number}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What a key, a button or a click asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    missing_docs,
    reason = "each name is the verb that its command describes to the user"
)]
pub enum Action {
    Again,
    Back,
    Cancel,
    Choose(usize),
    Complete,
    Create,
    Delete,
    Down,
    EditPrompt,
    Filter,
    First,
    Follow,
    Help,
    Hide,
    Invoke,
    KeepFilter,
    Last,
    Left,
    Newline,
    NextField,
    NextPane,
    NextSection,
    No,
    Open,
    PageDown,
    PageUp,
    Pane(PaneId),
    PreviousField,
    PreviousPane,
    PreviousSection,
    Quit,
    Redeploy,
    Refresh,
    Retry,
    Right,
    Stop,
    Submit,
    Suspend,
    Up,
    Upload,
    Yes,
}

/// Something that can be done where the user is. Footer and help are made from these, and keys are looked up in them,
/// so that there is no key that the help does not know.
#[derive(Clone, Debug)]
pub struct Command {
    /// The keys that do it; the first is the one to show.
    pub keys: &'static [Key],
    /// What the footer calls it.
    pub label: &'static str,
    /// What the help says of it.
    pub about: &'static str,
    /// What it does.
    pub action: Action,
    /// Why it cannot be done now.
    pub unavailable: Option<&'static str>,
    /// Whether it is one of the few that the footer shows.
    pub prominent: bool,
}

impl Command {
    /// A command that can be done and that the footer shows.
    #[must_use]
    pub const fn new(keys: &'static [Key], label: &'static str, action: Action, about: &'static str) -> Self {
        Self {
            keys,
            label,
            about,
            action,
            unavailable: None,
            prominent: true,
        }
    }

    /// The same, in the help alone.
    #[must_use]
    pub const fn quiet(mut self) -> Self {
        self.prominent = false;
        self
    }

    /// The same, which cannot be done for that reason, where there is one.
    #[must_use]
    pub const fn unless(mut self, reason: Option<&'static str>) -> Self {
        self.unavailable = reason;
        self
    }
}
