use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::canvas::Piece;
use super::{Canvas, Hit};
use crate::state::{List, Region, Row};
use crate::text;

/// A column of a table.
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// How wide it is.
    pub width: Constraint,
}

impl Column {
    /// A column of so many characters.
    pub const fn fixed(title: &'static str, width: u16) -> Self {
        Self {
            title,
            width: Constraint::Length(width),
        }
    }

    /// A column that takes its share of what is left.
    pub const fn share(title: &'static str, weight: u16) -> Self {
        Self {
            title,
            width: Constraint::Fill(weight),
        }
    }
}

/// What a table needs to know beside its rows.
pub struct Look<'a> {
    /// The frame around it.
    pub panel: Rect,
    /// The columns.
    pub columns: &'a [Column],
    /// Whose rows they are.
    pub region: Region,
    /// Whether the keys move in it.
    pub focused: bool,
}

/// Draws the rows of a list that are in view, under the titles of their columns; `cells` says what a row says.
pub fn draw<T: Row>(
    canvas: &mut Canvas<'_>,
    area: Rect,
    list: &mut List<T>,
    look: &Look<'_>,
    cells: impl Fn(&T, &Canvas<'_>) -> Vec<Piece>,
) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let places = Layout::horizontal(look.columns.iter().map(|column| column.width))
        .spacing(2)
        .split(head);
    for (column, place) in look.columns.iter().zip(places.iter()) {
        canvas.put(place.x, head.y, place.width, column.title, canvas.theme.faint);
    }
    list.height = usize::from(body.height);
    list.scroll_to_selection();
    canvas.hits.add(look.panel, Hit::Wheel(look.region));
    let visible = list.top..list.len().min(list.top + list.height);
    for (y, place) in (body.y..body.bottom()).zip(visible) {
        // The row reaches over the air beside the text, up to the border.
        let row = Rect {
            x: body.x.saturating_sub(1),
            y,
            width: body.width + 2,
            height: 1,
        };
        canvas.hits.add(row, Hit::Item(look.region, place));
        let ground = if place == list.place() {
            select(canvas, row, look.focused)
        } else {
            Style::new()
        };
        let Some(item) = list.get(place) else {
            canvas.put(body.x, y, body.width, "·", canvas.theme.faint);
            continue;
        };
        for ((cell, style), column) in cells(item, canvas).into_iter().zip(places.iter()) {
            canvas.put(column.x, y, column.width, &cell, style.patch(ground));
        }
    }
    canvas.scrollbar(look.panel, body, (list.top, list.height, list.len()));
}

fn select(canvas: &mut Canvas<'_>, row: Rect, focused: bool) -> Style {
    let ground = if focused {
        canvas.theme.selected
    } else {
        canvas.theme.selected_away
    };
    canvas.fill(row, ground);
    if focused {
        canvas.put(row.x, row.y, 1, "▌", canvas.theme.accent.patch(ground));
    }
    ground
}

/// Draws the text that a list is narrowed by, where there is one; says what area is left.
pub fn filter<T: Row>(canvas: &mut Canvas<'_>, area: Rect, list: &List<T>) -> Rect {
    if !list.filter.editing && !list.is_filtered() {
        return area;
    }
    let [row, _, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::from(area.height > 8)),
        Constraint::Fill(1),
    ])
    .areas(area);
    let used = canvas.put(row.x, row.y, 2, "/ ", canvas.theme.accent);
    let note = match list.unscanned() {
        _ if !list.is_filtered() => String::new(),
        0 => format!("{} found", text::count(list.len() as u64)),
        left => format!(
            "{} so far, {} to look through",
            text::count(list.len() as u64),
            text::count(left as u64)
        ),
    };
    let start = canvas.put_right(row, &note, canvas.theme.dim);
    let width = start.saturating_sub(row.x + used + 2).min(60);
    let field = Rect {
        x: row.x + used,
        width,
        ..row
    };
    canvas.field(field, &list.filter.field, list.filter.editing);
    rest
}

/// What stands in place of rows: why there are none. Says whether it was drawn.
pub fn absence<T: Row>(canvas: &mut Canvas<'_>, area: Rect, list: &List<T>, empty: &str) -> bool {
    if !list.is_empty() {
        return false;
    }
    let theme = canvas.theme;
    let (message, style) = match &list.failure {
        Some(failure) => (
            format!(
                "Could not be read: {}. It is tried again; ^R does so at once.",
                failure.text
            ),
            theme.bad,
        ),
        None if list.is_filtered() && list.is_loaded() && list.unscanned() == 0 => (
            format!(
                "Nothing contains “{}”. Esc clears the filter.",
                list.filter.field.value()
            ),
            theme.dim,
        ),
        None if list.is_loaded() && !list.is_filtered() => (empty.to_owned(), theme.dim),
        None => (format!("{} reading…", canvas.spinner()), theme.dim),
    };
    let rows = u16::try_from(text::wrap(&message, usize::from(area.width.max(1))).len()).unwrap_or(1);
    if rows == 1 {
        canvas.put_centred(
            Rect {
                y: area.y + area.height / 3,
                height: 1,
                ..area
            },
            &message,
            style,
        );
    } else {
        canvas.put_wrapped(
            Rect {
                y: area.y + area.height / 3,
                height: rows.min(area.height),
                ..area
            }
            .intersection(area),
            &message,
            style,
        );
    }
    true
}

/// How many rows there are, for the border of the panel.
pub fn tally<T: Row>(list: &List<T>) -> String {
    if !list.is_loaded() || list.is_filtered() {
        return String::new();
    }
    match list.len() {
        0 => String::new(),
        all if all > list.height => format!(
            "{} of {}",
            text::count(list.place() as u64 + 1),
            text::count(all as u64)
        ),
        all => text::count(all as u64),
    }
}
