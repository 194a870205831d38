use crossterm::event::KeyCode;
use ratatui::layout::Rect;

use super::{Component, Context};
use crate::effects::Effect;
use crate::input::{Action, Command, Key, keys};
use crate::view::{self, Canvas};

const SWITCH: &[Key] = &[
    Key::plain(KeyCode::Tab),
    Key::plain(KeyCode::BackTab),
    Key::plain(KeyCode::Left),
    Key::plain(KeyCode::Right),
    Key::char('h'),
    Key::char('l'),
];

/// A question before something is done that is not easily undone.
pub struct Confirm {
    /// What would be done.
    pub verb: &'static str,
    /// To whom.
    pub name: String,
    /// What that means.
    pub meaning: &'static str,
    /// Whether Enter means yes.
    pub yes: bool,
    effect: Effect,
}

impl Confirm {
    /// Asks whether to do `verb` to `name`; `effect` does it.
    #[must_use]
    pub fn new(verb: &'static str, name: &str, meaning: &'static str, effect: Effect) -> Self {
        Self {
            verb,
            name: name.into(),
            meaning,
            yes: false,
            effect,
        }
    }
}

impl Component for Confirm {
    fn title(&self) -> String {
        format!("{}?", self.verb)
    }

    fn commands(&self) -> Vec<Command> {
        vec![
            Command::new(keys::YES, "yes", Action::Yes, "Do it"),
            Command::new(keys::NO, "no", Action::No, "Leave everything as it is"),
            Command::new(SWITCH, "switch", Action::NextSection, "To the other button"),
            Command::new(keys::ENTER, "choose", Action::Submit, "What the lit button says"),
        ]
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        match action {
            Action::NextSection => self.yes = !self.yes,
            Action::Yes => {
                cx.run(self.effect.clone());
                cx.close();
            }
            Action::Submit if self.yes => return self.perform(Action::Yes, cx),
            Action::No | Action::Submit => cx.close(),
            _ => return false,
        }
        true
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::confirm::draw(self, canvas, area);
    }
}
