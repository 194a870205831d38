use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::{Margin, Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Block, BorderType, Clear, Widget};
use unicode_segmentation::UnicodeSegmentation;

use super::{Hit, Hits};
use crate::input::{Action, Field};
use crate::state::Setup;
use crate::text;
use crate::theme::Theme;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// A text and how it looks.
pub type Piece = (String, Style);

/// Where everything is drawn. Text reaches the screen through [`Canvas::put`] alone, which makes it harmless.
pub struct Canvas<'a> {
    /// What is on the screen.
    pub buffer: &'a mut Buffer,
    /// What is drawn where.
    pub hits: &'a mut Hits,
    /// How things look.
    pub theme: &'a Theme,
    /// What the dashboard was told at its start.
    pub setup: &'a Setup,
    /// The time.
    pub now: Timestamp,
    /// The way to the screen that is shown.
    pub crumbs: String,
    /// Where the cursor is to stand.
    pub cursor: Option<Position>,
}

impl<'a> Canvas<'a> {
    /// A canvas on a buffer.
    pub fn new(buffer: &'a mut Buffer, hits: &'a mut Hits, setup: &'a Setup, now: Timestamp) -> Self {
        Self {
            buffer,
            hits,
            theme: &setup.theme,
            setup,
            now,
            crumbs: String::new(),
            cursor: None,
        }
    }

    /// Draws one line of text, cut to so many columns; says how many it took.
    pub fn put(&mut self, x: u16, y: u16, columns: u16, line: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if !area.contains(Position::new(x, y)) {
            return 0;
        }
        let columns = columns.min(area.right() - x);
        let clean = text::line(line);
        let (end, _) = self
            .buffer
            .set_stringn(x, y, text::fit(&clean, columns.into()), columns.into(), style);
        end - x
    }

    /// Draws pieces of text one after the other; says how many columns they took.
    pub fn put_all<'t>(
        &mut self,
        x: u16,
        y: u16,
        columns: u16,
        pieces: impl IntoIterator<Item = (&'t str, Style)>,
    ) -> u16 {
        let mut used = 0;
        for (piece, style) in pieces {
            used += self.put(x + used, y, columns - used, piece, style);
        }
        used
    }

    /// Draws one line of text in the middle of a row.
    pub fn put_centred(&mut self, row: Rect, line: &str, style: Style) {
        let wide = u16::try_from(text::width(&text::line(line)))
            .unwrap_or(u16::MAX)
            .min(row.width);
        self.put(row.x + (row.width - wide) / 2, row.y, wide, line, style);
    }

    /// Draws one line of text at the right end of a row; says where it starts.
    pub fn put_right(&mut self, row: Rect, line: &str, style: Style) -> u16 {
        let wide = u16::try_from(text::width(&text::line(line)))
            .unwrap_or(u16::MAX)
            .min(row.width);
        self.put(row.right() - wide, row.y, wide, line, style);
        row.right() - wide
    }

    /// Draws a text over as many rows as it takes, within an area; says how many that were.
    pub fn put_wrapped(&mut self, area: Rect, lines: &str, style: Style) -> u16 {
        let clean = text::line(lines);
        let rows = text::wrap(&clean, area.width.into());
        let mut used = 0;
        for (start, end) in rows.into_iter().take(area.height.into()) {
            self.put(area.x, area.y + used, area.width, clean[start..end].trim_end(), style);
            used += 1;
        }
        used
    }

