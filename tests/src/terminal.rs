//! A terminal with the real program in it: types, clicks, resizes, and looks at the screen.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use vt100::{Callbacks, MouseProtocolMode, Parser, Screen};

use crate::{Options, process, server};

/// How long the screen may take to show what it has to. Debug builds on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes that a terminal sends for Enter.
pub const ENTER: &str = "\r";
/// For Escape. Whatever follows at once would be taken for a key with Alt.
pub const ESCAPE: &str = "\x1b";
/// For Tab.
pub const TAB: &str = "\t";
/// For Shift and Tab.
pub const BACK_TAB: &str = "\x1b[Z";
/// For the arrow down.
pub const DOWN: &str = "\x1b[B";
/// For the arrow to the right.
pub const RIGHT: &str = "\x1b[C";
/// For Ctrl and C.
pub const INTERRUPT: &str = "\x03";

/// `castari` with arguments, in a place of its own: told nothing by the environment but what `options` say.
#[must_use]
pub fn castari(place: &Path, options: &Options, args: &[&str]) -> Command {
    let mut command = server::command(place, options);
    command.args(args);
    command
}

/// A pseudo-terminal and the program that runs in it. Dropping it kills the program.
pub struct Terminal {
    shared: Arc<Shared>,
    pid: u32,
    /// The processes that were below the program when it was last looked at.
    below: BTreeSet<u32>,
    /// The terminal's modes before the program had it.
    before: String,
    pty: Option<Pty>,
}

/// Our end of it; the terminal is closed with the last part.
struct Pty {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: Parser<Unknown>,
    raw: Vec<u8>,
    /// No output comes any more.
    drained: bool,
    /// No output is to be read any more.
    closing: bool,
    status: Option<ExitStatus>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            parser: Parser::new_with_callbacks(24, 80, 0, Unknown::default()),
            raw: Vec::new(),
            drained: false,
            closing: false,
            status: None,
        }
    }
}

/// What the terminal was sent and does not know.
#[derive(Default)]
struct Unknown(BTreeSet<String>);

impl Callbacks for Unknown {
    fn unhandled_char(&mut self, _: &mut Screen, c: char) {
        self.0.insert(format!("character {c:?}"));
    }

    fn unhandled_control(&mut self, _: &mut Screen, byte: u8) {
        self.0.insert(format!("control {byte:#04x}"));
    }

    fn unhandled_escape(&mut self, _: &mut Screen, first: Option<u8>, second: Option<u8>, byte: u8) {
        let text = |byte: Option<u8>| byte.map(char::from).map(String::from).unwrap_or_default();
        self.0
            .insert(format!("ESC {}{}{}", text(first), text(second), char::from(byte)));
    }

    fn unhandled_csi(&mut self, _: &mut Screen, first: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        // What terminals that do not know it leave alone: the request for keys that can be told apart, an older way to
        // tell of the mouse, the colour of underlines.
        let harmless = match (first, c) {
            (Some(b'>' | b'<'), 'u') => true,
            (Some(b'?'), 'h' | 'l') => params == [&[1015]],
            (None, 'm') => params == [&[59]],
            _ => false,
        };
        if harmless {
            return;
        }
        let first = first.map(char::from).map(String::from).unwrap_or_default();
        self.0.insert(format!("CSI {first}{params:?}{c}"));
    }

    fn unhandled_osc(&mut self, _: &mut Screen, params: &[&[u8]]) {
        self.0.insert(format!("OSC {params:?}"));
    }
}

