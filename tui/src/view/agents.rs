//! The list of agents.

use castari_common::agents::{Agent, AgentStatus};
use ratatui::layout::Rect;

use super::canvas::Piece;
use super::table::{self, Column, Look};
use super::{Canvas, records, welcome};
use crate::state::{Agents, agents};
use crate::text;

const WIDE: [Column; 6] = [
    Column::fixed("STATUS", 11),
    Column::share("NAME", 3),
    Column::share("SLUG", 3),
    Column::share("SOURCE", 3),
    Column::fixed("UPDATED", 8),
    Column::share("MESSAGE", 5),
];
const MEDIUM: [Column; 5] = [
    Column::fixed("STATUS", 11),
    Column::share("NAME", 3),
    Column::share("SOURCE", 3),
    Column::fixed("UPDATED", 7),
    Column::share("MESSAGE", 3),
];
const NARROW: [Column; 3] = [
    Column::fixed("STATUS", 11),
    Column::share("NAME", 1),
    Column::fixed("UPDATED", 7),
];

/// Draws the list, or what to do where it is empty.
pub fn draw(agents: &mut Agents, canvas: &mut Canvas<'_>, area: Rect) {
    let inner = canvas.panel(area, &canvas.crumbs.clone(), true);
    if agents.is_first_use() {
        welcome::draw(canvas, inner);
        return;
    }
    let inner = table::filter(canvas, inner, &agents.list);
    if table::absence(canvas, inner, &agents.list, "") {
        return;
    }
    let columns: &[Column] = match inner.width {
        100.. => &WIDE,
        64.. => &MEDIUM,
        _ => &NARROW,
    };
    let look = Look {
        panel: area,
        columns,
        region: agents::ROWS,
        focused: true,
    };
    table::draw(canvas, inner, &mut agents.list, &look, |agent, canvas| {
        cells(agent, columns.len(), canvas)
    });
    canvas.panel_note(area, &table::tally(&agents.list), canvas.theme.dim);
}

fn cells(agent: &Agent, columns: usize, canvas: &Canvas<'_>) -> Vec<Piece> {
    let theme = canvas.theme;
    let status = records::agent_status(agent.status, canvas);
    let name = (agent.name.clone(), theme.text);
    let slug = (agent.slug.clone(), theme.dim);
    let source = (records::source(agent), theme.dim);
    let updated = (text::ago(canvas.now, agent.updated_at), theme.dim);
    let message_style = if agent.status == AgentStatus::Error {
        theme.bad
    } else {
        theme.dim
    };
    let message = (agent.status_message.clone().unwrap_or_default(), message_style);
    match columns {
        6 => vec![status, name, slug, source, updated, message],
        5 => vec![status, name, source, updated, message],
        _ => vec![status, name, updated],
    }
}
