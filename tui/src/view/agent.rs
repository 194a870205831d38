//! One agent: what it is, its deployments and their logs, its invocations.

use castari_common::agents::AgentStatus;
use castari_common::deployments::{Deployment, DeploymentStatus};
use ratatui::layout::{Constraint, Layout, Rect};

use super::canvas::Piece;
use super::table::{self, Column, Look};
use super::{Canvas, Hit, invocations, pager, records};
use crate::state::{Agent, AgentSection, agent};
use crate::text;

/// From here on, all parts stand side by side; below, one at a time.
const ROOM_FOR_ALL: (u16, u16) = (100, 20);

const DEPLOYMENTS: [Column; 5] = [
    Column::fixed("STATUS", 11),
    Column::fixed("STARTED", 7),
    Column::fixed("TOOK", 8),
    Column::fixed("CODE", 8),
    Column::share("ERROR", 1),
];

/// Draws the agent.
pub fn draw(agent: &mut Agent, canvas: &mut Canvas<'_>, area: Rect) {
    let rows = overview_rows(area);
    let [head, body] = Layout::vertical([Constraint::Length(rows), Constraint::Fill(1)]).areas(area);
    overview(agent, canvas, head);
    if body.width >= ROOM_FOR_ALL.0 && body.height + rows >= ROOM_FOR_ALL.1 {
        let [left, right] = Layout::horizontal([Constraint::Fill(9), Constraint::Fill(11)]).areas(body);
        let [above, below] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(3)]).areas(left);
        section(agent, canvas, above, AgentSection::Deployments);
        section(agent, canvas, below, AgentSection::Invocations);
        section(agent, canvas, right, AgentSection::Log);
    } else {
        let [tabs_row, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(body);
        tabs(agent, canvas, tabs_row);
        section(agent, canvas, body, agent.focus);
    }
}

fn overview_rows(area: Rect) -> u16 {
    match (area.width, area.height) {
        (..100, 22..) => 6,
        (_, 16..) => 5,
        _ => 3,
    }
}

fn overview(agent: &Agent, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let inner = canvas.panel(area, &canvas.crumbs.clone(), false);
    let about = &agent.agent;
    let (status, style) = records::agent_status(about.status, canvas);
    let mut x = inner.x + canvas.put(inner.x, inner.y, inner.width, &status, style) + 3;
    if let Some(message) = &about.status_message {
        let style = if about.status == AgentStatus::Error {
            theme.bad
        } else {
            theme.dim
        };
        x += canvas.put(x, inner.y, inner.right().saturating_sub(x), message, style) + 3;
    }
    if let Some(description) = &about.description {
        canvas.put(x, inner.y, inner.right().saturating_sub(x), description, theme.dim);
    }
    let facts = [
        ("slug", about.slug.clone(), theme.text),
        ("source", records::source(about), theme.text),
        ("code", records::short_hash(about.source_hash.as_deref()), theme.text),
        ("model", about.default_model.clone(), theme.text),
        ("turns", about.max_turns.to_string(), theme.text),
        ("timeout", format!("{}s", about.timeout_seconds), theme.text),
        ("made", text::ago_phrase(canvas.now, about.created_at), theme.text),
        ("changed", text::ago_phrase(canvas.now, about.updated_at), theme.text),
        ("id", about.id.clone(), theme.dim),
    ];
    let rest = Rect {
        y: inner.y + 1,
        height: inner.height.saturating_sub(1),
        ..inner
    };
    if rest.height > 0 {
        records::facts(canvas, rest, &facts);
    }
}

fn title(section: AgentSection) -> &'static str {
    match section {
        AgentSection::Deployments => "Deployments",
        AgentSection::Log => "Log",
        AgentSection::Invocations => "Invocations",
    }
}

fn tabs(agent: &Agent, canvas: &mut Canvas<'_>, row: Rect) {
    let mut x = row.x + 1;
    for (index, section) in AgentSection::ALL.into_iter().enumerate() {
        let lit = section == agent.focus;
        x += canvas.button(x, row.y, title(section), lit, Hit::Item(agent::TABS, index)) + 1;
    }
}

fn section(agent: &mut Agent, canvas: &mut Canvas<'_>, area: Rect, section: AgentSection) {
    let focused = agent.focus == section;
    let inner = canvas.panel(area, title(section), focused);
    let look = Look {
        panel: area,
        columns: &DEPLOYMENTS,
        region: section.region(),
        focused,
    };
    match section {
        AgentSection::Deployments => deployments(agent, canvas, inner, &look),
        AgentSection::Log => log(agent, canvas, area, inner),
        AgentSection::Invocations => {
            canvas.panel_note(area, &table::tally(&agent.invocations), canvas.theme.dim);
            let empty = "No invocation yet: press i to give it a prompt.";
            if !table::absence(canvas, inner, &agent.invocations, empty) {
                invocations::draw_of_agent(&mut agent.invocations, canvas, inner, &look);
            }
        }
    }
}

fn deployments(agent: &mut Agent, canvas: &mut Canvas<'_>, inner: Rect, look: &Look<'_>) {
    canvas.panel_note(look.panel, &table::tally(&agent.deployments), canvas.theme.dim);
    if !table::absence(
        canvas,
        inner,
        &agent.deployments,
        "Never deployed: press r to deploy it.",
    ) {
        table::draw(canvas, inner, &mut agent.deployments, look, deployment);
    }
}

fn deployment(deployment: &Deployment, canvas: &Canvas<'_>) -> Vec<Piece> {
    let theme = canvas.theme;
    vec![
        records::deployment_status(deployment.status, canvas),
        (text::ago(canvas.now, deployment.started_at), theme.dim),
        (records::deployment_time(deployment, canvas), theme.dim),
        (records::short_hash(deployment.source_hash.as_deref()), theme.dim),
        (deployment.error.clone().unwrap_or_default(), theme.bad),
    ]
}

fn log(agent: &mut Agent, canvas: &mut Canvas<'_>, area: Rect, inner: Rect) {
    let theme = canvas.theme;
    let live = agent.log_is_live();
    let (note, style) = match &agent.log_failure {
        Some(failure) => (format!("cannot be read: {}", failure.text), theme.bad),
        None => (pager::note(&agent.log, live), if live { theme.busy } else { theme.dim }),
    };
    canvas.panel_note(area, &note, style);
    // What a failed deployment died of stays in sight, wherever its log is scrolled to.
    let failed = agent
        .deployments
        .selected()
        .filter(|deployment| deployment.status == DeploymentStatus::Failed);
    let error = failed
        .and_then(|deployment| deployment.error.clone())
        .unwrap_or_default();
    let rows = if error.is_empty() {
        0
    } else {
        text::wrap(&error, inner.width.into()).len().min(3)
    };
    let rows = u16::try_from(rows).unwrap_or(0).min(inner.height / 2);
    let [above, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(inner);
    pager::draw(
        canvas,
        area,
        above,
        &mut agent.log,
        AgentSection::Log.region(),
        theme.text,
    );
    canvas.put_wrapped(below, &error, theme.bad);
    if agent.log.is_empty() && agent.deployments.is_loaded() && agent.deployments.is_empty() {
        canvas.put_centred(
            Rect {
                y: inner.y + inner.height / 3,
                height: 1,
                ..inner
            },
            "The log of a deployment appears here.",
            theme.dim,
        );
    }
}
