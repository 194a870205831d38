use ratatui::layout::Rect;

use super::Canvas;
use crate::input::{Action, Command};
use crate::state::App;
use crate::text;

/// Draws the commands that matter here. Help keeps its place at the right, whatever else has no room.
pub fn draw(app: &App, canvas: &mut Canvas<'_>, row: Rect) {
    let global = app.global_commands();
    let help = global.iter().find(|command| command.action == Action::Help);
    let typing = app.top().typing();
    let mut right = row.right().saturating_sub(1);
    if let Some((help, key)) = help.and_then(|help| Some((help, shown_key(help, typing)?))) {
        let width = columns(help, &key);
        right = right.saturating_sub(width);
        draw_command(canvas, right, row.y, width, (help, &key));
    }
    let mut x = row.x + 1;
    let own = app.top().commands();
    for command in own.iter().chain(&global) {
        if !command.prominent || command.action == Action::Help {
            continue;
        }
        let Some(key) = shown_key(command, typing) else {
            continue;
        };
        let width = columns(command, &key);
        if x + width + 2 > right {
            break;
        }
        draw_command(canvas, x, row.y, width, (command, &key));
        x += width + 3;
    }
}

/// The first key of a command that does not type something instead.
fn shown_key(command: &Command, typing: bool) -> Option<String> {
    let key = command.keys.iter().find(|key| !(typing && key.types()))?;
    Some(key.to_string())
}

fn columns(command: &Command, key: &str) -> u16 {
    u16::try_from(text::width(key) + 1 + text::width(command.label)).unwrap_or(u16::MAX)
}

fn draw_command(canvas: &mut Canvas<'_>, x: u16, y: u16, width: u16, (command, key): (&Command, &str)) {
    if command.unavailable.is_none() {
        canvas.key(x, y, width, key, command.label, command.action);
    } else {
        canvas.put(x, y, width, &format!("{key} {}", command.label), canvas.theme.faint);
    }
}
