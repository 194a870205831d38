use std::collections::VecDeque;
use std::time::Duration;

use castari_common::{MAX_PAGE, Page};
use crossterm::event::KeyEvent;

use super::Context;
use crate::effects::Effect;
use crate::input::{Action, Command, Field, keys};
use crate::message::{Answer, Failure, Rows, Task};

/// How many rows are kept. Beyond, those furthest from the eye are read again when they are wanted again.
const KEPT: usize = 1000;
/// How many pages a filter looks through by itself before it waits to be asked for more.
const SCANNED_PAGES: usize = 10;

/// How long to wait for the next key of a filter before looking.
const TYPING: Duration = Duration::from_millis(150);

/// Something that a list can hold.
pub trait Row: Send {
    /// What tells it from all others.
    fn id(&self) -> &str;
    /// Whether it contains a text, which is given in lower case.
    fn contains(&self, text: &str) -> bool;
}

/// A list that is as long as the server says, of which only a window around the eye is held.
///
/// Without a filter, rows stand at their place in the server's list. With one, the list is what matched so far while
/// the server's list is looked through from its start.
#[derive(Debug)]
pub struct List<T> {
    rows: VecDeque<T>,
    /// The place of the first row held.
    start: usize,
    /// How many there are on the server.
    total: usize,
    selected: usize,
    selected_id: Option<String>,
    /// The place of the first row on the screen.
    pub top: usize,
    /// How many rows the screen has.
    pub height: usize,
    /// The text to filter by, and whether it is being typed.
    pub filter: Filter,
    /// With a filter, how many rows of the server's list were looked at.
    scanned: usize,
    /// With a filter, how many may be looked at without being asked.
    scan_limit: usize,
    asked: Option<(Task, Page)>,
    /// The wait that has to be over before the next page is read: people type faster than servers should be asked.
    hold: Option<Task>,
    stale: bool,
    loaded: bool,
    /// Why the last page did not come.
    pub failure: Option<Failure>,
}

/// A text to narrow a list by.
#[derive(Debug)]
pub struct Filter {
    /// The text.
    pub field: Field,
    /// Whether it is being typed.
    pub editing: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            rows: VecDeque::new(),
            start: 0,
            total: 0,
            selected: 0,
            selected_id: None,
            top: 0,
            height: 20,
            filter: Filter {
                field: Field::new("filter", "text to look for"),
                editing: false,
            },
            scanned: 0,
            scan_limit: SCANNED_PAGES * MAX_PAGE as usize,
            asked: None,
            hold: None,
            stale: true,
            loaded: false,
            failure: None,
        }
    }
}

