//! The dashboard as a program: the terminal, the signals and the loop around the state.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use castari_common::Client;
use color_eyre::Result;
use color_eyre::eyre::WrapErr;
use crossterm::event::EventStream;
use futures::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::layout::{Position, Rect};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::effects::Runner;
use crate::message::Message;
use crate::state::{App, Setup};
use crate::terminal::{self, Guard};
use crate::theme::Theme;

/// The least time from one frame to the next: more frames than that nobody sees.
const FRAME: Duration = Duration::from_millis(16);

/// After how long a process that is still running was not stopped.
const NOT_STOPPED: Duration = Duration::from_millis(300);

/// Where the time comes from.
pub type Clock = Box<dyn Fn() -> Timestamp + Send>;

/// The server that the dashboard shows.
pub struct Attachment {
    /// How to talk to it.
    pub client: Client,
    /// Whether it runs in this process.
    pub bundled: bool,
    /// Where it logs to, if that is a file on this machine.
    pub server_log: Option<PathBuf>,
}

/// Shows the dashboard until the user leaves or the process is told to end. Takes the terminal, and gives it back
/// whatever happens.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn run(attachment: Attachment) -> Result<()> {
    terminal::hook_panics();
    terminal::IN_DASHBOARD.scope((), show(attachment)).await
}

/// The clock of the real world: everything below is told the time.
#[expect(
    clippy::disallowed_methods,
    reason = "the dashboard's own start is where the time comes in"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

async fn show(attachment: Attachment) -> Result<()> {
    let setup = Setup {
        address: attachment.client.address().to_string(),
        bundled: attachment.bundled,
        server_log: attachment.server_log,
        theme: Theme::from_environment(),
        zone: TimeZone::system(),
    };
    let guard = Guard::take().wrap_err("cannot use this terminal")?;
    let backend = CrosstermBackend::new(std::io::stdout());
    let mut session = Session::new(backend, attachment.client, setup, Box::new(now))?;
    let inputs = [
        tokio::spawn(read_terminal(session.queue())),
        tokio::spawn(read_signals(session.queue())),
        tokio::spawn(read_end(session.queue())),
    ];
    let result = session.run().await;
    for input in inputs {
        input.abort();
    }
    // What could not be drawn on a terminal that is gone is not a failure but an end like others.
    let gone = terminal::forget_if_gone();
    drop(guard);
    if gone { Ok(()) } else { result }
}

/// The loop around the state, on any terminal.
pub struct Session<B: Backend> {
    terminal: Terminal<B>,
    app: App,
    runner: Runner,
    clock: Clock,
    sender: UnboundedSender<Message>,
    queue: UnboundedReceiver<Message>,
    drawn: Instant,
    /// Whether the terminal is somebody else's for now.
    away: bool,
}

