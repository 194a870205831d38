//! The pictures of the README, made from the real views. `UPDATE_PICTURES=1` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use crossterm::event::KeyCode;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use super::stage::{Stage, World};
use crate::effects::Effect;
use crate::message::{InvokeStep, Message};
use crate::text;

const CELL: (f32, f32) = (8.0, 16.0);
const MARGIN: f32 = 16.0;
const BACKGROUND: &str = "#16161e";
const FOREGROUND: &str = "#d0d0d0";

/// A terminal's screen as a drawing.
fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (f32::from(buffer.area.width), f32::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2.0 * MARGIN, rows * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <style>text{{font:13.3px 'JetBrains Mono','DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"{BACKGROUND}\"/>\n"
    );
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let start = x;
            let style = buffer[(x, y)].style();
            let mut run = String::new();
            let mut plain = true;
            // Wide characters and signs come from other fonts: each stands alone, so that none moves the rest.
            while x < buffer.area.width && buffer[(x, y)].style() == style {
                let symbol = buffer[(x, y)].symbol();
                let alone = !symbol.is_ascii();
                if alone && !run.is_empty() && !(symbol == "─" && run.ends_with('─')) || !alone && !plain {
                    break;
                }
                plain = !alone;
                run.push_str(symbol);
                x += u16::try_from(text::width(symbol).max(1)).unwrap();
            }
            draw_run(&mut svg, &run, style, (start, x - start), y);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_run(svg: &mut String, run: &str, style: Style, (start, columns): (u16, u16), row: u16) {
    let (x, y) = (MARGIN + f32::from(start) * CELL.0, MARGIN + f32::from(row) * CELL.1);
    let width = f32::from(columns) * CELL.0;
    if let Some(fill) = style.bg.and_then(hex) {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{fill}\" shape-rendering=\"crispEdges\"/>",
            CELL.1
        );
    }
    if run.trim().is_empty() {
        return;
    }
    if let Some(stroke) = stroke(run, (x, y), width) {
        let color = style.fg.and_then(hex).unwrap_or_else(|| FOREGROUND.into());
        let thick = if matches!(run, "┃" | "▌") { 3.0 } else { 1.2 };
        let _ = writeln!(
            svg,
            "<path d=\"{stroke}\" stroke=\"{color}\" stroke-width=\"{thick}\" fill=\"none\"/>"
        );
        return;
    }
    // Blanks at the ends are not drawn: programs disagree on whether they count as length.
    let before = run.len() - run.trim_start().len();
    let run = run.trim();
    let x = x + f32::from(u16::try_from(before).unwrap()) * CELL.0;
    let width = f32::from(u16::try_from(text::width(run)).unwrap()) * CELL.0;
    let fill = style.fg.and_then(hex).unwrap_or_else(|| FOREGROUND.into());
    let bold = if style.add_modifier.contains(Modifier::BOLD) {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let escaped = run.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{fill}\"{bold}>{escaped}</text>",
        y + 12.0
    );
}

/// Frames as strokes: fonts leave gaps between the lines.
fn stroke(run: &str, (x, y): (f32, f32), width: f32) -> Option<String> {
    let (mx, my) = (x + CELL.0 / 2.0, y + CELL.1 / 2.0);
    let (right, bottom) = (x + width, y + CELL.1);
    Some(match run {
        "│" | "┃" => format!("M{mx:.1} {y:.1}V{bottom:.1}"),
        "▌" => format!("M{:.1} {y:.1}V{bottom:.1}", x + 1.5),
        "╭" => format!("M{mx:.1} {bottom:.1}Q{mx:.1} {my:.1} {right:.1} {my:.1}"),
        "╮" => format!("M{x:.1} {my:.1}Q{mx:.1} {my:.1} {mx:.1} {bottom:.1}"),
        "╰" => format!("M{mx:.1} {y:.1}Q{mx:.1} {my:.1} {right:.1} {my:.1}"),
        "╯" => format!("M{x:.1} {my:.1}Q{mx:.1} {my:.1} {mx:.1} {y:.1}"),
        run if run.starts_with('─') => format!("M{x:.1} {my:.1}H{right:.1}"),
        _ => return None,
    })
}

/// The usual colours of a terminal's 256: the theme uses no others.
fn hex(color: Color) -> Option<String> {
    let Color::Indexed(index) = color else { return None };
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * u32::from(step) };
    let (r, g, b) = if let Some(step) = index.checked_sub(232) {
        let grey = 8 + 10 * u32::from(step);
        (grey, grey, grey)
    } else {
        let index = index - 16;
        (level(index / 36), level(index / 6 % 6), level(index % 6))
    };
    Some(format!("#{r:02x}{g:02x}{b:02x}"))
}

fn keep(name: &str, buffer: &Buffer) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../assets/pictures")
        .join(name);
    let drawn = svg(buffer);
    if std::env::var_os("UPDATE_PICTURES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == drawn,
        "{name} does not show what is: run the tests with UPDATE_PICTURES=1"
    );
}

#[test]
fn the_pictures_show_what_is() {
    let mut stage = Stage::new(World::full());
    keep("agents.svg", &stage.draw(112, 16));
    stage.keys("j");
    stage.press(KeyCode::Enter);
    keep("agent.svg", &stage.draw(112, 28));
    let mut stage = Stage::new(World::full());
    stage.keys("iWrite the notes for 2.4");
    stage.press(KeyCode::Enter);
    let Some(Effect::Invoke { task, .. }) = stage.effects.last().cloned() else {
        panic!("not invoked")
    };
    stage.now += jiff::SignedDuration::from_millis(1700);
    stage.send(Message::Invoke(
        task,
        InvokeStep::Log("reading 41 pull requests\nasking the model\n".into()),
    ));
    let answer =
        "# Release 2.4\n\nThis release starts faster and surprises less.\n\n- Starting takes half the time.\n- ";
    stage.send(Message::Invoke(task, InvokeStep::Output(answer.into())));
    keep("invoke.svg", &stage.draw(112, 20));
}
