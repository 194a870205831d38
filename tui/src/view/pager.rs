use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{Canvas, Hit};
use crate::state::{Pager, Region};
use crate::text;

/// Draws the part of a text that is in view, and on the border of its panel where that is.
pub fn draw(canvas: &mut Canvas<'_>, panel: Rect, area: Rect, pager: &mut Pager, region: Region, style: Style) {
    canvas.hits.add(panel, Hit::Wheel(region));
    pager.lay_out(area.width.into(), area.height.into());
    for (y, row) in (area.y..area.bottom()).zip(pager.visible()) {
        canvas.put(area.x, y, area.width, row, style);
    }
    canvas.scrollbar(panel, area, pager.extent());
}

/// What to say of a growing text on the border of its panel.
pub fn note(pager: &Pager, live: bool) -> String {
    let mut note = match (live, pager.follows()) {
        (true, true) => "following".to_owned(),
        (true, false) => "paused · f follows".to_owned(),
        (false, _) if pager.is_empty() => String::new(),
        (false, _) => text::plural(pager.line_count() as u64, "line"),
    };
    if pager.dropped() > 0 {
        note = format!(
            "{} dropped · {note}",
            text::plural(pager.dropped() as u64, "early line")
        );
    }
    note
}
