use std::time::Duration;

use castari_common::invocations::{InvocationFailure, InvocationResponse, MAX_PROMPT_BYTES};
use crossterm::event::KeyEvent;
use jiff::Timestamp;
use ratatui::layout::Rect;

use super::{Component, Context, Pager, Region};
use crate::effects::Effect;
use crate::input::{Action, Command, Editor, keys};
use crate::message::{Failure, InvokeStep, Message, Task};
use crate::text;
use crate::view::{self, Canvas};

/// What became of an invocation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It completed.
    Done(Box<InvocationResponse>),
    /// The agent failed.
    Failed(Box<InvocationFailure>),
    /// The call failed.
    Broke(Failure),
    /// The user called it off.
    Cancelled,
}

/// How far it is.
#[derive(Clone, Debug)]
pub enum Phase {
    /// The prompt is being written.
    Editing,
    /// It runs.
    Running {
        /// What runs it.
        task: Task,
        /// When it was sent.
        since: Timestamp,
        /// Whether the agent has started.
        started: bool,
    },
    /// It ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// After how long.
        took: Duration,
    },
}

/// A prompt, and the answer as it comes.
pub struct Invoke {
    /// Whom the prompt is for, by name.
    pub name: String,
    /// The prompt.
    pub editor: Editor,
    /// How far it is.
    pub phase: Phase,
    /// What the agent answers.
    pub answer: Pager,
    /// What it writes to stderr.
    pub log: Pager,
    /// Whether the keys scroll the log and not the answer.
    pub on_log: bool,
    /// What is wrong with the prompt.
    pub error: Option<String>,
    slug: String,
}

/// The region of the answer.
pub const ANSWER: Region = Region(0);
/// The region of the log.
pub const LOG: Region = Region(1);

impl Invoke {
    /// An empty prompt for an agent.
    #[must_use]
    pub fn new(slug: String, name: String) -> Self {
        Self {
            name,
            editor: Editor::default(),
            phase: Phase::Editing,
            answer: Pager::default(),
            log: Pager::default(),
            on_log: false,
            error: None,
            slug,
        }
    }

    fn send(&mut self, cx: &mut Context<'_>) {
        let prompt = self.editor.text();
        if self.editor.is_blank() {
            self.error = Some("Write a prompt first.".into());
            return;
        }
        if prompt.len() > MAX_PROMPT_BYTES {
            let size = text::bytes(prompt.len() as u64);
            self.error = Some(format!("The prompt has {size}; the server takes 1 MiB at the most."));
            return;
        }
        let task = cx.task();
        (self.answer, self.log, self.error) = (Pager::default(), Pager::default(), None);
        self.phase = Phase::Running {
            task,
            since: cx.now,
            started: false,
        };
        cx.run(Effect::Invoke {
            task,
            slug: self.slug.clone(),
            prompt,
        });
    }

    fn cancel(&mut self, cx: &mut Context<'_>) {
        if let Phase::Running { task, .. } = self.phase {
            cx.run(Effect::Cancel(task));
            self.end(Outcome::Cancelled, cx.now);
        }
    }

    fn end(&mut self, outcome: Outcome, now: Timestamp) {
        let Phase::Running { since, .. } = self.phase else {
            return;
        };
        // The server's measure where it has one: it is the one that is kept.
        let took = match &outcome {
            Outcome::Done(response) => Duration::from_millis(response.duration_ms),
            Outcome::Failed(failure) => Duration::from_millis(failure.response.duration_ms),
            Outcome::Broke(_) | Outcome::Cancelled => text::between(since, now),
        };
        self.phase = Phase::Ended { outcome, took };
    }

    fn receive_step(&mut self, step: &InvokeStep, now: Timestamp) {
        match step {
            InvokeStep::Started(_) => {
                if let Phase::Running { started, .. } = &mut self.phase {
                    *started = true;
                }
            }
            InvokeStep::Output(text) => self.answer.push(text.as_bytes()),
            InvokeStep::Log(text) => self.log.push(text.as_bytes()),
            InvokeStep::Done(response) => self.end(Outcome::Done(response.clone()), now),
            InvokeStep::Failed(failure) => self.end(Outcome::Failed(failure.clone()), now),
            InvokeStep::Broke(failure) => self.end(Outcome::Broke(failure.clone()), now),
        }
    }
}

impl Component for Invoke {
    fn title(&self) -> String {
        format!("Invoke {}", text::line(&self.name))
    }

    fn commands(&self) -> Vec<Command> {
        let mut commands = match self.phase {
            Phase::Editing => {
                return vec![
                    Command::new(keys::SEND, "send", Action::Submit, "Send the prompt"),
                    Command::new(keys::NEWLINE, "new line", Action::Newline, "A line break in the prompt"),
                    Command::new(keys::ESCAPE, "close", Action::Back, "Close; the prompt is forgotten"),
                ];
            }
            Phase::Running { .. } => vec![Command::new(
                keys::CANCEL,
                "cancel",
                Action::Cancel,
                "Call the invocation off",
            )],
            Phase::Ended { .. } => vec![
                Command::new(keys::AGAIN, "run again", Action::Again, "The same prompt once more"),
                Command::new(
                    keys::EDIT,
                    "edit prompt",
                    Action::EditPrompt,
                    "Change the prompt, then run it",
                ),
                Command::new(
                    keys::BACK,
                    "close",
                    Action::Back,
                    "Close; the invocation is in the list",
                ),
            ],
        };
        commands.extend([
            Command::new(
                keys::NEXT,
                "answer / log",
                Action::NextSection,
                "Scroll the log or the answer",
            ),
            Command::new(keys::FOLLOW, "follow", Action::Follow, "To the end, and stay there").quiet(),
        ]);
        commands.extend(keys::movement());
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        match action {
            Action::Submit | Action::Again => self.send(cx),
            Action::Newline => self.editor.newline(),
            Action::EditPrompt => self.phase = Phase::Editing,
            Action::Cancel => self.cancel(cx),
            Action::Back => cx.close(),
            Action::NextSection => self.on_log = !self.on_log,
            _ if self.on_log => return self.log.perform(action),
            _ => return self.answer.perform(action),
        }
        true
    }

    fn typing(&self) -> bool {
        matches!(self.phase, Phase::Editing)
    }

    fn type_key(&mut self, key: KeyEvent, _cx: &mut Context<'_>) {
        self.editor.type_key(key);
        self.error = None;
    }

    fn paste(&mut self, text: &str, _cx: &mut Context<'_>) {
        if self.typing() {
            self.editor.paste(text);
            self.error = None;
        }
    }

    fn click(&mut self, region: Region, _index: usize, _cx: &mut Context<'_>) {
        self.on_log = region == LOG;
    }

    fn wheel(&mut self, region: Region, rows: isize, _cx: &mut Context<'_>) {
        if region == LOG {
            self.log.scroll(rows);
        } else {
            self.answer.scroll(rows);
        }
    }

    fn receive(&mut self, message: &Message, cx: &mut Context<'_>) {
        if let (Message::Invoke(from, step), Phase::Running { task, .. }) = (message, &self.phase)
            && from == task
        {
            self.receive_step(step, cx.now);
        }
    }

    fn animated(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::invoke::draw(self, canvas, area);
    }
}