impl<T: Row> List<T> {
    /// How many rows the list has.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.is_filtered() {
            self.rows.len()
        } else {
            self.total
        }
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows the server has, filter or not.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Whether an answer has come yet.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether a page is on its way.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether a text narrows the list.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !self.filter.field.value().is_empty()
    }

    /// How many rows a filter has yet to look through.
    #[must_use]
    pub fn unscanned(&self) -> usize {
        if self.is_filtered() {
            self.total.saturating_sub(self.scanned)
        } else {
            0
        }
    }

    /// The text to filter by, in lower case.
    #[must_use]
    pub fn needle(&self) -> String {
        self.filter.field.value().to_lowercase()
    }

    /// The row at a place, if it is held.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&T> {
        self.rows.get(place.checked_sub(self.start)?)
    }

    /// The place that is selected.
    #[must_use]
    pub fn place(&self) -> usize {
        self.selected
    }

    /// The row that is selected.
    #[must_use]
    pub fn selected(&self) -> Option<&T> {
        self.get(self.selected)
    }

    /// The rows in view.
    pub fn visible(&self) -> impl Iterator<Item = &T> {
        let places = self.top..self.top + self.height;
        places.map_while(|place| self.get(place))
    }

    /// Selects the row at a place, or the nearest.
    pub fn select(&mut self, place: usize) {
        self.selected = place.min(self.len().saturating_sub(1));
        self.selected_id = self.selected().map(|row| row.id().to_owned());
        self.scroll_to_selection();
    }

    /// Forgets all rows, as another list is wanted.
    pub fn restart(&mut self) {
        self.rows.clear();
        (self.start, self.selected, self.top, self.scanned) = (0, 0, 0, 0);
        self.scan_limit = SCANNED_PAGES * MAX_PAGE as usize;
        self.selected_id = None;
        self.asked = None;
        self.stale = true;
        self.loaded = false;
    }

    /// Notes that the rows may have changed on the server.
    pub fn outdate(&mut self) {
        self.stale = true;
    }

    /// The page to read next, if there is one; the caller reads it under the name of `task`.
    pub fn want(&mut self, task: impl FnOnce() -> Task) -> Option<(Task, Page)> {
        if self.asked.is_some() || self.hold.is_some() || (self.failure.is_some() && !self.stale) {
            return None;
        }
        let offset = if self.stale {
            Some(self.refresh_offset())
        } else {
            self.missing_offset()
        };
        let page = Page {
            limit: MAX_PAGE,
            offset: offset? as u64,
        };
        self.stale = false;
        self.failure = None;
        self.asked = Some((task(), page));
        self.asked
    }

    fn refresh_offset(&self) -> usize {
        if self.is_filtered() {
            return 0;
        }
        let spare = (MAX_PAGE as usize).saturating_sub(self.height) / 2;
        self.top.saturating_sub(spare)
    }

    fn missing_offset(&self) -> Option<usize> {
        let page = MAX_PAGE as usize;
        let (above, below) = (self.top.saturating_sub(self.height), self.top + 2 * self.height);
        if self.is_filtered() {
            let wanted = self.rows.len() < below && self.scanned < self.total && self.scanned < self.scan_limit;
            return wanted.then_some(self.scanned);
        }
        let end = self.start + self.rows.len();
        if self.top >= end.max(1) || self.top + self.height < self.start {
            return Some(self.refresh_offset()).filter(|_| self.total > 0);
        }
        if end < below.min(self.total) {
            return Some(end);
        }
        (self.start > above).then(|| self.start.saturating_sub(page))
    }

    /// Takes a page, if it is the one that was asked for.
    pub fn receive(&mut self, task: Task, answer: Answer<Rows<T>>) {
        let Some((_, page)) = self.asked.take_if(|(asked, _)| *asked == task) else {
            return;
        };
        let Rows { rows, meta } = match answer {
            Ok(rows) => rows,
            Err(failure) => {
                self.failure = Some(failure);
                return;
            }
        };
        let first_time = !std::mem::replace(&mut self.loaded, true);
        self.failure = None;
        self.total = usize::try_from(meta.total).unwrap_or(usize::MAX);
        let offset = usize::try_from(page.offset).unwrap_or(usize::MAX);
        if self.is_filtered() {
            self.merge_matches(offset, rows);
        } else {
            self.place_rows(offset, rows);
        }
        self.find_selection(first_time);
    }

    fn place_rows(&mut self, offset: usize, rows: Vec<T>) {
        let end = self.start + self.rows.len();
        if offset == end && !self.rows.is_empty() {
            self.rows.extend(rows);
            let spare = self.rows.len().saturating_sub(KEPT);
            self.rows.drain(..spare);
            self.start += spare;
        } else if offset + rows.len() == self.start && !rows.is_empty() {
            for row in rows.into_iter().rev() {
                self.rows.push_front(row);
            }
            self.start = offset;
            self.rows.truncate(KEPT);
        } else {
            self.start = offset;
            self.rows = rows.into();
        }
        // Where the list became shorter than what is held, the server's word counts.
        self.total = self.total.max(self.start + self.rows.len());
    }

    fn merge_matches(&mut self, offset: usize, rows: Vec<T>) {
        let needle = self.needle();
        let again = offset == 0 && self.scanned > 0;
        if !again {
            self.scanned = offset + rows.len();
            // A page that is shorter than the rest of the list would be asked for for ever.
            if rows.is_empty() {
                self.total = self.scanned;
            }
        }
        let mut fresh = 0;
        for row in rows {
            let known = self.rows.iter().position(|held| held.id() == row.id());
            match (known, row.contains(&needle)) {
                (Some(place), true) => self.rows[place] = row,
                (Some(place), false) => drop(self.rows.remove(place)),
                (None, true) if again => {
                    self.rows.insert(fresh.min(self.rows.len()), row);
                    fresh += 1;
                }
                (None, true) => self.rows.push_back(row),
                (None, false) => {}
            }
        }
    }

    /// Keeps the selection on the row that it was on, wherever that went.
    fn find_selection(&mut self, first_time: bool) {
        let found = self
            .selected_id
            .as_ref()
            .and_then(|id| self.rows.iter().position(|row| row.id() == id));
        if let Some(index) = found {
            self.selected = self.start + index;
        } else {
            let place = if first_time { 0 } else { self.selected };
            self.selected = place.min(self.len().saturating_sub(1));
            self.selected_id = self.selected().map(|row| row.id().to_owned());
        }
        self.scroll_to_selection();
    }

    /// Moves the visible part so that the selection is in it and no row is wasted.
    pub fn scroll_to_selection(&mut self) {
        let height = self.height.max(1);
        self.top = self
            .top
            .clamp((self.selected + 1).saturating_sub(height), self.selected);
        self.top = self.top.min(self.len().saturating_sub(height));
    }

    /// Moves the selection; says whether the action is one that does.
    pub fn perform(&mut self, action: Action) -> bool {
        let page = self.height.saturating_sub(1).max(1);
        let place = match action {
            Action::Up => self.selected.saturating_sub(1),
            Action::Down => self.selected + 1,
            Action::PageUp => self.selected.saturating_sub(page),
            Action::PageDown => self.selected + page,
            Action::First => 0,
            Action::Last => usize::MAX,
            _ => return false,
        };
        // Whoever runs into the end of a filtered list wants it to look further.
        if place >= self.len() && self.unscanned() > 0 {
            self.scan_limit = self.scan_limit.max(self.scanned) + SCANNED_PAGES * MAX_PAGE as usize;
        }
        self.select(place);
        true
    }

    /// Moves the selection by so many rows.
    pub fn wheel(&mut self, rows: isize) {
        self.select(self.selected.saturating_add_signed(rows));
    }

    /// The commands of the filter while it is typed.
    #[must_use]
    pub fn filter_commands() -> Vec<Command> {
        vec![
            Command::new(
                keys::ENTER,
                "keep filter",
                Action::KeepFilter,
                "Keep the filter and go back to the list",
            ),
            Command::new(keys::ESCAPE, "clear filter", Action::Cancel, "Drop the filter"),
            Command::new(&keys::UP[..1], "up", Action::Up, "One row up").quiet(),
            Command::new(&keys::DOWN[..1], "down", Action::Down, "One row down").quiet(),
        ]
    }

    /// Does what concerns the filter; says whether the action is one that does.
    pub fn perform_filter(&mut self, action: Action) -> bool {
        match action {
            Action::Filter => self.filter.editing = true,
            Action::KeepFilter => self.filter.editing = false,
            Action::Cancel => {
                self.filter.editing = false;
                self.filter.field = Field::new(self.filter.field.label, &self.filter.field.placeholder);
                self.restart();
            }
            _ => return false,
        }
        true
    }

    /// Takes a key as part of the filter.
    pub fn type_filter(&mut self, key: KeyEvent, cx: &mut Context<'_>) {
        if self.filter.field.type_key(key) {
            self.restart();
            let wait = cx.task();
            cx.run(Effect::Wait(wait, TYPING));
            self.hold = Some(wait);
        }
    }

    /// Takes a pasted text as part of the filter.
    pub fn paste_filter(&mut self, text: &str) {
        if self.filter.editing {
            self.filter.field.paste(text);
            self.restart();
        }
    }

    /// Notes that a wait is over.
    pub fn waited(&mut self, task: Task) {
        self.hold.take_if(|hold| *hold == task);
    }
}
