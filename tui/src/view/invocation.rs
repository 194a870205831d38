//! One invocation: prompt, answer, log, and what it cost.

use castari_common::invocations::InvocationStatus;
use ratatui::layout::{Constraint, Layout, Rect};

use super::{Canvas, Hit, pager, records};
use crate::state::{Invocation, InvocationSection, Region};
use crate::text;

/// Draws the invocation.
pub fn draw(screen: &mut Invocation, canvas: &mut Canvas<'_>, area: Rect) {
    let failed = screen.invocation.error_message.is_some() || screen.failure.is_some();
    let head = if area.height >= 16 { 4 + u16::from(failed) } else { 3 };
    let [head, body] = Layout::vertical([Constraint::Length(head), Constraint::Fill(1)]).areas(area);
    overview(screen, canvas, head);
    if body.height < 12 {
        section(screen, canvas, body, screen.focus);
        return;
    }
    let prompt_rows = u16::try_from(screen.prompt.line_count())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let prompt_rows = prompt_rows.clamp(3, (body.height / 3).max(3));
    let [above, below] = Layout::vertical([Constraint::Length(prompt_rows), Constraint::Fill(1)]).areas(body);
    section(screen, canvas, above, InvocationSection::Prompt);
    let (answer, log) = if below.width >= 100 {
        let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(below);
        (left, right)
    } else {
        let [above, below] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(below);
        (above, below)
    };
    section(screen, canvas, answer, InvocationSection::Answer);
    section(screen, canvas, log, InvocationSection::Log);
}

fn overview(screen: &Invocation, canvas: &mut Canvas<'_>, area: Rect) {
    let theme = canvas.theme;
    let inner = canvas.panel(area, &canvas.crumbs.clone(), false);
    let record = &screen.invocation;
    let (status, style) = records::invocation_status(record.status, canvas);
    let sandbox = record.sandbox_id.clone().unwrap_or_else(|| "–".into());
    let mut facts = vec![
        ("", status, style),
        ("agent", record.agent_slug.clone(), theme.text),
        ("took", records::invocation_time(record, canvas), theme.text),
        ("asked", text::ago_phrase(canvas.now, record.created_at), theme.text),
    ];
    // Of an agent that asked no model there is nothing to count.
    if record.input_tokens + record.output_tokens > 0 {
        let (input, output) = (text::count(record.input_tokens), text::count(record.output_tokens));
        facts.push(("tokens", format!("{input} in, {output} out"), theme.text));
        facts.push(("cost", format!("${:.4}", record.total_cost_usd), theme.text));
    }
    facts.push(("session", record.session_id.clone(), theme.dim));
    facts.push(("sandbox", sandbox, theme.dim));
    let used = records::facts(
        canvas,
        Rect {
            height: inner.height.min(2),
            ..inner
        },
        &facts,
    );
    let error = record
        .error_message
        .as_deref()
        .or(screen.failure.as_ref().map(|failure| failure.text.as_str()));
    if let Some(error) = error {
        let rest = Rect {
            y: inner.y + used,
            height: inner.height.saturating_sub(used),
            ..inner
        };
        canvas.put_wrapped(rest, error, theme.bad);
    }
}

fn section(screen: &mut Invocation, canvas: &mut Canvas<'_>, area: Rect, section: InvocationSection) {
    let index = InvocationSection::ALL
        .iter()
        .position(|other| *other == section)
        .unwrap_or(0);
    let running = screen.invocation.status == InvocationStatus::Running;
    let (title, pager, empty) = match section {
        InvocationSection::Prompt => ("Prompt", &mut screen.prompt, ""),
        InvocationSection::Answer if running => ("Answer", &mut screen.answer, "It is still running."),
        InvocationSection::Answer => ("Answer", &mut screen.answer, "It answered nothing."),
        InvocationSection::Log => ("Log", &mut screen.log, "It wrote nothing to stderr."),
    };
    let inner = canvas.panel(area, title, screen.focus == section);
    let region = Region(u8::try_from(index).unwrap_or(0));
    canvas.hits.add(area, Hit::Item(region, index));
    let style = if section == InvocationSection::Log {
        canvas.theme.dim
    } else {
        canvas.theme.text
    };
    if pager.is_empty() {
        canvas.put(inner.x, inner.y, inner.width, empty, canvas.theme.faint);
    }
    if section != InvocationSection::Prompt {
        let note = pager::note(pager, false);
        canvas.panel_note(area, &note, canvas.theme.dim);
    }
    pager::draw(canvas, area, inner, pager, region, style);
}