impl Terminal {
    /// Opens a terminal of so many columns and rows and starts a program in it.
    #[must_use]
    pub fn start(command: &Command, (columns, rows): (u16, u16)) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.cwd(command.get_current_dir().unwrap_or(Path::new("/")));
        // Colours as most terminals have them, whatever the tests themselves run in.
        for name in ["NO_COLOR", "COLORTERM"] {
            builder.env_remove(name);
        }
        builder.env("TERM", "xterm-256color");
        builder.env("TZ", "UTC");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => builder.env(name, value),
                None => builder.env_remove(name),
            }
        }
        let before = modes(pair.master.as_ref());
        let shared = Arc::<Shared>::default();
        shared.lock().parser.screen_mut().set_size(rows, columns);
        let mut child = pair.slave.spawn_command(builder).unwrap();
        drop(pair.slave);
        let pid = child.process_id().unwrap();
        let output = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let reader = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || read(&shared, output)
        });
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let status = child.wait().unwrap();
                shared.lock().status = Some(status);
                shared.changed.notify_all();
            }
        });
        let pty = Pty {
            master: pair.master,
            writer,
            reader,
        };
        Self {
            shared,
            pid,
            below: BTreeSet::new(),
            before,
            pty: Some(pty),
        }
    }

    /// The program's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Types, as fast as the terminal takes it.
    pub fn keys(&mut self, keys: &str) {
        self.send(keys.as_bytes());
    }

    /// Pastes a text, as terminals mark it.
    pub fn paste(&mut self, text: &str) {
        self.send(format!("\x1b[200~{text}\x1b[201~").as_bytes());
    }

    /// Clicks on the first place that shows a text.
    pub fn click(&mut self, text: &str) {
        self.wait_for(text);
        let place = find(self.shared.lock().parser.screen(), text);
        let (column, row) = place.unwrap_or_else(|| panic!("{text:?} went away:\n{}", self.screen()));
        self.send(format!("\x1b[<0;{0};{1}M\x1b[<0;{0};{1}m", column + 1, row + 1).as_bytes());
    }

    fn send(&mut self, bytes: &[u8]) {
        let pty = self.pty.as_mut().expect("the terminal is open");
        pty.writer.write_all(bytes).unwrap();
        pty.writer.flush().unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        // The lock keeps the output of the old size from the screen of the new one, as far as that can be.
        let mut state = self.shared.lock();
        state.parser.screen_mut().set_size(rows, columns);
        let pty = self.pty.as_ref().expect("the terminal is open");
        pty.master.resize(size(columns, rows)).unwrap();
    }

    /// What the screen shows now.
    #[must_use]
    pub fn screen(&self) -> String {
        self.shared.lock().parser.screen().contents()
    }

    /// Whether the screen shows a text now.
    #[must_use]
    pub fn shows(&self, text: &str) -> bool {
        find(self.shared.lock().parser.screen(), text).is_some()
    }

    /// A look at the screen as it is now.
    pub fn look<T>(&self, at: impl FnOnce(&Screen) -> T) -> T {
        at(self.shared.lock().parser.screen())
    }

    /// Everything that the program wrote so far.
    #[must_use]
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().raw).into_owned()
    }

    /// Waits until the screen shows a text, on one line.
    pub fn wait_for(&self, text: &str) {
        self.wait_until(&format!("{text:?} is shown"), |screen| find(screen, text).is_some());
    }

    /// Waits until the screen does not show a text.
    pub fn wait_gone(&self, text: &str) {
        self.wait_until(&format!("{text:?} is gone"), |screen| find(screen, text).is_none());
    }

    /// Waits until the screen is as it should be.
    pub fn wait_until(&self, what: &str, is: impl Fn(&Screen) -> bool) {
        let done = |state: &State| is(state.parser.screen());
        let state = self.shared.wait(PATIENCE, |state| done(state) || state.drained);
        if !done(&state) {
            let status = &state.status;
            let screen = state.parser.screen().contents();
            // A panic with the lock held would hide the screen from whoever looks next.
            let text = format!("not on the screen: {what} (the program's status: {status:?})\n{screen}");
            drop(state);
            panic!("{text}");
        }
    }

    /// Notes which processes are below the program now, so that its end can be seen to be theirs.
    pub fn note_processes(&mut self) -> usize {
        self.below.extend(process::descendants(self.pid));
        self.below.len()
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.cast_signed()), signal).unwrap();
    }

    /// Closes the terminal, as when its window is closed.
    pub fn close(&mut self) {
        let Some(pty) = self.pty.take() else { return };
        self.shared.lock().closing = true;
        // The reader waits for output, and holds the terminal open while it does: so it is given some.
        if let Some(path) = pty.master.tty_name()
            && let Ok(mut terminal) = File::options()
                .write(true)
                .custom_flags(OFlag::O_NOCTTY.bits())
                .open(path)
        {
            let _ = terminal.write_all(b" ");
        }
        let _ = pty.reader.join();
    }

    /// Waits for the program's end, and for its processes', for so long and no longer; yields its exit code.
    pub fn ended(&mut self, limit: Duration) -> u32 {
        let start = Instant::now();
        let open = self.pty.is_some();
        let state = self
            .shared
            .wait(limit, |state| state.status.is_some() && (state.drained || !open));
        let (status, screen) = (state.status.clone(), state.parser.screen().contents());
        drop(state);
        let status = status.unwrap_or_else(|| panic!("the program did not end within {limit:?}\n{screen}"));
        while self.below.iter().any(|pid| process::is_alive(*pid)) {
            let left: Vec<_> = self.below.iter().filter(|pid| process::is_alive(**pid)).collect();
            assert!(start.elapsed() < limit, "processes are left after {limit:?}: {left:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        status.exit_code()
    }

    /// Checks that a program that ended left the terminal as it found it.
    pub fn assert_restored(&self) {
        let state = self.shared.lock();
        let screen = state.parser.screen();
        let text = screen.contents();
        let restored = [
            ("the other screen is left", !screen.alternate_screen()),
            ("the cursor is shown", !screen.hide_cursor()),
            (
                "the mouse is off",
                screen.mouse_protocol_mode() == MouseProtocolMode::None,
            ),
            ("pastes are not marked", !screen.bracketed_paste()),
            (
                "the keys are as before",
                count(&state.raw, "\x1b[>1u") == count(&state.raw, "\x1b[<1u"),
            ),
            (
                "colours and weight are as before",
                screen.fgcolor() == vt100::Color::Default && !screen.bold(),
            ),
        ];
        drop(state);
        for (what, holds) in restored {
            assert!(holds, "not so: {what}\n{text}");
        }
        let pty = self.pty.as_ref().expect("the terminal is open");
        assert_eq!(modes(pty.master.as_ref()), self.before, "the terminal's modes differ");
        self.assert_clean();
    }

    /// Checks that nothing was written that a terminal does not know.
    pub fn assert_clean(&self) {
        let unknown = self.shared.lock().parser.callbacks().0.clone();
        assert!(unknown.is_empty(), "a terminal does not know {unknown:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.shared.lock().status.is_none() {
            self.note_processes();
            let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGKILL);
            let limit = Duration::from_secs(5);
            drop(self.shared.wait(limit, |state| state.status.is_some()));
        }
        self.close();
        let start = Instant::now();
        while self.below.iter().any(|pid| process::is_alive(*pid)) && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until something holds, or for so long.
    fn wait(&self, limit: Duration, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waiting = self
            .changed
            .wait_timeout_while(self.lock(), limit, |state| !holds(state));
        waiting.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }
}

/// Feeds the screen until the last program that has the terminal open is gone.
fn read(shared: &Shared, mut output: Box<dyn Read + Send>) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = output.read(&mut buffer).unwrap_or(0);
        let mut state = shared.lock();
        if count == 0 || state.closing {
            state.drained = true;
            shared.changed.notify_all();
            return;
        }
        state.raw.extend_from_slice(&buffer[..count]);
        state.parser.process(&buffer[..count]);
        shared.changed.notify_all();
    }
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// The modes of a terminal, in a form that can be compared.
fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("the terminal has modes"))
}

fn count(bytes: &[u8], text: &str) -> usize {
    bytes
        .windows(text.len())
        .filter(|window| *window == text.as_bytes())
        .count()
}

/// The column and row of the first place that shows a text.
fn find(screen: &Screen, text: &str) -> Option<(u16, u16)> {
    let (rows, columns) = screen.size();
    for row in 0..rows {
        let mut line = String::new();
        let mut starts = Vec::new();
        for column in 0..columns {
            let Some(cell) = screen.cell(row, column) else { continue };
            if cell.is_wide_continuation() {
                continue;
            }
            starts.push((line.len(), column));
            line.push_str(if cell.has_contents() { cell.contents() } else { " " });
        }
        if let Some(at) = line.find(text) {
            let column = starts.iter().rev().find(|(start, _)| *start <= at)?.1;
            return Some((column, row));
        }
    }
    None
}
