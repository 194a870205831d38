use crossterm::event::{Event, KeyEvent};
use tui_input::backend::crossterm::EventHandler;
use tui_input::{Input, InputRequest};

use crate::text;

/// One line to type into, with its label and what is wrong with it.
#[derive(Debug, Default)]
pub struct Field {
    /// What it is called.
    pub label: &'static str,
    /// What stands in it while it is empty.
    pub placeholder: String,
    /// What is wrong with it.
    pub error: Option<String>,
    /// The text and the cursor.
    pub input: Input,
    /// Whether a person typed into it, so that no suggestion may replace what it holds.
    pub touched: bool,
}

impl Field {
    /// An empty field.
    #[must_use]
    pub fn new(label: &'static str, placeholder: &str) -> Self {
        Self {
            label,
            placeholder: placeholder.into(),
            ..Self::default()
        }
    }

    /// What was typed, without the blanks around it.
    #[must_use]
    pub fn value(&self) -> &str {
        self.input.value().trim()
    }

    /// Puts a text in place of what is there.
    pub fn set(&mut self, value: &str) {
        self.input = Input::new(text::line(value).into_owned());
        self.error = None;
    }

    /// Takes a key; says whether the text changed.
    pub fn type_key(&mut self, key: KeyEvent) -> bool {
        let changed = self
            .input
            .handle_event(&Event::Key(key))
            .is_some_and(|change| change.value);
        if changed {
            self.touched = true;
            self.error = None;
        }
        changed
    }

    /// Takes a pasted text, on one line.
    pub fn paste(&mut self, pasted: &str) {
        for c in text::line(pasted.trim()).chars() {
            self.input.handle(InputRequest::InsertChar(c));
        }
        self.touched = true;
        self.error = None;
    }
}
