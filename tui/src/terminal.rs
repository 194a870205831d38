//! The terminal: taken at the start, given back however the dashboard ends.

use std::fs::File;
use std::io::{Result, Write, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, KeyboardEnhancementFlags,
    PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

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

/// Waits until the terminal is gone, as when its window is closed. The signal that usually comes with that does not come
/// to every process, and the events that are read from a terminal do not end with it.
pub async fn hung_up() {
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime would wait for one of its own when the dashboard ends before its terminal.
    std::thread::spawn(move || {
        // Asked for nothing, the system tells of the end alone.
        let input = stdin();
        let mut asked = [PollFd::new(input.as_fd(), PollFlags::empty())];
        while poll(&mut asked, PollTimeout::NONE) == Err(Errno::EINTR) {}
        let _ = tell.send(());
    });
    let _ = told.await;
}

/// Sees whether the terminal is gone. If so, what is still said goes nowhere: to say it to a terminal that is gone is
/// an error, and one that `eprintln!` panics about.
pub fn forget_if_gone() -> bool {
    if !is_gone(&stdout()) && !is_gone(&stdin()) {
        return false;
    }
    let Ok(nowhere) = File::options().read(true).write(true).open("/dev/null") else {
        return true;
    };
    let _ = dup2_stdin(&nowhere);
    let _ = dup2_stdout(&nowhere);
    if is_gone(&stderr()) {
        let _ = dup2_stderr(&nowhere);
    }
    true
}

fn is_gone(descriptor: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(descriptor.as_fd(), PollFlags::empty())];
    let answered = poll(&mut asked, PollTimeout::ZERO);
    answered.is_ok()
        && asked[0]
            .revents()
            .is_some_and(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
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
