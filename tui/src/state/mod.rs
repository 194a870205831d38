//! What the dashboard knows, and what each message makes of it.

/// One agent.
pub mod agent;
/// The list of agents.
pub mod agents;
mod commands;
mod component;
mod confirm;
/// The form that makes an agent.
pub mod create;
mod help;
mod invocation;
mod invocations;
/// A prompt and its answer.
pub mod invoke;
mod kind;
mod launch;
mod link;
mod list;
mod pager;
mod pointer;
mod toasts;
mod verbs;

use std::path::PathBuf;
use std::time::Duration;

use castari_common::events::EventKind;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Frame;

pub use agent::{Agent, AgentSection};
pub use agents::Agents;
pub use component::{Component, Context, Region};
pub use confirm::Confirm;
pub use create::{Create, FIELDS, SOURCES, SUBMIT};
pub use help::Help;
pub use invocation::{Invocation, InvocationSection};
pub use invocations::Invocations;
pub use invoke::{Invoke, Outcome, Phase};
pub use kind::Kind;
pub use launch::{Launch, StageState};
pub use link::{Link, Standing};
pub use list::{List, Row};
pub use pager::Pager;
pub use toasts::{Toast, Toasts, Tone};

use crate::effects::Effect;
use crate::input::Action;
use crate::message::{Act, Feed, Message, Stale};
use crate::theme::Theme;
use crate::view::{self, Hits};
use component::Request;
use pointer::Pointer;

/// How long changes are gathered before they are read, and the least time from one reading to the next.
const GATHER: (Duration, Duration) = (Duration::from_millis(120), Duration::from_secs(2));

/// The panes, in the order of their keys.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "each name is the title that the user sees")]
pub enum PaneId {
    Agents,
    Invocations,
}

impl PaneId {
    /// All of them, in order.
    pub const ALL: [Self; 2] = [Self::Agents, Self::Invocations];

    /// What its tab says.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Agents => "Agents",
            Self::Invocations => "Invocations",
        }
    }

    fn root(self) -> Box<dyn Component> {
        match self {
            Self::Agents => Box::new(Agents::default()),
            Self::Invocations => Box::new(Invocations::default()),
        }
    }
}

/// What the dashboard is told of the place that it runs in.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The server's address, as people know it.
    pub address: String,
    /// Whether the server runs in this process.
    pub bundled: bool,
    /// Where that server logs to.
    pub server_log: Option<PathBuf>,
    /// How things look.
    pub theme: Theme,
    /// Where on Earth the reader is.
    pub zone: TimeZone,
}

/// The whole state.
pub struct App {
    /// What it was told at the start.
    pub setup: Setup,
    /// The connection to the server.
    pub link: Link,
    /// What is told in passing.
    pub toasts: Toasts,
    panes: Vec<(PaneId, Vec<Box<dyn Component>>)>,
    current: usize,
    layers: Vec<Box<dyn Component>>,
    /// Layers that were closed while something in them goes on.
    background: Vec<Box<dyn Component>>,
    hits: Hits,
    pointer: Pointer,
    tasks: u64,
    now: Timestamp,
    effects: Vec<Effect>,
    dirty: Stale,
    refresh_pending: bool,
    last_refresh: Timestamp,
    suspend: bool,
    ended: bool,
}

impl App {
    /// The state at the start, and the first effects.
    #[must_use]
    pub fn new(setup: Setup, now: Timestamp) -> (Self, Vec<Effect>) {
        let mut app = Self {
            setup,
            link: Link::new(),
            toasts: Toasts::default(),
            panes: PaneId::ALL.map(|id| (id, vec![id.root()])).into(),
            current: 0,
            layers: Vec::new(),
            background: Vec::new(),
            hits: Hits::default(),
            pointer: Pointer::default(),
            tasks: 0,
            now,
            effects: vec![Effect::Watch],
            dirty: Stale::default(),
            refresh_pending: false,
            last_refresh: now,
            suspend: false,
            ended: false,
        };
        app.ask();
        let effects = std::mem::take(&mut app.effects);
        (app, effects)
    }

