//! How records of the server read: their status as sign, word and colour, and their parts as short texts.

use castari_common::agents::{Agent, AgentStatus, SourceType};
use castari_common::deployments::{Deployment, DeploymentStatus};
use castari_common::invocations::{Invocation, InvocationStatus};
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::Canvas;
use super::canvas::Piece;
use crate::text;

/// An agent's status.
pub fn agent_status(status: AgentStatus, canvas: &Canvas<'_>) -> Piece {
    let theme = canvas.theme;
    match status {
        AgentStatus::Draft => ("○ draft".into(), theme.dim),
        AgentStatus::Deploying => (format!("{} deploying", canvas.spinner()), theme.busy),
        AgentStatus::Active => ("● active".into(), theme.good),
        AgentStatus::Stopped => ("◌ stopped".into(), theme.warn),
        AgentStatus::Error => ("✗ error".into(), theme.bad),
    }
}

/// A deployment's status.
pub fn deployment_status(status: DeploymentStatus, canvas: &Canvas<'_>) -> Piece {
    let theme = canvas.theme;
    match status {
        DeploymentStatus::Running => (format!("{} running", canvas.spinner()), theme.busy),
        DeploymentStatus::Succeeded => ("✓ succeeded".into(), theme.good),
        DeploymentStatus::Failed => ("✗ failed".into(), theme.bad),
    }
}

/// An invocation's status.
pub fn invocation_status(status: InvocationStatus, canvas: &Canvas<'_>) -> Piece {
    let theme = canvas.theme;
    match status {
        InvocationStatus::Running => (format!("{} running", canvas.spinner()), theme.busy),
        InvocationStatus::Completed => ("✓ completed".into(), theme.good),
        InvocationStatus::Failed => ("✗ failed".into(), theme.bad),
    }
}

/// Where an agent's code comes from.
pub fn source(agent: &Agent) -> String {
    match (agent.source_type, &agent.git_repo_url) {
        (SourceType::Local, _) => "folder".into(),
        (SourceType::Git, None) => "starter".into(),
        (SourceType::Git, Some(url)) => {
            let place = url.split_once("://").map_or(url.as_str(), |(_, place)| place);
            let place = place.trim_end_matches('/').trim_end_matches(".git");
            format!("{place}@{}", agent.git_branch)
        }
    }
}

/// The start of a hash, as people quote it.
pub fn short_hash(hash: Option<&str>) -> String {
    hash.map_or_else(|| "–".into(), |hash| hash.chars().take(8).collect())
}

/// How long a deployment took, or takes so far.
pub fn deployment_time(deployment: &Deployment, canvas: &Canvas<'_>) -> String {
    match deployment.finished_at {
        Some(end) => text::duration(text::between(deployment.started_at, end)),
        None => text::elapsed(text::between(deployment.started_at, canvas.now)),
    }
}

/// How long an invocation took, or takes so far.
pub fn invocation_time(invocation: &Invocation, canvas: &Canvas<'_>) -> String {
    match invocation.status {
        InvocationStatus::Running => text::elapsed(text::between(invocation.created_at, canvas.now)),
        _ => text::duration(std::time::Duration::from_millis(invocation.duration_ms)),
    }
}

/// Draws labels with their values, as many in a row as there is room for; says how many rows that took.
pub fn facts(canvas: &mut Canvas<'_>, area: Rect, facts: &[(&str, String, Style)]) -> u16 {
    let (mut x, mut y) = (area.x, area.y);
    for (label, value, style) in facts {
        let clean = text::line(value);
        let gap = if label.is_empty() { "" } else { " " };
        let width = text::width(label) + gap.len() + text::width(&clean);
        let width = u16::try_from(width).unwrap_or(u16::MAX);
        if x > area.x && x.saturating_add(width) > area.right() {
            (x, y) = (area.x, y + 1);
        }
        if y >= area.bottom() {
            break;
        }
        let room = area.right().saturating_sub(x);
        let used = canvas.put_all(
            x,
            y,
            room,
            [(*label, canvas.theme.dim), (gap, *style), (&*clean, *style)],
        );
        x += used + 3;
    }
    (y + 1).saturating_sub(area.y).min(area.height)
}