impl<B> Session<B>
where
    B: Backend,
    B::Error: Send + Sync + 'static,
{
    /// A dashboard that has drawn its first frame and asked its first questions.
    ///
    /// # Errors
    /// When the terminal cannot be drawn to.
    pub fn new(backend: B, client: Client, setup: Setup, clock: Clock) -> Result<Self> {
        let (sender, queue) = unbounded_channel();
        // The dashboard says what is wrong and since when, and tries again itself.
        let mut runner = Runner::new(client.with_patience(Duration::ZERO), sender.clone());
        let (app, effects) = App::new(setup, clock());
        for effect in effects {
            runner.run(effect);
        }
        let terminal = Terminal::new(backend)?;
        let mut session = Self {
            terminal,
            app,
            runner,
            clock,
            sender,
            queue,
            drawn: Instant::now(),
            away: false,
        };
        session.draw()?;
        Ok(session)
    }

    /// Where messages are put.
    #[must_use]
    pub fn queue(&self) -> UnboundedSender<Message> {
        self.sender.clone()
    }

    /// The terminal.
    #[must_use]
    pub fn terminal(&self) -> &Terminal<B> {
        &self.terminal
    }

    /// Runs until the dashboard is to end.
    ///
    /// # Errors
    /// When the terminal cannot be drawn to.
    pub async fn run(&mut self) -> Result<()> {
        while self.step().await? {}
        Ok(())
    }

    /// Waits for something to happen, takes it and all that happened with it, and draws; says whether to go on.
    ///
    /// # Errors
    /// When the terminal cannot be drawn to.
    pub async fn step(&mut self) -> Result<bool> {
        match self.app.animation() {
            Some(wait) => match timeout(wait, self.queue.recv()).await {
                Ok(Some(message)) => self.take(message)?,
                Ok(None) | Err(_) => self.app.tick((self.clock)()),
            },
            None => match self.queue.recv().await {
                Some(message) => self.take(message)?,
                None => return Ok(false),
            },
        }
        // What comes before the next frame is due goes into it.
        let due = self.drawn + FRAME;
        loop {
            while let Ok(message) = self.queue.try_recv() {
                self.take(message)?;
            }
            if self.app.ended() {
                return Ok(false);
            }
            tokio::select! {
                biased;
                () = sleep_until(due) => break,
                Some(message) = self.queue.recv() => self.take(message)?,
            }
        }
        self.draw()?;
        Ok(true)
    }

    fn take(&mut self, message: Message) -> Result<()> {
        if matches!(message, Message::Resumed) {
            // Whoever had the terminal in between left it as they liked.
            terminal::give_back();
            terminal::take()?;
            // `clear` would ask the terminal where its cursor is, and the answer would go to the reader of events.
            let size = self.terminal.size()?;
            self.terminal.resize(Rect::from((Position::ORIGIN, size)))?;
            self.away = false;
        }
        for effect in self.app.update(message, (self.clock)()) {
            self.runner.run(effect);
        }
        if self.app.take_suspend() {
            self.suspend()?;
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<()> {
        if !self.away {
            self.terminal.draw(|frame| self.app.draw(frame))?;
        }
        self.drawn = Instant::now();
        Ok(())
    }

    /// Gives the terminal back and stops the whole job, as the shell would. Nothing is drawn until it goes on.
    fn suspend(&mut self) -> Result<()> {
        self.away = true;
        terminal::give_back();
        kill(Pid::from_raw(0), Signal::SIGTSTP).wrap_err("cannot stop the process")?;
        // Where no shell could continue it, the system does not stop it: then it goes on by itself.
        let queue = self.queue();
        tokio::spawn(async move {
            sleep(NOT_STOPPED).await;
            let _ = queue.send(Message::Resumed);
        });
        Ok(())
    }
}

/// Puts into the queue what comes from the terminal.
async fn read_terminal(queue: UnboundedSender<Message>) {
    let mut events = EventStream::new();
    while let Some(Ok(event)) = events.next().await {
        if queue.send(Message::Terminal(event)).is_err() {
            return;
        }
    }
    let _ = queue.send(Message::Terminate);
}

/// Ends the dashboard when its terminal is gone.
async fn read_end(queue: UnboundedSender<Message>) {
    terminal::hung_up().await;
    let _ = queue.send(Message::Terminate);
}

/// Puts into the queue what the process is told by signals.
async fn read_signals(queue: UnboundedSender<Message>) {
    let Err(error) = listen(&queue).await;
    tracing::error!("signals cannot be received: {error}");
}

async fn listen(queue: &UnboundedSender<Message>) -> std::io::Result<Infallible> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut resumed = signal(SignalKind::from_raw(Signal::SIGCONT as i32))?;
    loop {
        let message = tokio::select! {
            _ = terminate.recv() => Message::Terminate,
            _ = interrupt.recv() => Message::Terminate,
            _ = hang_up.recv() => Message::Terminate,
            _ = resumed.recv() => Message::Resumed,
        };
        let _ = queue.send(message);
    }
}
