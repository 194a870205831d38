//! The stages of a launch, and the deployment's log.

use ratatui::layout::{Constraint, Layout, Rect};

use super::{Canvas, pager};
use crate::message::Stage;
use crate::state::{Component, Launch, Region, StageState};
use crate::text;

/// Draws the stages above the log.
pub fn draw(launch: &mut Launch, canvas: &mut Canvas<'_>, area: Rect) {
    let area = canvas.popup(area, area.width, area.height);
    let stages = u16::try_from(launch.stages.len()).unwrap_or(1);
    let [above, below] = Layout::vertical([Constraint::Length(stages + 4), Constraint::Fill(1)]).areas(area);
    draw_stages(launch, canvas, above);
    draw_log(launch, canvas, below);
}

fn draw_stages(launch: &Launch, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let inner = canvas.panel(area, &launch.title(), launch.ended.is_none());
    if let Some(started) = launch.started {
        let took = text::between(started, launch.ended.unwrap_or(canvas.now));
        let took = if launch.ended.is_some() {
            text::duration(took)
        } else {
            text::elapsed(took)
        };
        canvas.panel_note(area, &took, theme.dim);
    }
    let mut error = None;
    for (y, (stage, state, detail)) in (inner.y..inner.bottom()).zip(&launch.stages) {
        let name = match stage {
            Stage::Pack => "Pack the folder",
            Stage::Upload => "Upload",
            Stage::Deploy => "Build and deploy",
        };
        let (sign, sign_style, style) = match state {
            StageState::Waiting => ("○", theme.faint, theme.faint),
            StageState::Running => (canvas.spinner(), theme.busy, theme.strong),
            StageState::Done => ("✓", theme.good, theme.text),
            StageState::Failed(reason) => {
                error = Some(reason.as_str());
                ("✗", theme.bad, theme.bad)
            }
        };
        canvas.put(inner.x, y, 1, sign, sign_style);
        canvas.put(inner.x + 2, y, 18, name, style);
        canvas.put(inner.x + 21, y, inner.width.saturating_sub(21), detail, theme.dim);
    }
    let room = Rect {
        y: inner.bottom().saturating_sub(2),
        height: 2.min(inner.height),
        ..inner
    };
    if let Some(error) = error {
        canvas.put_wrapped(room, error, theme.bad);
    } else if launch.is_active() {
        let row = Rect {
            y: room.bottom().saturating_sub(1),
            height: 1,
            ..room
        };
        canvas.put_wrapped(row, "It is in service. Press i to give it a prompt.", theme.good);
    }
}

fn draw_log(launch: &mut Launch, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let inner = canvas.panel(area, "Log", launch.ended.is_some());
    let live = launch.ended.is_none();
    let (note, style) = match &launch.log_failure {
        Some(failure) => (format!("{}; trying again", failure.text), theme.bad),
        None if launch.log.is_empty() => (String::new(), theme.dim),
        None => (
            pager::note(&launch.log, live),
            if live { theme.busy } else { theme.dim },
        ),
    };
    canvas.panel_note(area, &note, style);
    if launch.log.is_empty() {
        let empty = if live {
            "The log appears here as soon as the server builds."
        } else {
            "There is no log."
        };
        canvas.put(inner.x, inner.y, inner.width, empty, theme.faint);
    }
    pager::draw(canvas, area, inner, &mut launch.log, Region(0), theme.text);
}
