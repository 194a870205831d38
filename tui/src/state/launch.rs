use castari_common::agents;
use jiff::Timestamp;
use ratatui::layout::Rect;

use super::{Agent, Component, Context, Invoke, Pager, PaneId, Region, Tone};
use crate::effects::{Effect, Source};
use crate::input::{Action, Command, Key, keys};
use crate::message::{Failure, LaunchStep, LogPiece, Message, Stage, Task};
use crate::text;
use crate::view::{self, Canvas};

const RETRY: &[Key] = &[Key::char('r')];

/// How far a stage of a launch is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StageState {
    /// Its turn has not come.
    Waiting,
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It failed, and why.
    Failed(String),
}

/// Brings a new agent into service while the user watches.
pub struct Launch {
    /// The agent.
    pub agent: agents::Agent,
    /// The stages, how far each is, and what there is to say of it.
    pub stages: Vec<(Stage, StageState, String)>,
    /// The log of the deployment.
    pub log: Pager,
    /// Why the log does not grow at the moment.
    pub log_failure: Option<Failure>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    source: Source,
    task: Option<Task>,
    hidden: bool,
}

impl Launch {
    /// A launch that starts as soon as it is seen.
    #[must_use]
    pub fn new(agent: agents::Agent, source: Source) -> Self {
        let mut launch = Self {
            agent,
            stages: Vec::new(),
            log: Pager::default(),
            log_failure: None,
            started: None,
            ended: None,
            source,
            task: None,
            hidden: false,
        };
        launch.reset();
        launch
    }

    /// Whether the agent can be invoked now.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.ended.is_some() && self.stages.iter().all(|(_, state, _)| *state == StageState::Done)
    }

    fn reset(&mut self) {
        let stages: &[Stage] = match self.source {
            Source::Folder(_) => &[Stage::Pack, Stage::Upload, Stage::Deploy],
            Source::Server => &[Stage::Deploy],
        };
        self.stages = stages
            .iter()
            .map(|stage| (*stage, StageState::Waiting, String::new()))
            .collect();
        self.log = Pager::default();
        (self.log_failure, self.started, self.ended, self.task) = (None, None, None, None);
    }

    fn set(&mut self, stage: Stage, progress: StageState, detail: String) {
        if let Some(entry) = self.stages.iter_mut().find(|(name, _, _)| *name == stage) {
            (entry.1, entry.2) = (progress, detail);
        }
    }

    fn receive_step(&mut self, step: &LaunchStep, cx: &mut Context<'_>) {
        use StageState::{Done, Running};
        match step {
            LaunchStep::Packing(files, bytes) => {
                let detail = format!("{}, {}", text::plural(*files, "file"), text::bytes(*bytes));
                self.set(Stage::Pack, Running, detail);
            }
            LaunchStep::Packed(files, size) => {
                let detail = format!("{}, {} compressed", text::plural(*files, "file"), text::bytes(*size));
                self.set(Stage::Pack, Done, detail);
                self.set(Stage::Upload, Running, String::new());
            }
            LaunchStep::Uploading(sent, size) => {
                let percent = (sent * 100).checked_div(*size).unwrap_or(100);
                let detail = format!("{percent} % of {}", text::bytes(*size));
                self.set(Stage::Upload, Running, detail);
            }
            LaunchStep::Uploaded => {
                let former = self.stages.iter().find(|(stage, _, _)| *stage == Stage::Upload);
                let size = former
                    .and_then(|(_, _, detail)| detail.split(" of ").nth(1))
                    .unwrap_or_default()
                    .to_owned();
                self.set(Stage::Upload, Done, size);
            }
            LaunchStep::Deploying => self.set(Stage::Deploy, Running, String::new()),
            LaunchStep::Log(piece) => self.receive_log(piece),
            LaunchStep::Active(agent) => {
                self.agent = (**agent).clone();
                self.set(Stage::Deploy, Done, "active".into());
                self.end(cx, Tone::Good, "is active");
            }
            LaunchStep::Failed(stage, failure) => {
                self.set(*stage, StageState::Failed(failure.text.clone()), String::new());
                self.end(cx, Tone::Bad, &format!("was not deployed: {}", failure.text));
            }
        }
    }

    fn receive_log(&mut self, piece: &LogPiece) {
        match piece {
            LogPiece::Start => {
                self.log = Pager::default();
                self.log_failure = None;
            }
            LogPiece::More(bytes) => self.log.push(bytes),
            LogPiece::End => {}
            LogPiece::Failed(failure) => self.log_failure = Some(failure.clone()),
        }
    }

    fn end(&mut self, cx: &mut Context<'_>, tone: Tone, what: &str) {
        self.ended = Some(cx.now);
        self.log_failure = None;
        if self.hidden {
            cx.toast(tone, format!("{} {what}", self.agent.name));
        }
    }
}

impl Component for Launch {
    fn title(&self) -> String {
        format!("Deploy {}", text::line(&self.agent.name))
    }

    fn commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.ended.is_none() {
            commands.push(Command::new(
                keys::ESCAPE,
                "go on in the background",
                Action::Hide,
                "Close; the deploy goes on, and its end is told",
            ));
        } else {
            if self.is_active() {
                commands.push(Command::new(
                    keys::INVOKE,
                    "invoke",
                    Action::Invoke,
                    "Give the agent its first prompt",
                ));
            } else {
                commands.push(Command::new(
                    RETRY,
                    "try again",
                    Action::Retry,
                    "Pack, upload and deploy once more",
                ));
            }
            commands.push(Command::new(
                keys::OPEN,
                "open agent",
                Action::Open,
                "Deployments, log and invocations of the agent",
            ));
            commands.push(Command::new(
                keys::ESCAPE,
                "close",
                Action::Back,
                "Close; the agent is in the list",
            ));
        }
        commands.push(
            Command::new(
                keys::FOLLOW,
                "follow log",
                Action::Follow,
                "To the end of the log, and stay there",
            )
            .quiet(),
        );
        commands.extend(keys::movement());
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        match action {
            Action::Hide => {
                self.hidden = true;
                cx.hide();
            }
            Action::Back => cx.close(),
            Action::Retry => self.reset(),
            Action::Invoke => {
                cx.close();
                cx.open(Invoke::new(self.agent.slug.clone(), self.agent.name.clone()));
            }
            Action::Open => {
                cx.close();
                cx.go(PaneId::Agents);
                cx.enter(Agent::new(self.agent.clone()));
            }
            _ => return self.log.perform(action),
        }
        true
    }

    fn wheel(&mut self, _region: Region, rows: isize, _cx: &mut Context<'_>) {
        self.log.scroll(rows);
    }

    fn receive(&mut self, message: &Message, cx: &mut Context<'_>) {
        if let Message::Launch(task, step) = message
            && self.task == Some(*task)
        {
            self.receive_step(step, cx);
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        if self.task.is_none() {
            let task = cx.task();
            self.task = Some(task);
            self.started = Some(cx.now);
            let (slug, source) = (self.agent.slug.clone(), self.source.clone());
            cx.run(Effect::Launch { task, slug, source });
        }
    }

    fn animated(&self) -> bool {
        self.ended.is_none()
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::launch::draw(self, canvas, area);
    }
}
