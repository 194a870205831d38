use std::collections::VecDeque;

use crate::input::Action;
use crate::text;

/// How many lines are kept; what is older goes, and is counted.
const KEPT: usize = 20_000;
/// How many lines go at once.
const DROPPED: usize = 2_000;
/// How many bytes a line may have before it is broken: nobody reads longer ones, and each addition cleans it anew.
const LONGEST: usize = 4096;

/// A text from outside that grows at its end and is scrolled through: logs and answers.
#[derive(Debug, Default)]
pub struct Pager {
    /// Harmless lines.
    lines: VecDeque<String>,
    /// How many lines were dropped at the start.
    dropped: usize,
    /// The last line as it came, while it has no end.
    tail: Vec<u8>,
    /// Whether the last of `lines` is what `tail` shows.
    tail_shown: bool,
    /// Where lines break at the width of the screen.
    rows: Vec<PagerRow>,
    /// Lines that `rows` covers.
    wrapped: usize,
    width: usize,
    top: usize,
    height: usize,
    /// Whether the view was scrolled away from the end.
    paused: bool,
}

#[derive(Clone, Copy, Debug)]
struct PagerRow {
    line: usize,
    start: usize,
    end: usize,
}

impl Pager {
    /// A text that is complete, shown from its start.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut pager = Self {
            paused: true,
            ..Self::default()
        };
        pager.push(text.as_bytes());
        pager
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many lines it has had.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.dropped + self.lines.len()
    }

    /// How many of them are not kept any more.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Whether the end stays in view as the text grows.
    #[must_use]
    pub fn follows(&self) -> bool {
        !self.paused
    }

    /// Where the view is: first row, rows in view, rows in all.
    #[must_use]
    pub fn extent(&self) -> (usize, usize, usize) {
        (self.top, self.height, self.rows.len())
    }

    /// Adds to the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.take_back_tail();
        for (index, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.end_line();
            }
            for piece in piece.chunks(LONGEST) {
                if self.tail.len() + piece.len() > LONGEST {
                    self.break_line();
                }
                self.tail.extend_from_slice(piece);
            }
        }
        if !self.tail.is_empty() {
            let line = clean(&self.tail);
            self.lines.push_back(line);
            self.tail_shown = true;
        }
        if self.lines.len() > KEPT {
            self.lines.drain(..DROPPED);
            self.dropped += DROPPED;
            self.rows.clear();
            self.wrapped = 0;
        }
    }

    fn take_back_tail(&mut self) {
        if std::mem::take(&mut self.tail_shown) {
            self.lines.pop_back();
            if self.wrapped > self.lines.len() {
                self.wrapped = self.lines.len();
                while self.rows.pop_if(|row| row.line >= self.wrapped).is_some() {}
            }
        }
    }

    fn end_line(&mut self) {
        let line = clean(&self.tail);
        self.lines.push_back(line);
        self.tail.clear();
    }

    /// Ends an overlong line, keeping a character that is not complete for the next.
    fn break_line(&mut self) {
        let complete = complete_length(&self.tail);
        let rest = self.tail.split_off(complete);
        self.end_line();
        self.tail = rest;
    }

    /// Wraps what is not wrapped yet and moves the view into place.
    pub fn lay_out(&mut self, width: usize, height: usize) {
        if width != self.width {
            self.rows.clear();
            self.wrapped = 0;
            self.width = width;
        }
        for line in self.wrapped..self.lines.len() {
            let rows = text::wrap(&self.lines[line], width);
            self.rows
                .extend(rows.into_iter().map(|(start, end)| PagerRow { line, start, end }));
        }
        self.wrapped = self.lines.len();
        self.height = height;
        let last_top = self.rows.len().saturating_sub(height);
        self.top = if self.paused { self.top.min(last_top) } else { last_top };
    }

    /// The rows in view.
    pub fn visible(&self) -> impl Iterator<Item = &str> {
        let rows = self.rows.iter().skip(self.top).take(self.height);
        rows.map(|row| &self.lines[row.line][row.start..row.end])
    }

    /// Scrolls by so many rows. Up pauses following, reaching the end takes it up again.
    pub fn scroll(&mut self, rows: isize) {
        let last_top = self.rows.len().saturating_sub(self.height);
        self.top = self.top.saturating_add_signed(rows).min(last_top);
        self.paused = self.top < last_top;
    }

    /// Scrolls; says whether the action is one that does.
    pub fn perform(&mut self, action: Action) -> bool {
        let page = self.height.saturating_sub(1).max(1).cast_signed();
        match action {
            Action::Up => self.scroll(-1),
            Action::Down => self.scroll(1),
            Action::PageUp => self.scroll(-page),
            Action::PageDown => self.scroll(page),
            Action::First => self.scroll(isize::MIN),
            Action::Last | Action::Follow => self.paused = false,
            _ => return false,
        }
        true
    }
}

/// One line as a terminal would have left it: what a carriage return overwrote is gone.
fn clean(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let from = bytes.iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
    let bytes = &bytes[from..];
    let text = String::from_utf8_lossy(&bytes[..complete_length(bytes)]);
    text::line(&text).into_owned()
}

/// How many bytes there are without a character at the end that is not complete.
fn complete_length(bytes: &[u8]) -> usize {
    let lead = (1..=3.min(bytes.len())).find(|back| bytes[bytes.len() - back] & 0xc0 != 0x80);
    let Some(back) = lead else { return bytes.len() };
    match std::str::from_utf8(&bytes[bytes.len() - back..]) {
        Err(error) if error.error_len().is_none() => bytes.len() - back,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pager: &mut Pager, width: usize, height: usize) -> Vec<String> {
        pager.lay_out(width, height);
        pager.visible().map(str::to_owned).collect()
    }

    #[test]
    fn grows_line_by_line_and_byte_by_byte() {
        let mut pager = Pager::default();
        for byte in "one\ntwö\x1b[3".bytes() {
            pager.push(&[byte]);
        }
        assert_eq!(shown(&mut pager, 10, 5), ["one", "twö"]);
        pager.push(b"1mred\nprogress 1%\rprogress 2%\r\n\nend");
        assert_eq!(shown(&mut pager, 20, 9), ["one", "twöred", "progress 2%", "", "end"]);
    }

    #[test]
    fn follows_until_scrolled_up() {
        let mut pager = Pager::default();
        pager.push(b"1\n2\n3\n4\n");
        assert_eq!(shown(&mut pager, 5, 2), ["3", "4"]);
        pager.perform(Action::Up);
        pager.push(b"5\n");
        assert!(!pager.follows());
        assert_eq!(shown(&mut pager, 5, 2), ["2", "3"]);
        pager.perform(Action::Last);
        assert_eq!(shown(&mut pager, 5, 2), ["4", "5"]);
        assert!(pager.follows());
    }

    #[test]
    fn survives_what_is_far_too_much() {
        let mut pager = Pager::default();
        pager.push("漢".repeat(1_000_000).as_bytes());
        pager.push(&[b'x', b'\n'].repeat(100_000));
        pager.push(&[0xff, 0xc3, 0x28, b'\n', 0xe6]);
        let rows = shown(&mut pager, 80, 3);
        assert_eq!(rows, ["x", "\u{fffd}\u{fffd}(", ""]);
        assert!(pager.dropped() > 0 && pager.line_count() > 100_000);
        assert!(!pager.lines.iter().any(|line| line.contains("漢\u{fffd}")));
    }
}