    /// Takes a message; says what is to be done about it.
    pub fn update(&mut self, message: Message, now: Timestamp) -> Vec<Effect> {
        self.now = now;
        self.toasts.expire(now);
        let message = self.with_what_gathered(message);
        if self.link.receive(&message, now) {
            self.toasts.add(Tone::Good, "The server is back".into(), now);
            self.gather(Stale::ALL);
        }
        match &message {
            Message::Terminal(event) => self.terminal_event(event),
            Message::Feed(Feed::Open) => self.gather(Stale::ALL),
            Message::Feed(Feed::Changed(change)) => self.gather(concerned(change.kind)),
            Message::Acted(act, slug, answer) => self.acted(*act, slug, answer),
            Message::Broken(text) => self.toasts.add(Tone::Bad, text.clone(), now),
            Message::Terminate => self.ended = true,
            _ => {}
        }
        self.broadcast(&message);
        if self.link.limited_until().is_some_and(|until| until > now) {
            self.gather(Stale::ALL);
        } else {
            self.ask();
        }
        std::mem::take(&mut self.effects)
    }

    /// Draws everything and remembers what is where.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let mut hits = Hits::default();
        let cursor = view::draw(self, frame.buffer_mut(), &mut hits);
        if let Some(cursor) = cursor {
            frame.set_cursor_position(cursor);
        }
        self.hits = hits;
    }

    /// After how long the screen has to be drawn again though nothing happens.
    #[must_use]
    pub fn animation(&self) -> Option<Duration> {
        if self
            .layers
            .iter()
            .chain(self.screens().last())
            .any(|component| component.animated())
        {
            return Some(Duration::from_millis(100));
        }
        let counting =
            !self.toasts.shown().is_empty() || !matches!(self.link.standing, Standing::Live | Standing::Polling);
        // Ages are shown to the quarter of a minute.
        Some(Duration::from_secs(if counting { 1 } else { 15 }))
    }

    /// Whether the dashboard is to end.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the process is to be stopped; asking takes the wish away.
    pub fn take_suspend(&mut self) -> bool {
        std::mem::take(&mut self.suspend)
    }

    /// The time of the last message.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sets the time without a message, for drawing what moves by itself.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = now;
        self.toasts.expire(now);
    }

    /// Which pane is shown.
    #[must_use]
    pub fn pane(&self) -> PaneId {
        self.panes[self.current].0
    }

    /// The screens of the current pane, the visible one last.
    #[must_use]
    pub fn screens(&self) -> &[Box<dyn Component>] {
        &self.panes[self.current].1
    }

    pub(crate) fn screen_mut(&mut self) -> &mut Box<dyn Component> {
        let screens = &mut self.panes[self.current].1;
        let last = screens.len() - 1;
        &mut screens[last]
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [Box<dyn Component>] {
        &mut self.layers
    }

    /// Whether something lies above the screen.
    #[must_use]
    pub fn has_layers(&self) -> bool {
        !self.layers.is_empty()
    }

    /// What keys reach first.
    #[must_use]
    pub fn top(&self) -> &dyn Component {
        let screens = self.screens();
        self.layers.last().unwrap_or(&screens[screens.len() - 1]).as_ref()
    }

    /// Calls the component that keys reach first, then does what it asks for.
    fn with_top<T>(&mut self, call: impl FnOnce(&mut dyn Component, &mut Context<'_>) -> T) -> T {
        let mut cx = Context {
            now: self.now,
            tasks: &mut self.tasks,
            requests: Vec::new(),
        };
        let screens = &mut self.panes[self.current].1;
        let last = screens.len() - 1;
        let top = self.layers.last_mut().unwrap_or(&mut screens[last]);
        let result = call(top.as_mut(), &mut cx);
        let requests = cx.requests;
        self.settle(requests);
        result
    }

    /// Shows a message to every component, then lets go of those that have nothing to show any more.
    fn broadcast(&mut self, message: &Message) {
        let mut cx = Context {
            now: self.now,
            tasks: &mut self.tasks,
            requests: Vec::new(),
        };
        let screens = self.panes.iter_mut().flat_map(|(_, screens)| screens);
        for component in screens.chain(&mut self.layers).chain(&mut self.background) {
            component.receive(message, &mut cx);
        }
        let requests = cx.requests;
        self.background.retain(|component| component.animated());
        self.layers.retain(|layer| !layer.gone());
        for (_, screens) in &mut self.panes {
            screens.retain(|screen| !screen.gone());
        }
        self.settle(requests);
    }

    /// Lets what is visible ask for what it lacks.
    fn ask(&mut self) {
        let mut cx = Context {
            now: self.now,
            tasks: &mut self.tasks,
            requests: Vec::new(),
        };
        for component in self.panes[self.current]
            .1
            .last_mut()
            .into_iter()
            .chain(&mut self.layers)
        {
            component.ask(&mut cx);
        }
        let requests = cx.requests;
        self.settle(requests);
    }

    fn settle(&mut self, requests: Vec<Request>) {
        for request in requests {
            match request {
                Request::Run(effect) => self.effects.push(effect),
                Request::Open(layer) => self.layers.push(layer),
                Request::Close => drop(self.layers.pop()),
                Request::Hide => self.background.extend(self.layers.pop()),
                Request::Enter(screen) => self.panes[self.current].1.push(screen),
                Request::Leave => {
                    let screens = &mut self.panes[self.current].1;
                    if screens.len() > 1
                        && let Some(mut left) = screens.pop()
                    {
                        self.effects.extend(left.leave());
                    }
                }
                Request::Go(pane) => self.go(pane),
                Request::Toast(tone, text) => self.toasts.add(tone, text, self.now),
                Request::Perform(action) => drop(self.perform(action)),
            }
        }
    }

    fn go(&mut self, pane: PaneId) {
        if let Some(index) = self.panes.iter().position(|(id, _)| *id == pane) {
            self.current = index;
        }
    }

    fn acted(&mut self, act: Act, slug: &str, answer: &Result<(), crate::message::Failure>) {
        self.gather(Stale::ALL);
        let (tone, text) = match (act, answer) {
            (Act::Stop, Ok(())) => (Tone::Good, format!("{slug} is stopped")),
            (Act::Deploy, Ok(())) => (Tone::Good, format!("{slug} is being deployed")),
            (Act::Delete, Ok(())) => (Tone::Good, format!("{slug} is deleted")),
            (Act::Stop, Err(failure)) => (Tone::Bad, format!("{slug} could not be stopped: {}", failure.text)),
            (Act::Deploy, Err(failure)) => (Tone::Bad, format!("{slug} could not be deployed: {}", failure.text)),
            (Act::Delete, Err(failure)) => (Tone::Bad, format!("{slug} could not be deleted: {}", failure.text)),
        };
        self.toasts.add(tone, text, self.now);
    }

    /// Notes what may have changed, and sees to it that it is read again soon, but not too often.
    fn gather(&mut self, stale: Stale) {
        self.dirty = self.dirty.and(stale);
        if self.refresh_pending || self.dirty == Stale::default() {
            return;
        }
        self.refresh_pending = true;
        let next = self.last_refresh.checked_add(GATHER.1).unwrap_or(self.now);
        let mut wait = Duration::try_from(next.duration_since(self.now)).unwrap_or_default();
        if let Some(until) = self.link.limited_until() {
            wait = wait.max(Duration::try_from(until.duration_since(self.now)).unwrap_or_default());
        }
        self.effects
            .push(Effect::RefreshAfter(wait.max(GATHER.0), Stale::default()));
    }

    /// Adds to a refresh what became stale since it was asked for.
    fn with_what_gathered(&mut self, message: Message) -> Message {
        let Message::Refresh(stale) = message else {
            return message;
        };
        self.refresh_pending = false;
        self.last_refresh = self.now;
        Message::Refresh(stale.and(std::mem::take(&mut self.dirty)))
    }

    fn perform_globally(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => self.ended = true,
            Action::Suspend => self.suspend = true,
            Action::Help => {
                let help = Help::new(self.help_sections());
                self.layers.push(Box::new(help));
            }
            Action::Refresh => {
                self.last_refresh = self.now;
                self.dirty = Stale::default();
                self.broadcast(&Message::Refresh(Stale::ALL));
            }
            Action::Pane(pane) => self.go(pane),
            Action::NextPane => self.current = (self.current + 1) % self.panes.len(),
            Action::PreviousPane => self.current = (self.current + self.panes.len() - 1) % self.panes.len(),
            _ => return false,
        }
        true
    }
}

impl Stale {
    fn and(self, other: Self) -> Self {
        Self {
            agents: self.agents || other.agents,
            deployments: self.deployments || other.deployments,
            invocations: self.invocations || other.invocations,
        }
    }
}

/// What has to be read again after a change.
fn concerned(kind: EventKind) -> Stale {
    let none = Stale::default();
    match kind {
        EventKind::Agent => Stale { agents: true, ..none },
        EventKind::Deployment => Stale {
            agents: true,
            deployments: true,
            ..none
        },
        EventKind::Invocation => Stale {
            invocations: true,
            ..none
        },
        EventKind::Reset => Stale::ALL,
        EventKind::Session | EventKind::Bucket | EventKind::File | EventKind::Unknown => none,
    }
}
