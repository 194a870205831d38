//! All that can be done where the user was.

use ratatui::layout::Rect;

use super::{Canvas, Hit};
use crate::input::Command;
use crate::state::{Help, Region};
use crate::text;

const WIDTH: u16 = 100;
const KEYS: u16 = 20;

/// Draws the commands by where they belong, and where the server is.
pub fn draw(help: &mut Help, canvas: &mut Canvas<'_>, area: Rect) {
    let rows = rows(&help.sections);
    let height = u16::try_from(rows.len()).unwrap_or(u16::MAX).saturating_add(3);
    let popup = canvas.popup(area, WIDTH, height);
    let inner = canvas.panel(popup, "Help", true);
    canvas.hits.add(popup, Hit::Wheel(Region(0)));
    help.last_top = rows.len().saturating_sub(inner.height.into());
    help.top = help.top.min(help.last_top);
    for (y, row) in (inner.y..inner.bottom()).zip(rows.iter().skip(help.top)) {
        match row {
            HelpRow::Blank => {}
            HelpRow::Heading(title) => {
                canvas.put(inner.x, y, inner.width, title, canvas.theme.accent);
            }
            HelpRow::Command(command) => draw_command(canvas, inner, y, command),
        }
    }
    canvas.scrollbar(popup, inner, (help.top, inner.height.into(), rows.len()));
    if let Some(log) = &canvas.setup.server_log {
        let log = log.display().to_string();
        canvas.panel_foot(
            popup,
            [("server log ", canvas.theme.dim), (log.as_str(), canvas.theme.text)],
        );
    }
}

enum HelpRow<'a> {
    Blank,
    Heading(&'a str),
    Command(&'a Command),
}

fn rows(sections: &[(String, Vec<Command>)]) -> Vec<HelpRow<'_>> {
    let mut rows = Vec::new();
    for (title, commands) in sections {
        if !rows.is_empty() {
            rows.push(HelpRow::Blank);
        }
        rows.push(HelpRow::Heading(title));
        rows.extend(
            commands
                .iter()
                .filter(|command| !command.keys.is_empty())
                .map(HelpRow::Command),
        );
    }
    rows
}

fn draw_command(canvas: &mut Canvas<'_>, area: Rect, y: u16, command: &Command) {
    let theme = canvas.theme;
    let keys: Vec<String> = command.keys.iter().map(ToString::to_string).collect();
    let keys = keys.join(" ");
    let wide = u16::try_from(text::width(&keys))
        .unwrap_or(u16::MAX)
        .clamp(KEYS, KEYS + 8);
    canvas.put(area.x, y, wide, &keys, theme.key);
    let x = area.x + wide + 2;
    let room = area.right().saturating_sub(x);
    match command.unavailable {
        None => canvas.put(x, y, room, command.about, theme.text),
        Some(reason) => canvas.put_all(
            x,
            y,
            room,
            [
                (command.about, theme.faint),
                (" — not now: ", theme.faint),
                (reason, theme.faint),
            ],
        ),
    };
}
