use crossterm::event::KeyEvent;
use jiff::Timestamp;
use ratatui::layout::Rect;

use super::PaneId;
use super::toasts::Tone;
use crate::effects::Effect;
use crate::input::{Action, Command};
use crate::message::{Message, Task};
use crate::view::Canvas;

/// A place of a component that rows, buttons or wheels belong to. Each component numbers its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region(pub u8);

/// A screen of a pane, or a layer above it.
pub trait Component: Send {
    /// What breadcrumbs and help call it.
    fn title(&self) -> String;

    /// All that can be done here now. Keys reach [`Component::perform`] only through this list.
    fn commands(&self) -> Vec<Command>;

    /// Does something; says whether it knows what to do.
    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool;

    /// Whether keys are text now. Commands whose keys cannot be text still count.
    fn typing(&self) -> bool {
        false
    }

    /// Takes a key as text.
    fn type_key(&mut self, _key: KeyEvent, _cx: &mut Context<'_>) {}

    /// Takes a pasted text.
    fn paste(&mut self, _text: &str, _cx: &mut Context<'_>) {}

    /// Takes a click on the item with that index of a region.
    fn click(&mut self, _region: Region, _index: usize, _cx: &mut Context<'_>) {}

    /// Takes a turn of the wheel over a region, in rows; down is positive.
    fn wheel(&mut self, _region: Region, _rows: isize, _cx: &mut Context<'_>) {}

    /// Takes what is in the message for it, whether it is visible or not.
    fn receive(&mut self, _message: &Message, _cx: &mut Context<'_>) {}

    /// Asks for what it lacks. Called after each message while it is visible, so what is hidden costs no requests.
    fn ask(&mut self, _cx: &mut Context<'_>) {}

    /// Whether something on it moves by itself.
    fn animated(&self) -> bool {
        false
    }

    /// Whether what it shows does not exist any more, so that it can only be left.
    fn gone(&self) -> bool {
        false
    }

    /// What is to be given up when it is left.
    fn leave(&mut self) -> Vec<Effect> {
        Vec::new()
    }

    /// Draws it. Nothing but what depends on the size of the area may change: how far a list is scrolled, where a text
    /// is wrapped.
    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect);
}

/// What a component may know of the rest, and what it asks the rest for.
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    pub(super) tasks: &'a mut u64,
    pub(super) requests: Vec<Request>,
}

/// What a component asks the rest for.
pub(super) enum Request {
    Run(Effect),
    Open(Box<dyn Component>),
    Close,
    Hide,
    Enter(Box<dyn Component>),
    Leave,
    Go(PaneId),
    Toast(Tone, String),
    Perform(Action),
}

impl Context<'_> {
    /// A name for a new task.
    pub fn task(&mut self) -> Task {
        *self.tasks += 1;
        Task(*self.tasks)
    }

    /// Runs an effect.
    pub fn run(&mut self, effect: Effect) {
        self.requests.push(Request::Run(effect));
    }

    /// Opens a layer above all others.
    pub fn open(&mut self, layer: impl Component + 'static) {
        self.requests.push(Request::Open(Box::new(layer)));
    }

    /// Closes the topmost layer.
    pub fn close(&mut self) {
        self.requests.push(Request::Close);
    }

    /// Takes the topmost layer from sight; it goes on receiving messages for as long as it is animated.
    pub fn hide(&mut self) {
        self.requests.push(Request::Hide);
    }

    /// Goes one screen further in the current pane.
    pub fn enter(&mut self, screen: impl Component + 'static) {
        self.requests.push(Request::Enter(Box::new(screen)));
    }

    /// Goes one screen back in the current pane.
    pub fn leave(&mut self) {
        self.requests.push(Request::Leave);
    }

    /// Goes to another pane.
    pub fn go(&mut self, pane: PaneId) {
        self.requests.push(Request::Go(pane));
    }

    /// Tells something in passing.
    pub fn toast(&mut self, tone: Tone, text: impl Into<String>) {
        self.requests.push(Request::Toast(tone, text.into()));
    }

    /// Does what a key would do.
    pub fn perform(&mut self, action: Action) {
        self.requests.push(Request::Perform(action));
    }
}
