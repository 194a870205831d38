//! Draws the state. What is drawn where is recorded, so that a click finds what it hit.

pub mod agent;
pub mod agents;
mod canvas;
pub mod confirm;
pub mod create;
mod footer;
mod header;
pub mod help;
mod hits;
pub mod invocation;
pub mod invocations;
pub mod invoke;
pub mod launch;
mod pager;
mod records;
mod table;
mod toasts;
mod welcome;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Position, Rect};

pub use canvas::Canvas;
pub use hits::{Hit, Hits};

use crate::state::App;

/// Below this, nothing useful can be shown: columns and rows.
const SMALLEST: (u16, u16) = (40, 10);

/// Draws everything; says where the cursor is to stand, if anywhere.
pub fn draw(app: &mut App, buffer: &mut Buffer, hits: &mut Hits) -> Option<Position> {
    let area = buffer.area;
    let setup = app.setup.clone();
    let mut canvas = Canvas::new(buffer, hits, &setup, app.now());
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(&mut canvas, area);
        return None;
    }
    let notice = header::notice(&app.link, &canvas);
    let rows = [1, u16::from(notice.is_some()), 0, 1].map(Constraint::Length);
    let [head, notice_row, body, foot] = Layout::vertical([rows[0], rows[1], Constraint::Fill(1), rows[3]]).areas(area);
    header::draw(app, &mut canvas, head);
    if let Some(notice) = notice {
        canvas.fill(notice_row, canvas.theme.notice);
        canvas.put(
            notice_row.x + 1,
            notice_row.y,
            notice_row.width.saturating_sub(2),
            &notice,
            canvas.theme.notice,
        );
    }
    canvas.crumbs = crumbs(app);
    app.screen_mut().draw(&mut canvas, body);
    for layer in app.layers_mut() {
        canvas.cover(Rect {
            height: area.height - 1,
            ..area
        });
        layer.draw(&mut canvas, body);
    }
    footer::draw(app, &mut canvas, foot);
    toasts::draw(&app.toasts, &mut canvas, body);
    canvas.cursor
}

/// The way from the pane to the screen that is shown.
fn crumbs(app: &App) -> String {
    let titles: Vec<String> = app.screens().iter().map(|screen| screen.title()).collect();
    titles.join(" › ")
}

fn too_small(canvas: &mut Canvas<'_>, area: Rect) {
    let (columns, rows) = SMALLEST;
    let lines = [
        "castari".to_owned(),
        format!("needs {columns}×{rows}"),
        format!("this is {}×{}", area.width, area.height),
    ];
    let top = area.y + area.height.saturating_sub(3) / 2;
    for (row, line) in (top..).zip(lines) {
        canvas.put_centred(
            Rect {
                y: row,
                height: 1,
                ..area
            },
            &line,
            canvas.theme.text,
        );
    }
}
