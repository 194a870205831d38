use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use tui_input::backend::crossterm::EventHandler;
use tui_input::{Input, InputRequest};

use crate::text;

/// Several lines to type into: one input a line.
#[derive(Debug)]
pub struct Editor {
    lines: Vec<Input>,
    row: usize,
}

impl Default for Editor {
    fn default() -> Self {
        Self {
            lines: vec![Input::default()],
            row: 0,
        }
    }
}

impl Editor {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(Input::value).collect();
        lines.join("\n")
    }

    /// The lines, as they were typed.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(Input::value)
    }

    /// Whether nothing but blanks was typed.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.lines().all(|line| line.trim().is_empty())
    }

    /// The line that the cursor is on, and the byte in it that the cursor stands before.
    #[must_use]
    pub fn cursor(&self) -> (usize, usize) {
        let line = &self.lines[self.row];
        let value = line.value();
        let byte = value
            .char_indices()
            .nth(line.cursor())
            .map_or(value.len(), |(byte, _)| byte);
        (self.row, byte)
    }

    /// Breaks the line at the cursor.
    pub fn newline(&mut self) {
        let (_, byte) = self.cursor();
        let value = self.lines[self.row].value().to_owned();
        self.lines[self.row] = Input::new(value[..byte].to_owned());
        self.row += 1;
        self.lines
            .insert(self.row, Input::new(value[byte..].to_owned()).with_cursor(0));
    }

    /// Takes a pasted text, its line breaks included.
    pub fn paste(&mut self, pasted: &str) {
        let pasted = pasted.replace("\r\n", "\n").replace('\r', "\n");
        for (index, line) in pasted.split('\n').enumerate() {
            if index > 0 {
                self.newline();
            }
            // The whole line at once: an insertion per character copies the line each time.
            let (_, byte) = self.cursor();
            let value = self.lines[self.row].value();
            let (before, after) = value.split_at(byte);
            let joined = format!("{before}{}", text::line(line));
            let cursor = joined.chars().count();
            self.lines[self.row] = Input::new(joined + after).with_cursor(cursor);
        }
    }

    /// Takes a key.
    pub fn type_key(&mut self, key: KeyEvent) {
        let cursor = self.lines[self.row].cursor();
        match (key.code, key.modifiers) {
            (KeyCode::Up, KeyModifiers::NONE) => self.go_to(self.row.saturating_sub(1), cursor),
            (KeyCode::Down, KeyModifiers::NONE) => self.go_to(self.row + 1, cursor),
            (KeyCode::Left, KeyModifiers::NONE) if cursor == 0 && self.row > 0 => self.go_to(self.row - 1, usize::MAX),
            (KeyCode::Right, KeyModifiers::NONE) if self.at_line_end() && self.row + 1 < self.lines.len() => {
                self.go_to(self.row + 1, 0);
            }
            (KeyCode::Backspace, KeyModifiers::NONE) if cursor == 0 => self.join_with_line_above(),
            (KeyCode::Delete, KeyModifiers::NONE) if self.at_line_end() => {
                if self.row + 1 < self.lines.len() {
                    self.row += 1;
                    self.join_with_line_above();
                }
            }
            _ => {
                self.lines[self.row].handle_event(&Event::Key(key));
            }
        }
    }

    fn at_line_end(&self) -> bool {
        let line = &self.lines[self.row];
        line.cursor() == line.value().chars().count()
    }

    fn go_to(&mut self, row: usize, cursor: usize) {
        self.row = row.min(self.lines.len() - 1);
        self.lines[self.row].handle(InputRequest::SetCursor(cursor));
    }

    fn join_with_line_above(&mut self) {
        if self.row == 0 {
            return;
        }
        let below = self.lines.remove(self.row);
        self.row -= 1;
        let above = self.lines[self.row].value();
        let cursor = above.chars().count();
        self.lines[self.row] = Input::new(format!("{above}{}", below.value())).with_cursor(cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(editor: &mut Editor, code: KeyCode) {
        editor.type_key(KeyEvent::new(code, KeyModifiers::NONE));
    }

    #[test]
    fn lines_break_and_join() {
        let mut editor = Editor::default();
        editor.paste("one\r\ntwo\x1b[31m three");
        assert_eq!(editor.text(), "one\ntwo three");
        press(&mut editor, KeyCode::Home);
        press(&mut editor, KeyCode::Backspace);
        assert_eq!(editor.text(), "onetwo three");
        assert_eq!(editor.cursor(), (0, 3));
        editor.newline();
        press(&mut editor, KeyCode::Left);
        assert_eq!(editor.cursor(), (0, 3));
        press(&mut editor, KeyCode::Delete);
        assert_eq!(editor.text(), "onetwo three");
        press(&mut editor, KeyCode::Char('é'));
        assert_eq!(editor.text(), "oneétwo three");
        assert_eq!(editor.cursor(), (0, 5));
    }
}
