//! Text from outside, made fit for a terminal; sizes, ages and durations, made fit for people.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;
use std::time::Duration;

use jiff::Timestamp;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Makes one line of text from outside harmless: escape sequences and control characters go, as do the characters
/// that turn the direction of writing around; tabs and line breaks become spaces.
///
/// All text that did not come from this program passes through here before it is drawn.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\t' => clean.push_str("    "),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' => clean.push(' '),
            '\x1b' => skip_escape(&mut chars),
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut chars),
            c if c.is_control() || is_invisible(c) => {}
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// Characters that draw nothing and change how others are drawn: marks and overrides of direction, zero-width ones.
/// The zero-width joiner stays, as emoji are made with it.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_control_sequence(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        Some(' '..='~') => {
            // Two-character sequences; those that start with an intermediate byte have one more.
            if matches!(chars.next(), Some(' '..='/')) {
                chars.next_if(|c| matches!(c, '0'..='~'));
            }
        }
        _ => {}
    }
}

fn skip_control_sequence(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// Skips to the string terminator, but never past the line: an unfinished sequence must not hide what follows.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\x07' | '\u{9c}' => return,
            '\x1b' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// How many columns a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text to so many columns, with an ellipsis where something was cut.
#[must_use]
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut cut = String::new();
    let mut used = 1;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > columns {
            break;
        }
        cut.push_str(grapheme);
    }
    if columns > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

/// Where a text breaks when no row may be wider than so many columns: the byte range of each row. Breaks after a space
/// where there is one in the second half of the row.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<(usize, usize)> {
    let columns = columns.max(1);
    let mut rows = Vec::new();
    let (mut start, mut used, mut space) = (0, 0, None);
    for (at, grapheme) in text.grapheme_indices(true) {
        let wide = grapheme.width();
        if used + wide > columns && at > start {
            let end = space.filter(|space| (space - start) * 2 > at - start).unwrap_or(at);
            rows.push((start, end));
            used = text[end..at].width();
            start = end;
            space = None;
        }
        used += wide;
        if grapheme == " " {
            space = Some(at + 1);
        }
    }
    rows.push((start, text.len()));
    rows
}

/// How long ago something was, in one short word. Coarse below a minute, so that a picture that is not redrawn each
/// second is still true.
#[must_use]
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..15 => "now".into(),
        15..60 => format!("{}s", seconds / 15 * 15),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400..2_592_000 => format!("{}d", seconds / 86_400),
        2_592_000..31_536_000 => format!("{}mo", seconds / 2_592_000),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// [`ago`] as part of a sentence.
#[must_use]
pub fn ago_phrase(now: Timestamp, then: Timestamp) -> String {
    match ago(now, then).as_str() {
        "now" => "just now".into(),
        short => format!("{short} ago"),
    }
}

/// How long from one moment to another; nothing where they are the wrong way round.
#[must_use]
pub fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

/// A duration with as many digits as matter.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.as_millis());
    match seconds {
        0 => format!("{millis}ms"),
        1..10 => format!("{:.2}s", duration.as_secs_f64()),
        10..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A duration that is still growing: whole seconds from the first on, so that digits do not flicker.
#[must_use]
pub fn elapsed(duration_so_far: Duration) -> String {
    match duration_so_far.as_secs() {
        0..60 => format!("{:.1}s", duration_so_far.as_secs_f64()),
        _ => duration(duration_so_far),
    }
}

/// A number of bytes.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A number with its thousands apart.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 file`, `2 files`.
#[must_use]
pub fn plural(number: u64, noun: &str) -> String {
    let mut text = count(number);
    let _ = write!(text, " {noun}{}", if number == 1 { "" } else { "s" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_controls_go() {
        assert_eq!(line("plain ünï 漢字"), "plain ünï 漢字");
        assert_eq!(line("a\x1b[31;1mred\x1b[0m b"), "ared b");
        assert_eq!(line("x\x1b]0;title\x07y\x1b]8;;http://h\x1b\\z"), "xyz");
        assert_eq!(line("u\u{9b}2Jv\u{9d}0;t\u{9c}w"), "uvw");
        assert_eq!(line("a\tb\nc\r\nd\x00\x08\x7f"), "a    b c d");
        assert_eq!(line("\u{202e}evil\u{2066}"), "evil");
        assert_eq!(line("open \x1b]2;never closed\nnext"), "open  next");
        assert_eq!(line("\x1b(Bset \x1bcreset \x1b"), "set reset ");
    }

    #[test]
    fn cuts_and_wraps_by_columns() {
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abc", 0), "");
        let text = "hello brave world 漢字漢字";
        let rows: Vec<&str> = wrap(text, 8).into_iter().map(|(a, b)| &text[a..b]).collect();
        assert_eq!(rows, ["hello ", "brave ", "world ", "漢字漢字"]);
        assert_eq!(wrap("", 10), [(0, 0)]);
        assert!(wrap("漢字", 1).len() == 2);
    }

    #[test]
    fn times_and_sizes_read_well() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let back = |seconds: i64| ago(now, now - jiff::SignedDuration::from_secs(seconds));
        assert_eq!([back(-5), back(3), back(44), back(61)], ["now", "now", "30s", "1m"]);
        assert_eq!([back(7200), back(259_200), back(9_999_999)], ["2h", "3d", "3mo"]);
        let ms = |millis| duration(Duration::from_millis(millis));
        assert_eq!(
            [ms(7), ms(1240), ms(12_400), ms(125_000)],
            ["7ms", "1.24s", "12.4s", "2m 05s"]
        );
        assert_eq!([bytes(9), bytes(1234), bytes(56_000_000)], ["9 B", "1.2 kB", "56 MB"]);
        assert_eq!([count(7), count(12_345), plural(1, "file")], ["7", "12,345", "1 file"]);
    }
}
