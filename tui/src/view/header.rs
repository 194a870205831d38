use jiff::Timestamp;
use ratatui::layout::Rect;

use super::{Canvas, Hit};
use crate::input::Action;
use crate::state::{App, Link, PaneId, Standing};
use crate::text;

/// Draws the name of the program, the tabs of the panes, and how things stand with the server.
pub fn draw(app: &App, canvas: &mut Canvas<'_>, row: Rect) {
    let theme = canvas.theme;
    let mut x = row.x + 1;
    x += canvas.put_all(
        x,
        row.y,
        row.width - 1,
        [("◆ ", theme.accent), ("castari", theme.strong)],
    );
    x += 3;
    for (index, pane) in PaneId::ALL.into_iter().enumerate() {
        let (key, title) = (format!(" {} ", index + 1), format!("{} ", pane.title()));
        let (key_style, title_style) = if pane == app.pane() {
            (theme.button_focus, theme.button_focus)
        } else {
            (theme.key, theme.dim)
        };
        let used = canvas.put_all(
            x,
            row.y,
            row.right().saturating_sub(x),
            [(&*key, key_style), (&*title, title_style)],
        );
        canvas
            .hits
            .add(Rect { x, width: used, ..row }, Hit::Do(Action::Pane(pane)));
        x += used + 1;
    }
    server(
        app,
        canvas,
        Rect {
            x,
            width: row.right().saturating_sub(x + 1),
            ..row
        },
    );
}

fn server(app: &App, canvas: &mut Canvas<'_>, room: Rect) {
    let theme = canvas.theme;
    let (sign, word, style) = match app.link.standing {
        Standing::Connecting => (canvas.spinner(), "connecting", theme.busy),
        Standing::Live => ("●", "live", theme.good),
        Standing::Polling => ("●", "polling", theme.good),
        Standing::Lost { .. } => ("○", "lost", theme.bad),
        Standing::Denied { .. } => ("●", "key refused", theme.bad),
        Standing::Limited { .. } => ("●", "rate limited", theme.warn),
    };
    let start = canvas.put_right(room, &format!("{sign} {word}"), style);
    let left = Rect {
        width: start.saturating_sub(room.x + 3),
        ..room
    };
    let bundled = if app.setup.bundled { " · bundled" } else { "" };
    let address = app.setup.address.trim_end_matches('/');
    let address = address.strip_prefix("http://").unwrap_or(address);
    let whole = format!("{address}{bundled}");
    for candidate in [whole.as_str(), address] {
        if text::width(candidate) < left.width.into() {
            canvas.put_right(left, candidate, theme.dim);
            return;
        }
    }
}

/// What has to be said of the server in a row of its own.
pub fn notice(link: &Link, canvas: &Canvas<'_>) -> Option<String> {
    match &link.standing {
        Standing::Lost { since: None, reason } => {
            Some(format!("⚠ No answer from the server yet. Trying again… ({reason})"))
        }
        Standing::Lost {
            since: Some(since),
            reason,
        } => {
            let clock = clock(*since, canvas);
            let ago = text::ago_phrase(canvas.now, *since);
            Some(format!(
                "⚠ No answer from the server since {clock} ({ago}). Trying again… {reason}"
            ))
        }
        Standing::Denied { reason } => Some(format!(
            "⚠ The server refuses the API key: {reason}. Check CASTARI_API_KEY and start again."
        )),
        Standing::Limited { until } => {
            let wait = text::between(canvas.now, *until).as_secs() + 1;
            Some(format!(
                "⚠ Too many requests: the server takes more in {wait}s. What you see may be old until then."
            ))
        }
        Standing::Connecting | Standing::Live | Standing::Polling => None,
    }
}

/// The time of day where the reader is.
fn clock(time: Timestamp, canvas: &Canvas<'_>) -> String {
    time.to_zoned_datetime(canvas.setup.zone.clone())
        .strftime("%H:%M:%S")
        .to_string()
}
