//! The list of invocations.

use castari_common::invocations::{Invocation, InvocationStatus};
use ratatui::layout::Rect;

use super::canvas::Piece;
use super::table::{self, Column, Look};
use super::{Canvas, records};
use crate::state::{Invocations, List, Region};
use crate::text;

const WIDE: [Column; 6] = [
    Column::fixed("STATUS", 11),
    Column::share("AGENT", 2),
    Column::share("PROMPT", 4),
    Column::share("ANSWER", 4),
    Column::fixed("TOOK", 8),
    Column::fixed("AGE", 4),
];
const MEDIUM: [Column; 5] = [
    Column::fixed("STATUS", 11),
    Column::share("AGENT", 2),
    Column::share("PROMPT", 5),
    Column::fixed("TOOK", 8),
    Column::fixed("AGE", 4),
];
const NARROW: [Column; 3] = [
    Column::fixed("STATUS", 11),
    Column::share("PROMPT", 1),
    Column::fixed("TOOK", 8),
];
const OF_AGENT: [Column; 4] = [
    Column::fixed("STATUS", 11),
    Column::share("PROMPT", 1),
    Column::fixed("TOOK", 8),
    Column::fixed("AGE", 4),
];

/// Draws the list of all invocations.
pub fn draw(invocations: &mut Invocations, canvas: &mut Canvas<'_>, area: Rect) {
    let inner = canvas.panel(area, &canvas.crumbs.clone(), true);
    let inner = table::filter(canvas, inner, &invocations.list);
    let empty = "No invocation yet. Press 1, choose an agent, and press i to give it a prompt.";
    if table::absence(canvas, inner, &invocations.list, empty) {
        return;
    }
    let columns: &[Column] = match inner.width {
        110.. => &WIDE,
        60.. => &MEDIUM,
        _ => &NARROW,
    };
    let look = Look {
        panel: area,
        columns,
        region: Region(0),
        focused: true,
    };
    table::draw(canvas, inner, &mut invocations.list, &look, |invocation, canvas| {
        cells(invocation, columns.len(), canvas)
    });
    canvas.panel_note(area, &table::tally(&invocations.list), canvas.theme.dim);
}

/// Draws the list of one agent's invocations, inside a panel.
pub fn draw_of_agent(list: &mut List<Invocation>, canvas: &mut Canvas<'_>, inner: Rect, look: &Look<'_>) {
    let look = Look {
        columns: &OF_AGENT,
        ..*look
    };
    table::draw(canvas, inner, list, &look, |invocation, canvas| {
        cells(invocation, OF_AGENT.len(), canvas)
    });
}

fn cells(invocation: &Invocation, columns: usize, canvas: &Canvas<'_>) -> Vec<Piece> {
    let theme = canvas.theme;
    let status = records::invocation_status(invocation.status, canvas);
    let agent = (invocation.agent_slug.clone(), theme.text);
    let prompt = (invocation.prompt.clone(), theme.text);
    let answer = match (invocation.status, &invocation.error_message) {
        (InvocationStatus::Failed, Some(error)) => (error.clone(), theme.bad),
        _ => (invocation.response_content.clone(), theme.dim),
    };
    let took = (records::invocation_time(invocation, canvas), theme.dim);
    let age = (text::ago(canvas.now, invocation.created_at), theme.dim);
    match columns {
        6 => vec![status, agent, prompt, answer, took, age],
        5 => vec![status, agent, prompt, took, age],
        4 => vec![status, prompt, took, age],
        _ => vec![status, prompt, took],
    }
}
