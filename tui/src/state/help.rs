use ratatui::layout::Rect;

use super::{Component, Context, Region};
use crate::input::{Action, Command, keys};
use crate::view::{self, Canvas};

/// All that can be done where the user was when asking.
pub struct Help {
    /// The commands by where they belong.
    pub sections: Vec<(String, Vec<Command>)>,
    /// How far it is scrolled.
    pub top: usize,
    /// How far it could be.
    pub last_top: usize,
}

impl Help {
    /// Shows these commands.
    #[must_use]
    pub fn new(sections: Vec<(String, Vec<Command>)>) -> Self {
        Self {
            sections,
            top: 0,
            last_top: 0,
        }
    }
}

impl Component for Help {
    fn title(&self) -> String {
        "Help".into()
    }

    fn commands(&self) -> Vec<Command> {
        let mut commands = vec![
            Command::new(keys::CLOSE, "close", Action::Back, "Close the help"),
            Command::new(keys::DOWN, "scroll", Action::Down, "Scroll down"),
        ];
        commands.extend(
            keys::movement()
                .into_iter()
                .filter(|command| command.action != Action::Down),
        );
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        match action {
            Action::Back => cx.close(),
            Action::Up => self.top = self.top.saturating_sub(1),
            Action::Down => self.top = (self.top + 1).min(self.last_top),
            Action::PageUp => self.top = self.top.saturating_sub(10),
            Action::PageDown => self.top = (self.top + 10).min(self.last_top),
            Action::First => self.top = 0,
            Action::Last => self.top = self.last_top,
            _ => return false,
        }
        true
    }

    fn wheel(&mut self, _region: Region, rows: isize, _cx: &mut Context<'_>) {
        self.top = self.top.saturating_add_signed(rows).min(self.last_top);
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::help::draw(self, canvas, area);
    }
}
