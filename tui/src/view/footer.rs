use ratatui::layout::Rect;

use super::Canvas;
use crate::input::{Action, Command};
use crate::state::App;
use crate::text;

/// Draws the commands that matter here. Help keeps its place at the right, whatever else has no room.
pub fn draw(app: &App, canvas: &mut Canvas<'_>, row: Rect) {
    let global = app.global_commands();
    let help = global.iter().find(|command| command.action == Action::Help);
    let mut right = row.right().saturating_sub(1);
    if let Some(help) = help {
        let width = columns(help);
        right = right.saturating_sub(width);
        draw_command(canvas, right, row.y, width, help);
    }
    let mut x = row.x + 1;
    let own = app.top().commands();
    for command in own.iter().chain(&global) {
        if !command.prominent || command.keys.is_empty() || command.action == Action::Help {
            continue;
        }
        let width = columns(command);
        if x + width + 2 > right {
            break;
        }
        draw_command(canvas, x, row.y, width, command);
        x += width + 3;
    }
}

fn columns(command: &Command) -> u16 {
    let key = command.keys.first().map(ToString::to_string).unwrap_or_default();
    u16::try_from(text::width(&key) + 1 + text::width(command.label)).unwrap_or(u16::MAX)
}

fn draw_command(canvas: &mut Canvas<'_>, x: u16, y: u16, width: u16, command: &Command) {
    let Some(key) = command.keys.first() else { return };
    if command.unavailable.is_none() {
        canvas.key(x, y, width, &key.to_string(), command.label, command.action);
    } else {
        canvas.put(x, y, width, &format!("{key} {}", command.label), canvas.theme.faint);
    }
}
