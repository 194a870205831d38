//! The terminal: taken at the start, given back however the dashboard ends.

use std::io::{Result, Write, stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, KeyboardEnhancementFlags,
    PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    /// Set while the dashboard itself runs, so that its panics are told from those of other tasks.
    pub static IN_DASHBOARD: ();
}

/// The terminal, for as long as this lives.
pub struct Guard(());

impl Guard {
    /// Takes the terminal.
    pub fn take() -> Result<Self> {
        take()?;
        Ok(Self(()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// Takes the terminal: raw keys, a screen of our own, the mouse, pastes as pastes.
pub fn take() -> Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    // Terminals that know nothing of the enhanced keys ignore the request for them.
    let keys = PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES);
    execute!(
        stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        EnableBracketedPaste,
        keys
    )
}

/// Gives the terminal back, if it is ours. Nothing can be done about a failure: the terminal may be gone.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = stdout();
    let _ = execute!(
        out,
        PopKeyboardEnhancementFlags,
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = out.flush();
    let _ = disable_raw_mode();
}

/// Sees to it that a panic of the dashboard is readable, and that one of any other task in the process does not write
/// over the screen.
pub fn hook_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = IN_DASHBOARD.try_with(|()| ()).is_ok();
            if !ours && TAKEN.load(Ordering::SeqCst) {
                tracing::error!("{info}");
                return;
            }
            give_back();
            former(info);
        }));
    });
}
