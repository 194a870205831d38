use castari_common::invocations::{self, InvocationStatus};
use ratatui::layout::Rect;

use super::{Component, Context, Pager, Region};
use crate::effects::Effect;
use crate::input::{Action, Command, keys};
use crate::message::{Failure, FailureKind, Message, Task};
use crate::text;
use crate::view::{self, Canvas};

/// The parts of an invocation's screen that can be scrolled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each name is the title that the user sees")]
pub enum InvocationSection {
    Prompt,
    Answer,
    Log,
}

impl InvocationSection {
    /// All of them, in the order that Tab takes.
    pub const ALL: [Self; 3] = [Self::Answer, Self::Log, Self::Prompt];
}

/// One invocation.
pub struct Invocation {
    /// Its record; prompt and answer are cut until it is read whole.
    pub invocation: invocations::Invocation,
    /// What the agent was asked.
    pub prompt: Pager,
    /// What it answered.
    pub answer: Pager,
    /// What it wrote to stderr.
    pub log: Pager,
    /// Which part the keys scroll.
    pub focus: InvocationSection,
    /// Why it could not be read whole.
    pub failure: Option<Failure>,
    asked: Option<Task>,
    stale: bool,
    gone: bool,
}

impl Invocation {
    /// Shows an invocation of which a list told.
    #[must_use]
    pub fn new(invocation: invocations::Invocation) -> Self {
        Self {
            prompt: Pager::of(&invocation.prompt),
            answer: Pager::of(&invocation.response_content),
            log: Pager::default(),
            invocation,
            focus: InvocationSection::Answer,
            failure: None,
            asked: None,
            stale: true,
            gone: false,
        }
    }

    fn pager(&mut self, section: InvocationSection) -> &mut Pager {
        match section {
            InvocationSection::Prompt => &mut self.prompt,
            InvocationSection::Answer => &mut self.answer,
            InvocationSection::Log => &mut self.log,
        }
    }

    fn turn_focus(&mut self, by: usize) {
        let all = InvocationSection::ALL;
        let place = all.iter().position(|section| *section == self.focus).unwrap_or(0);
        self.focus = all[(place + by) % all.len()];
    }

    fn read(&mut self, invocation: &invocations::Invocation, log: &str) {
        // Only what changed is replaced, so that nothing that is being read jumps.
        if invocation.prompt != self.invocation.prompt {
            self.prompt = Pager::of(&invocation.prompt);
        }
        if invocation.response_content != self.invocation.response_content {
            self.answer = Pager::of(&invocation.response_content);
        }
        self.log = Pager::of(log);
        self.invocation = invocation.clone();
        self.failure = None;
    }
}

impl Component for Invocation {
    fn title(&self) -> String {
        text::line(&self.invocation.id).into_owned()
    }

    fn commands(&self) -> Vec<Command> {
        let mut commands = vec![
            Command::new(
                keys::NEXT,
                "next part",
                Action::NextSection,
                "To the answer, the log or the prompt",
            ),
            Command::new(
                keys::PREVIOUS,
                "previous part",
                Action::PreviousSection,
                "To the part before",
            )
            .quiet(),
            Command::new(keys::BACK, "back", Action::Back, "Back to the list"),
        ];
        commands.extend(keys::movement());
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        match action {
            Action::NextSection => self.turn_focus(1),
            Action::PreviousSection => self.turn_focus(2),
            Action::Back => cx.leave(),
            _ => return self.pager(self.focus).perform(action),
        }
        true
    }

    fn click(&mut self, _region: Region, index: usize, _cx: &mut Context<'_>) {
        if let Some(section) = InvocationSection::ALL.get(index) {
            self.focus = *section;
        }
    }

    fn wheel(&mut self, region: Region, rows: isize, _cx: &mut Context<'_>) {
        if let Some(section) = InvocationSection::ALL.get(usize::from(region.0)) {
            self.pager(*section).scroll(rows);
        }
    }

    fn receive(&mut self, message: &Message, cx: &mut Context<'_>) {
        match message {
            Message::Refresh(stale) if stale.invocations => {
                // What ended does not change any more.
                self.stale |= self.invocation.status == InvocationStatus::Running || self.failure.is_some();
            }
            Message::Invocation(task, answer) if self.asked == Some(*task) => {
                self.asked = None;
                match answer {
                    Ok((invocation, log)) => self.read(invocation, log),
                    Err(failure) if failure.kind == FailureKind::Missing => {
                        self.gone = true;
                        cx.toast(super::Tone::Hint, "The invocation is gone, with its agent");
                    }
                    Err(failure) => self.failure = Some(failure.clone()),
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        if self.stale && self.asked.is_none() {
            self.stale = false;
            let task = cx.task();
            self.asked = Some(task);
            cx.run(Effect::Invocation(task, self.invocation.id.clone()));
        }
    }

    fn animated(&self) -> bool {
        self.invocation.status == InvocationStatus::Running
    }

    fn gone(&self) -> bool {
        self.gone
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::invocation::draw(self, canvas, area);
    }
}