    /// Gives an area a style without touching its text.
    pub fn fill(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area, style);
    }

    /// Draws a frame with a title; says what is inside, a column of air on each side left out.
    pub fn panel(&mut self, area: Rect, title: &str, focused: bool) -> Rect {
        let border = if focused {
            self.theme.border_focus
        } else {
            self.theme.border
        };
        Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(border)
            .render(area, self.buffer);
        let style = if focused { self.theme.accent } else { self.theme.strong };
        if !title.is_empty() && area.width > 6 {
            self.put_all(
                area.x + 2,
                area.y,
                area.width - 4,
                [(" ", border), (title, style), (" ", border)],
            );
        }
        area.inner(Margin::new(2, 1))
    }

    /// Writes on the upper border of a panel, at its right end.
    pub fn panel_note(&mut self, area: Rect, note: &str, style: Style) {
        if !note.is_empty() && area.width > 8 {
            let row = Rect {
                x: area.x + 3,
                width: area.width - 5,
                height: 1,
                ..area
            };
            self.put_right(row, &format!(" {note} "), style);
        }
    }

    /// Writes on the lower border of a panel, at its left end.
    pub fn panel_foot<'t>(&mut self, area: Rect, pieces: impl IntoIterator<Item = (&'t str, Style)>) {
        if area.width > 8 && area.height > 1 {
            let (x, y, width) = (area.x + 2, area.bottom() - 1, area.width - 4);
            let border = self.theme.border;
            let used = self.put(x, y, width, " ", border);
            let used = used + self.put_all(x + used, y, width - used, pieces);
            self.put(x + used, y, width - used, " ", border);
        }
    }

    /// Lets everything that was drawn so far recede behind what comes.
    pub fn cover(&mut self, area: Rect) {
        self.hits.clear();
        self.hits.add(area, Hit::Nothing);
        self.cursor = None;
        let shade = Style::reset().patch(self.theme.shade);
        self.buffer.set_style(area, shade);
    }

    /// Empties the middle of an area for a popup of so many columns and rows, or as many as there are.
    pub fn popup(&mut self, area: Rect, columns: u16, rows: u16) -> Rect {
        let (width, height) = (columns.min(area.width), rows.min(area.height));
        let x = area.x + (area.width - width) / 2;
        let y = area.y + (area.height - height) / 2;
        let popup = Rect { x, y, width, height };
        Clear.render(popup, self.buffer);
        popup
    }

    /// Draws a button; says how many columns it took.
    pub fn button(&mut self, x: u16, y: u16, label: &str, lit: bool, hit: Hit) -> u16 {
        let style = if lit {
            self.theme.button_focus
        } else {
            self.theme.button
        };
        let columns = self.buffer.area.right().saturating_sub(x);
        let used = self.put(x, y, columns, &format!("  {label}  "), style);
        self.hits.add(
            Rect {
                x,
                y,
                width: used,
                height: 1,
            },
            hit,
        );
        used
    }

    /// Draws a key and what it does, to be clicked; says how many columns it took.
    pub fn key(&mut self, x: u16, y: u16, columns: u16, key: &str, label: &str, action: Action) -> u16 {
        let used = self.put_all(
            x,
            y,
            columns,
            [(key, self.theme.key), (" ", self.theme.dim), (label, self.theme.dim)],
        );
        self.hits.add(
            Rect {
                x,
                y,
                width: used,
                height: 1,
            },
            Hit::Do(action),
        );
        used
    }

    /// Draws a field's text on its ground, and the cursor where the field has the focus.
    pub fn field(&mut self, row: Rect, field: &Field, focused: bool) {
        self.fill(row, self.theme.field);
        let ground = self.theme.field;
        let (x, width) = (row.x + 1, row.width.saturating_sub(2));
        if field.input.value().is_empty() {
            self.put(x, row.y, width, &field.placeholder, ground.patch(self.theme.faint));
        }
        let scroll = field.input.visual_scroll(usize::from(width.max(1)));
        let shown = after_columns(field.input.value(), scroll);
        // Scrolled text goes on beyond the field: cut it, but without an ellipsis, as it can be reached.
        let end = text::wrap(shown, usize::from(width.max(1)))
            .first()
            .map_or(0, |_| shown.len());
        self.put(x, row.y, width, &shown[..end], ground.patch(self.theme.text));
        if focused {
            let offset = field.input.visual_cursor().saturating_sub(scroll);
            self.cursor = Some(Position::new(x + u16::try_from(offset).unwrap_or(0).min(width), row.y));
        }
    }

    /// The picture of something that goes on.
    #[must_use]
    pub fn spinner(&self) -> &'static str {
        let turn = self.now.as_millisecond().div_euclid(100).rem_euclid(10);
        SPINNER[usize::try_from(turn).unwrap_or(0)]
    }

    /// Draws where in a long text or list the view is, on the right border of its panel.
    pub fn scrollbar(&mut self, panel: Rect, track: Rect, (top, height, all): (usize, usize, usize)) {
        if all <= height || track.height == 0 || panel.width == 0 {
            return;
        }
        let rows = usize::from(track.height);
        let thumb = (rows * height / all).max(1);
        let start = (rows - thumb) * top.min(all - height) / (all - height);
        for row in start..start + thumb {
            let y = track.y + u16::try_from(row).unwrap_or(0);
            self.put(
                panel.right() - 1,
                y,
                1,
                "┃",
                self.theme.border_focus.remove_modifier(Modifier::BOLD),
            );
        }
    }
}

/// A text without its first so many columns.
fn after_columns(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        if used >= columns {
            return &text[at..];
        }
        used += text::width(grapheme);
    }
    if used >= columns && columns > 0 { "" } else { text }
}
