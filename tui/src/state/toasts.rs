use std::time::Duration;

use jiff::Timestamp;

/// How a toast is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tone {
    /// Something was done.
    Good,
    /// Something could not be done now.
    Hint,
    /// Something failed.
    Bad,
}

/// A short text that goes by itself.
#[derive(Debug)]
pub struct Toast {
    /// How it is meant.
    pub tone: Tone,
    /// What it says.
    pub text: String,
    until: Timestamp,
}

/// What ended elsewhere, told in passing.
#[derive(Debug, Default)]
pub struct Toasts {
    shown: Vec<Toast>,
}

impl Toasts {
    /// How many are shown at once.
    const MOST: usize = 4;

    pub(super) fn add(&mut self, tone: Tone, text: String, now: Timestamp) {
        let stay = Duration::from_secs(if tone == Tone::Bad { 10 } else { 4 });
        let until = now.checked_add(stay).unwrap_or(now);
        // The same again only stays longer.
        self.shown.retain(|toast| toast.text != text);
        self.shown.push(Toast { tone, text, until });
        if self.shown.len() > Self::MOST {
            self.shown.remove(0);
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        self.shown.retain(|toast| toast.until > now);
    }

    /// Takes one away.
    pub(super) fn dismiss(&mut self, index: usize) {
        if index < self.shown.len() {
            self.shown.remove(index);
        }
    }

    /// Those to show, the oldest first.
    #[must_use]
    pub fn shown(&self) -> &[Toast] {
        &self.shown
    }
}
