use ratatui::layout::Rect;

use super::Canvas;
use crate::input::{Action, Command};
use crate::state::App;
use crate::text;

/// What stands at the right, from there on.
const FIXED: [Action; 2] = [Action::Help, Action::Quit];

/// Draws the commands that matter here, first those that can be done now. Help and the way out keep their places at the
/// right, whatever else has no room.
pub fn draw(app: &App, canvas: &mut Canvas<'_>, row: Rect) {
    let global = app.global_commands();
    let typing = app.top().typing();
    let mut right = row.right().saturating_sub(1);
    for fixed in FIXED {
        let command = global
            .iter()
            .find(|command| command.prominent && command.action == fixed);
        if let Some((command, key)) = command.and_then(|command| Some((command, shown_key(command, typing)?))) {
            let width = columns(command, &key);
            right = right.saturating_sub(width);
            draw_command(canvas, right, row.y, width, (command, &key));
            right = right.saturating_sub(3);
        }
    }
    let mut x = row.x + 1;
    let mut commands = app.top().commands();
    commands.extend(global);
    commands.retain(|command| command.prominent && !FIXED.contains(&command.action));
    commands.sort_by_key(|command| command.unavailable.is_some());
    for command in &commands {
        let Some(key) = shown_key(command, typing) else {
            continue;
        };
        let width = columns(command, &key);
        if x + width > right {
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
