//! What a mouse does.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use jiff::Timestamp;

use super::App;
use crate::input::Action;
use crate::view::Hit;

/// How many rows one notch of the wheel moves.
const NOTCH: isize = 3;
/// How quickly a second click must follow to be a double click.
const DOUBLE_CLICK: jiff::SignedDuration = jiff::SignedDuration::from_millis(400);

/// What was clicked last.
#[derive(Debug, Default)]
pub struct Pointer {
    last: Option<(Timestamp, Hit)>,
}

impl App {
    pub(super) fn mouse(&mut self, mouse: MouseEvent) {
        let (column, row) = (mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => self.click(column, row),
            MouseEventKind::ScrollUp => self.wheel(column, row, -NOTCH),
            MouseEventKind::ScrollDown => self.wheel(column, row, NOTCH),
            _ => {}
        }
    }

    fn click(&mut self, column: u16, row: u16) {
        let Some(hit) = self.hits.at(column, row) else { return };
        let double = self
            .pointer
            .last
            .take()
            .is_some_and(|(then, last)| last == hit && self.now.duration_since(then) <= DOUBLE_CLICK);
        if !double {
            self.pointer.last = Some((self.now, hit));
        }
        match hit {
            Hit::Do(action) => self.click_command(action),
            Hit::Item(region, index) => {
                self.with_top(|top, cx| top.click(region, index, cx));
                if double
                    && self
                        .top()
                        .commands()
                        .iter()
                        .any(|command| command.action == Action::Open)
                {
                    self.perform(Action::Open);
                }
            }
            Hit::Toast(index) => self.toasts.dismiss(index),
            Hit::Wheel(_) | Hit::Nothing => {}
        }
    }

    fn click_command(&mut self, action: Action) {
        let own = self.top().commands();
        let found = own
            .into_iter()
            .chain(self.global_commands())
            .find(|command| command.action == action);
        if let Some(command) = found {
            self.obey(&command);
        }
    }

    fn wheel(&mut self, column: u16, row: u16, rows: isize) {
        if let Some(region) = self.hits.wheel_at(column, row) {
            self.with_top(|top, cx| top.wheel(region, rows, cx));
        }
    }
}
