//! The first screen of an empty server: what this is and what to do.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{Canvas, Hit};
use crate::input::Action;

const WIDTH: u16 = 84;

/// Draws what an agent is and how to make the first one.
pub fn draw(canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let width = WIDTH.min(area.width);
    let with_curl = area.height >= 19 && area.width >= 60;
    let needed = if with_curl { 19 } else { 10 };
    let x = area.x + (area.width - width) / 2;
    let y = area.y + area.height.saturating_sub(needed) / 2;
    let mut page = Page {
        canvas,
        area: Rect {
            x,
            y,
            width,
            height: area.bottom() - y,
        },
    };
    page.line(&[("Welcome. There is no agent yet.", theme.strong)]);
    page.gap();
    page.paragraph("An agent is a small program that reads a prompt and writes an answer. Castari builds it, runs each invocation in a sandbox of its own, and keeps the record.", theme.text);
    page.gap();
    page.command(
        &[("n", theme.key), ("  make your first agent from", theme.text)],
        Action::Create,
    );
    let kinds = [
        ("a folder", "on this machine, with a castari.json in it"),
        ("a git URL", "cloned and built by the server at each deploy"),
        ("the starter agent", "comes with the server; the quickest start"),
    ];
    for (index, (kind, about)) in kinds.into_iter().enumerate() {
        page.command(
            &[
                ("   ▸ ", theme.accent),
                (&format!("{kind:<19}"), theme.strong),
                (about, theme.dim),
            ],
            Action::Choose(index),
        );
    }
    if with_curl {
        page.gap();
        curl(&mut page);
    }
}

fn curl(page: &mut Page<'_, '_>) {
    let theme = page.canvas.theme;
    let address = page.canvas.setup.address.trim_end_matches('/').to_owned();
    page.line(&[("or the same over HTTP", theme.dim)]);
    page.gap();
    // Beside the log of a server of our own lies the key that it made.
    let data_dir = page.canvas.setup.server_log.as_ref().and_then(|log| log.parent());
    let key = match data_dir {
        Some(dir) => format!("$(cat {})", dir.join("owner.key").display()),
        None => "$CASTARI_API_KEY".into(),
    };
    let lines = [
        format!("API={address}/api/v1"),
        format!("AUTH=\"Authorization: Bearer {key}\""),
        "curl -H \"$AUTH\" --json '{\"name\":\"Hello\"}' $API/agents".into(),
        "curl -H \"$AUTH\" -X POST \"$API/agents/hello/deploy?wait=true\"".into(),
        "curl -H \"$AUTH\" --json '{\"prompt\":\"Hi\"}' $API/agents/hello/invoke".into(),
    ];
    for line in lines {
        page.line(&[("   ", theme.dim), (&line, theme.dim)]);
    }
}

/// Rows that go down a page until there is no more room.
struct Page<'c, 'b> {
    canvas: &'c mut Canvas<'b>,
    area: Rect,
}

impl Page<'_, '_> {
    fn advance(&mut self, rows: u16) {
        let rows = rows.min(self.area.height);
        self.area.y += rows;
        self.area.height -= rows;
    }

    fn gap(&mut self) {
        self.advance(1);
    }

    fn line(&mut self, pieces: &[(&str, Style)]) -> Rect {
        let row = Rect {
            height: self.area.height.min(1),
            ..self.area
        };
        if row.height > 0 {
            self.canvas.put_all(row.x, row.y, row.width, pieces.iter().copied());
        }
        self.advance(1);
        row
    }

    fn command(&mut self, pieces: &[(&str, Style)], action: Action) {
        let row = self.line(pieces);
        self.canvas.hits.add(row, Hit::Do(action));
    }

    fn paragraph(&mut self, text: &str, style: Style) {
        let used = self.canvas.put_wrapped(self.area, text, style);
        self.advance(used);
    }
}
