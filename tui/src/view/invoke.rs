//! A prompt, and the answer as it comes.

use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::Style;

use super::{Canvas, Hit, pager};
use crate::message::FailureKind;
use crate::state::{Component, Invoke, Outcome, Phase, invoke};
use crate::text;

/// Draws the prompt above answer and log.
pub fn draw(screen: &mut Invoke, canvas: &mut Canvas<'_>, area: Rect) {
    let area = canvas.popup(area, area.width, area.height);
    let editing = screen.typing();
    let lines = u16::try_from(screen.editor.lines().count()).unwrap_or(u16::MAX);
    let most = if editing {
        (area.height / 2).max(4)
    } else {
        (area.height / 4).max(3)
    };
    let wanted = lines.saturating_add(if editing { 4 } else { 2 });
    let [above, below] = Layout::vertical([Constraint::Length(wanted.clamp(3, most)), Constraint::Fill(1)]).areas(area);
    prompt(screen, canvas, above, editing);
    let (answer_area, log_area) = if below.width >= 100 {
        let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(below);
        (left, right)
    } else {
        let log_rows = if screen.log.is_empty() {
            3
        } else {
            (below.height / 3).max(3)
        };
        let [above, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(log_rows)]).areas(below);
        (above, below)
    };
    answer(screen, canvas, answer_area, editing);
    log(screen, canvas, log_area, editing);
}

fn prompt(screen: &Invoke, canvas: &mut Canvas<'_>, area: Rect, editing: bool) {
    let theme = canvas.theme;
    let inner = canvas.panel(area, &screen.title(), editing);
    if let Some(error) = &screen.error {
        canvas.panel_foot(area, [(error.as_str(), theme.bad)]);
    }
    if editing && screen.editor.is_blank() && screen.editor.lines().count() == 1 {
        canvas.put(inner.x, inner.y, inner.width, "What should it do?", theme.faint);
    }
    let (cursor_line, cursor_byte) = screen.editor.cursor();
    let mut rows: Vec<(&str, Option<usize>)> = Vec::new();
    for (index, line) in screen.editor.lines().enumerate() {
        let wrapped = text::wrap(line, inner.width.saturating_sub(1).into());
        let last = wrapped.len() - 1;
        for (part, (start, end)) in wrapped.into_iter().enumerate() {
            let here = cursor_byte >= start && (cursor_byte < end || part == last);
            let column = (index == cursor_line && here).then(|| text::width(&line[start..cursor_byte.max(start)]));
            rows.push((&line[start..end], column));
        }
    }
    let cursor_row = rows.iter().position(|(_, column)| column.is_some()).unwrap_or(0);
    let height = usize::from(inner.height).max(1);
    let top = if editing {
        (cursor_row + 1).saturating_sub(height)
    } else {
        0
    };
    for (y, (row, column)) in (inner.y..inner.bottom()).zip(rows.into_iter().skip(top)) {
        canvas.put(inner.x, y, inner.width, row, theme.text);
        if let Some(column) = column.filter(|_| editing) {
            canvas.cursor = Some(Position::new(inner.x + u16::try_from(column).unwrap_or(0), y));
        }
    }
}

fn answer(screen: &mut Invoke, canvas: &mut Canvas<'_>, area: Rect, editing: bool) {
    let theme = canvas.theme;
    let inner = canvas.panel(area, "Answer", !editing && !screen.on_log);
    canvas.hits.add(area, Hit::Item(invoke::ANSWER, 0));
    let running = matches!(screen.phase, Phase::Running { .. });
    if running || !screen.answer.is_empty() {
        canvas.panel_note(
            area,
            &pager::note(&screen.answer, running),
            if running { theme.busy } else { theme.dim },
        );
    }
    if screen.answer.is_empty() {
        let text = match screen.phase {
            Phase::Editing => "The answer appears here as it comes.",
            Phase::Running { started: false, .. } => "Waiting for a sandbox…",
            Phase::Running { .. } => "Waiting for the first word…",
            Phase::Ended { .. } => "It answered nothing.",
        };
        canvas.put(inner.x, inner.y, inner.width, text, theme.faint);
    }
    let trouble = trouble(screen);
    let rows = trouble
        .as_ref()
        .map_or(0, |text| text::wrap(text, inner.width.max(1).into()).len());
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(inner.height / 2);
    let [above, below] = Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(inner);
    pager::draw(canvas, area, above, &mut screen.answer, invoke::ANSWER, theme.text);
    if let Some(trouble) = trouble {
        canvas.put_wrapped(below, &trouble, theme.bad);
    }
    let (state, style) = state(screen, canvas);
    if !state.is_empty() {
        canvas.panel_foot(area, [(state.as_str(), style)]);
    }
}

/// How far it is, in a few words.
fn state(screen: &Invoke, canvas: &Canvas<'_>) -> (String, Style) {
    let theme = canvas.theme;
    match &screen.phase {
        Phase::Editing => (String::new(), theme.dim),
        Phase::Running { since, .. } => {
            let so_far = text::elapsed(text::between(*since, canvas.now));
            (format!("{} running for {so_far}", canvas.spinner()), theme.busy)
        }
        Phase::Ended { outcome, took } => {
            let took = text::duration(*took);
            match outcome {
                Outcome::Done(done) if done.input_tokens + done.output_tokens > 0 => {
                    let tokens = format!(
                        "{} tokens in, {} out",
                        text::count(done.input_tokens),
                        text::count(done.output_tokens)
                    );
                    (
                        format!("✓ completed in {took} · {tokens} · ${:.4}", done.total_cost_usd),
                        theme.good,
                    )
                }
                Outcome::Done(_) => (format!("✓ completed in {took}"), theme.good),
                Outcome::Failed(_) | Outcome::Broke(_) => (format!("✗ failed after {took}"), theme.bad),
                Outcome::Cancelled => (format!("◌ cancelled after {took}"), theme.warn),
            }
        }
    }
}

/// What went wrong and what to do about it.
fn trouble(screen: &Invoke) -> Option<String> {
    let Phase::Ended { outcome, .. } = &screen.phase else {
        return None;
    };
    match outcome {
        Outcome::Done(_) | Outcome::Cancelled => None,
        Outcome::Failed(failure) => Some(failure.detail.clone()),
        Outcome::Broke(failure) => Some(match &failure.kind {
            FailureKind::Limited(wait) => {
                format!(
                    "{} Invocations have a limit of their own; press r in {}s.",
                    failure.text,
                    wait.as_secs()
                )
            }
            FailureKind::Unreachable => format!("{}. What it answered so far is above; r runs it again.", failure.text),
            _ if failure.has_code("agent_not_active") => {
                format!("{}: close this and press r to deploy it.", failure.text)
            }
            _ => failure.text.clone(),
        }),
    }
}

fn log(screen: &mut Invoke, canvas: &mut Canvas<'_>, area: Rect, editing: bool) {
    let inner = canvas.panel(area, "Log", !editing && screen.on_log);
    canvas.hits.add(area, Hit::Item(invoke::LOG, 0));
    if screen.log.is_empty() {
        canvas.put(
            inner.x,
            inner.y,
            inner.width,
            "What the agent writes to stderr.",
            canvas.theme.faint,
        );
    }
    let running = matches!(screen.phase, Phase::Running { .. });
    if !screen.log.is_empty() && !screen.log.follows() {
        canvas.panel_note(area, &pager::note(&screen.log, running), canvas.theme.dim);
    }
    pager::draw(canvas, area, inner, &mut screen.log, invoke::LOG, canvas.theme.dim);
}
