//! A question before something is done.

use ratatui::layout::Rect;

use super::{Canvas, Hit};
use crate::input::Action;
use crate::state::Confirm;
use crate::text;

const WIDTH: u16 = 60;

/// Draws the question and its two buttons.
pub fn draw(confirm: &Confirm, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let room = usize::from(WIDTH.min(area.width).saturating_sub(4).max(1));
    let rows = u16::try_from(text::wrap(confirm.meaning, room).len()).unwrap_or(1);
    let popup = canvas.popup(area, WIDTH, rows + 7);
    let inner = canvas.panel(popup, "", true);
    let question = [
        (confirm.verb, theme.strong),
        (" ", theme.text),
        (confirm.name.as_str(), theme.accent),
        ("?", theme.strong),
    ];
    canvas.put_all(inner.x, inner.y + 1, inner.width, question);
    let text_area = Rect {
        y: inner.y + 3,
        height: inner.height.saturating_sub(4),
        ..inner
    };
    canvas.put_wrapped(text_area.intersection(inner), confirm.meaning, theme.dim);
    let y = inner.bottom().saturating_sub(1);
    let label = format!("{} (y)", confirm.verb);
    let used = canvas.button(inner.x, y, &label, confirm.yes, Hit::Do(Action::Yes));
    canvas.button(inner.x + used + 2, y, "Cancel (n)", !confirm.yes, Hit::Do(Action::No));
}
