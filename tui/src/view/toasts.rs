use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::{Canvas, Hit};
use crate::state::{Toasts, Tone};
use crate::text;

const WIDEST: u16 = 64;
const TALLEST: usize = 3;

/// Draws the toasts, the newest at the bottom right.
pub fn draw(toasts: &Toasts, canvas: &mut Canvas<'_>, area: Rect) {
    let mut bottom = area.bottom().saturating_sub(1);
    for (index, toast) in toasts.shown().iter().enumerate().rev() {
        let (sign, style) = match toast.tone {
            Tone::Good => ("✓", canvas.theme.good),
            Tone::Hint => ("•", canvas.theme.warn),
            Tone::Bad => ("✗", canvas.theme.bad),
        };
        let clean = text::line(&toast.text);
        let room = WIDEST.min(area.width.saturating_sub(4));
        let rows = text::wrap(&clean, usize::from(room.saturating_sub(6).max(1)));
        let height = u16::try_from(rows.len().min(TALLEST)).unwrap_or(1);
        let widest = rows
            .iter()
            .map(|(start, end)| text::width(&clean[*start..*end]))
            .max()
            .unwrap_or(0);
        let width = u16::try_from(widest + 5).unwrap_or(room).min(room);
        if bottom < area.y + height + 2 {
            return;
        }
        let box_area = Rect {
            x: area.right() - width - 2,
            y: bottom - height,
            width,
            height,
        };
        bottom -= height + 1;
        Clear.render(box_area, canvas.buffer);
        canvas.fill(box_area, canvas.theme.field);
        for (row, (start, end)) in rows.into_iter().take(TALLEST).enumerate() {
            let y = box_area.y + u16::try_from(row).unwrap_or(0);
            let sign = if row == 0 { sign } else { " " };
            canvas.put(box_area.x, y, 1, "▌", style.patch(canvas.theme.field));
            canvas.put(box_area.x + 2, y, 1, sign, style.patch(canvas.theme.field));
            let style = canvas.theme.text.patch(canvas.theme.field);
            canvas.put(box_area.x + 4, y, width - 4, clean[start..end].trim_end(), style);
        }
        canvas.hits.add(box_area, Hit::Toast(index));
    }
}
