//! The form that makes an agent.

use ratatui::layout::Rect;

use super::{Canvas, Hit};
use crate::state::{Component, Create, FIELDS, Kind, SOURCES, SUBMIT};
use crate::text;

const WIDTH: u16 = 78;
const LABEL: u16 = 12;

/// Draws the kinds, the fields of the one that is chosen, and the button.
pub fn draw(form: &Create, canvas: &mut Canvas<'_>, area: Rect) {
    let roomy = area.height >= 20;
    let gap = u16::from(roomy);
    let fields = u16::try_from(form.rows().count()).unwrap_or(0);
    let errors = u16::try_from(form.rows().filter(|(_, field, _)| field.error.is_some()).count()).unwrap_or(0);
    let kinds_rows = if form.existing.is_some() { 0 } else { 1 + gap };
    let about_rows = if roomy { 2 + gap } else { 1 };
    let height = 3 + gap + kinds_rows + about_rows + fields * (1 + gap) + errors;
    let popup = canvas.popup(area, WIDTH, height);
    let inner = canvas.panel(popup, &form.title(), true);
    let mut pen = Pen {
        area: inner,
        y: inner.y + gap,
        gap,
    };
    if form.existing.is_none() {
        kinds(form, canvas, &mut pen);
        pen.y += gap;
    }
    // Where there is hardly room, the fields matter more than what is said of them.
    if roomy {
        canvas.put_wrapped(pen.rest(2), form.kind.about(), canvas.theme.dim);
        pen.y += 2 + gap;
    }
    for (index, field, focused) in form.rows() {
        let row = pen.rest(1);
        if row.height == 0 {
            break;
        }
        let label_style = if focused { canvas.theme.accent } else { canvas.theme.dim };
        canvas.put(row.x, row.y, LABEL, field.label, label_style);
        let room = Rect {
            x: row.x + LABEL,
            width: row.width.saturating_sub(LABEL),
            ..row
        };
        canvas.field(room, field, focused);
        canvas.hits.add(row, Hit::Item(FIELDS, index));
        pen.y += 1;
        remark(form, canvas, &mut pen, index, field.error.as_deref());
        pen.y += gap;
    }
    submit(form, canvas, inner);
}

/// Where the next row goes.
struct Pen {
    area: Rect,
    y: u16,
    /// How many rows of air there are between fields.
    gap: u16,
}

impl Pen {
    /// The next so many rows, or as many as there are above the button.
    fn rest(&self, rows: u16) -> Rect {
        let bottom = self.area.bottom().saturating_sub(1);
        let height = rows.min(bottom.saturating_sub(self.y));
        Rect {
            y: self.y,
            height,
            ..self.area
        }
    }
}

fn kinds(form: &Create, canvas: &mut Canvas<'_>, pen: &mut Pen) {
    let mut x = pen.area.x;
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        x += canvas.button(x, pen.y, kind.title(), kind == form.kind, Hit::Item(SOURCES, index)) + 1;
    }
    if form.on_kind() {
        canvas.put(
            x + 1,
            pen.y,
            pen.area.right().saturating_sub(x + 1),
            "← → choose",
            canvas.theme.key,
        );
    }
    pen.y += 1;
}

/// Draws what is to be said of a field below it.
fn remark(form: &Create, canvas: &mut Canvas<'_>, pen: &mut Pen, index: usize, error: Option<&str>) {
    let theme = canvas.theme;
    let row = pen.rest(1);
    let (x, room) = (row.x + LABEL + 1, row.width.saturating_sub(LABEL + 1));
    if row.height == 0 {
        return;
    }
    if let Some(error) = error {
        canvas.put(x, row.y, room, error, theme.bad);
    } else if Create::is_path(index) && !form.candidates.is_empty() {
        canvas.put(x, row.y, room, &form.candidates.join("  "), theme.dim);
    } else if Create::is_path(index) {
        match &form.found {
            Some(Ok(folder)) => {
                let name = folder.name.as_deref().unwrap_or("without a name");
                canvas.put_all(x, row.y, room, [("✓ castari.json: ", theme.good), (name, theme.good)]);
            }
            Some(Err(problem)) => {
                canvas.put(x, row.y, room, problem, theme.warn);
            }
            None => return,
        }
    } else {
        return;
    }
    pen.y += u16::from(error.is_some() || pen.gap == 0);
}

fn submit(form: &Create, canvas: &mut Canvas<'_>, inner: Rect) {
    let y = inner.bottom().saturating_sub(1);
    let label = match (form.is_creating(), &form.existing) {
        (true, None) => "Creating…",
        (false, None) => "Create and deploy",
        (_, Some(_)) => "Upload and deploy",
    };
    let used = canvas.button(
        inner.x,
        y,
        label,
        form.on_submit() || form.is_creating(),
        Hit::Item(SUBMIT, 0),
    );
    if let Some(error) = &form.error {
        let room = inner.width.saturating_sub(used + 2);
        let rows = u16::try_from(text::wrap(error, room.max(1).into()).len())
            .unwrap_or(1)
            .min(2);
        let area = Rect {
            x: inner.x + used + 2,
            y: y + 1 - rows,
            width: room,
            height: rows,
        };
        canvas.put_wrapped(area, error, canvas.theme.bad);
    }
}
