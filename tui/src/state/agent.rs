use castari_common::agents::{self, AgentStatus};
use castari_common::deployments::{Deployment, DeploymentStatus};
use castari_common::invocations;
use ratatui::layout::Rect;

use super::{Component, Context, Invocation, List, Pager, Region, Row, Tone, verbs};
use crate::effects::Effect;
use crate::input::{Action, Command, keys};
use crate::message::{Act, Failure, FailureKind, LogPiece, Message, Rows, Task};
use crate::text;
use crate::view::{self, Canvas};

/// The parts of an agent's screen that keys move in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each name is the title that the user sees")]
pub enum AgentSection {
    Deployments,
    Log,
    Invocations,
}

impl AgentSection {
    /// All of them, in the order that Tab takes.
    pub const ALL: [Self; 3] = [Self::Deployments, Self::Log, Self::Invocations];

    /// The region that its rows and its wheel belong to.
    #[must_use]
    pub fn region(self) -> Region {
        match self {
            Self::Deployments => Region(0),
            Self::Log => Region(1),
            Self::Invocations => Region(2),
        }
    }
}

/// The region of the tabs that stand for sections where there is no room for all.
pub const TABS: Region = Region(3);

/// One agent.
pub struct Agent {
    /// The agent.
    pub agent: agents::Agent,
    /// Its deployments.
    pub deployments: List<Deployment>,
    /// Its invocations.
    pub invocations: List<invocations::Invocation>,
    /// The log of the deployment that is selected.
    pub log: Pager,
    /// Why the log cannot be read.
    pub log_failure: Option<Failure>,
    /// Which part the keys move in.
    pub focus: AgentSection,
    /// Whose log it is and which task reads it.
    log_of: Option<(String, Task)>,
    /// Whether more of the log may come.
    log_open: bool,
    asked: Option<Task>,
    stale: bool,
    gone: bool,
}

impl Row for Deployment {
    fn id(&self) -> &str {
        &self.id
    }

    fn contains(&self, _text: &str) -> bool {
        true
    }
}

impl Agent {
    /// Shows an agent of which a list told.
    #[must_use]
    pub fn new(agent: agents::Agent) -> Self {
        Self {
            agent,
            deployments: List::default(),
            invocations: List::default(),
            log: Pager::default(),
            log_failure: None,
            focus: AgentSection::Deployments,
            log_of: None,
            log_open: false,
            asked: None,
            stale: true,
            gone: false,
        }
    }

    /// Whether the log still grows.
    #[must_use]
    pub fn log_is_live(&self) -> bool {
        self.log_open
            && self
                .deployments
                .selected()
                .is_some_and(|d| d.status == DeploymentStatus::Running)
    }

    fn turn_focus(&mut self, by: usize) {
        let all = AgentSection::ALL;
        let place = all.iter().position(|section| *section == self.focus).unwrap_or(0);
        self.focus = all[(place + by) % all.len()];
    }

    fn open_selected(&mut self, cx: &mut Context<'_>) {
        match (self.focus, self.invocations.selected()) {
            (AgentSection::Invocations, Some(invocation)) => cx.enter(Invocation::new(invocation.clone())),
            _ => self.focus = AgentSection::Log,
        }
    }

    /// Reads the log of the deployment that is selected now.
    fn ask_log(&mut self, cx: &mut Context<'_>) {
        let Some(deployment) = self.deployments.selected() else {
            return;
        };
        if self.log_of.as_ref().is_some_and(|(id, _)| *id == deployment.id) {
            return;
        }
        if let Some((_, former)) = self.log_of.take() {
            cx.run(Effect::Cancel(former));
        }
        let task = cx.task();
        let follow = deployment.status == DeploymentStatus::Running;
        let (slug, deployment) = (self.agent.slug.clone(), deployment.id.clone());
        self.log_of = Some((deployment.clone(), task));
        self.log = Pager::default();
        self.log_failure = None;
        self.log_open = true;
        cx.run(Effect::Log {
            task,
            slug,
            deployment,
            follow,
        });
    }

    fn receive_log(&mut self, piece: &LogPiece) {
        match piece {
            LogPiece::Start => {
                self.log = Pager::default();
                self.log_failure = None;
            }
            LogPiece::More(bytes) => self.log.push(bytes),
            LogPiece::End => self.log_open = false,
            LogPiece::Failed(failure) => self.log_failure = Some(failure.clone()),
        }
    }

    fn receive_deployments(&mut self, task: Task, answer: Result<Rows<Deployment>, Failure>) {
        // Whoever watches the newest deployment wants to see the next one too.
        let newest = self.deployments.place() == 0;
        self.deployments.receive(task, answer);
        if newest {
            self.deployments.select(0);
        }
    }

    fn outdate(&mut self, stale: crate::message::Stale) {
        self.stale |= stale.agents;
        if stale.deployments {
            self.deployments.outdate();
            if self.log_failure.take().is_some() && !self.log_open {
                self.log_of = None;
            }
        }
        if stale.invocations {
            self.invocations.outdate();
        }
    }

    fn receive_agent(&mut self, answer: &Result<agents::Agent, Failure>, cx: &mut Context<'_>) {
        self.asked = None;
        match answer {
            Ok(agent) => self.agent = agent.clone(),
            Err(failure) if failure.kind == FailureKind::Missing => {
                self.gone = true;
                cx.toast(
                    Tone::Hint,
                    format!("{} does not exist any more", text::line(&self.agent.name)),
                );
            }
            Err(_) => {}
        }
    }
}

impl Component for Agent {
    fn title(&self) -> String {
        text::line(&self.agent.name).into_owned()
    }

    fn commands(&self) -> Vec<Command> {
        let mut commands = verbs::commands(Some(&self.agent)).to_vec();
        match self.focus {
            AgentSection::Invocations => {
                let none = self
                    .invocations
                    .selected()
                    .is_none()
                    .then_some("there is no invocation yet");
                let about = "Prompt, answer and log of the invocation";
                commands.insert(0, Command::new(keys::OPEN, "open", Action::Open, about).unless(none));
            }
            AgentSection::Deployments => {
                commands.insert(
                    0,
                    Command::new(keys::OPEN, "log", Action::Open, "To the log of the deployment"),
                );
            }
            AgentSection::Log => {
                commands.push(Command::new(
                    keys::FOLLOW,
                    "follow",
                    Action::Follow,
                    "To the end of the log, and stay there",
                ));
            }
        }
        commands.extend([
            Command::new(
                keys::NEXT,
                "next part",
                Action::NextSection,
                "To deployments, log or invocations",
            ),
            Command::new(
                keys::PREVIOUS,
                "previous part",
                Action::PreviousSection,
                "To the part before",
            )
            .quiet(),
            Command::new(keys::BACK, "back", Action::Back, "Back to the list"),
        ]);
        commands.extend(keys::movement());
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        match action {
            Action::NextSection => self.turn_focus(1),
            Action::PreviousSection => self.turn_focus(2),
            Action::Back => cx.leave(),
            Action::Open => self.open_selected(cx),
            Action::Follow => drop(self.log.perform(action)),
            _ => {
                let moved = match self.focus {
                    AgentSection::Deployments => self.deployments.perform(action),
                    AgentSection::Invocations => self.invocations.perform(action),
                    AgentSection::Log => self.log.perform(action),
                };
                return moved || verbs::perform(action, Some(&self.agent), cx);
            }
        }
        true
    }

    fn click(&mut self, region: Region, index: usize, _cx: &mut Context<'_>) {
        if region == TABS {
            self.focus = AgentSection::ALL[index.min(2)];
            return;
        }
        self.focus = AgentSection::ALL[usize::from(region.0).min(2)];
        match self.focus {
            AgentSection::Deployments => self.deployments.select(index),
            AgentSection::Invocations => self.invocations.select(index),
            AgentSection::Log => {}
        }
    }

    fn wheel(&mut self, region: Region, rows: isize, _cx: &mut Context<'_>) {
        match region.0 {
            0 => self.deployments.wheel(rows),
            1 => self.log.scroll(rows),
            _ => self.invocations.wheel(rows),
        }
    }

    fn receive(&mut self, message: &Message, cx: &mut Context<'_>) {
        match message {
            Message::Refresh(stale) => self.outdate(*stale),
            Message::Agent(task, answer) if self.asked == Some(*task) => self.receive_agent(answer, cx),
            Message::Acted(Act::Delete, slug, Ok(())) if *slug == self.agent.slug => self.gone = true,
            Message::Deployments(task, answer) => {
                let answer = answer.as_ref().map_err(Clone::clone);
                self.receive_deployments(
                    *task,
                    answer.map(|list| Rows {
                        rows: list.deployments.clone(),
                        meta: list.meta,
                    }),
                );
            }
            Message::Invocations(task, answer) => {
                let answer = answer.as_ref().map_err(Clone::clone);
                self.invocations.receive(
                    *task,
                    answer.map(|list| Rows {
                        rows: list.invocations.clone(),
                        meta: list.meta,
                    }),
                );
            }
            Message::Log(task, piece) if self.log_of.as_ref().is_some_and(|(_, reading)| reading == task) => {
                self.receive_log(piece);
            }
            _ => {}
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        let slug = &self.agent.slug;
        if self.stale && self.asked.is_none() {
            self.stale = false;
            let task = cx.task();
            self.asked = Some(task);
            cx.run(Effect::Agent(task, slug.clone()));
        }
        if let Some((task, page)) = self.deployments.want(|| cx.task()) {
            cx.run(Effect::Deployments(task, slug.clone(), page));
        }
        if let Some((task, page)) = self.invocations.want(|| cx.task()) {
            cx.run(Effect::Invocations(task, Some(slug.clone()), page));
        }
        self.ask_log(cx);
    }

    fn animated(&self) -> bool {
        self.agent.status == AgentStatus::Deploying
            || self
                .deployments
                .visible()
                .any(|deployment| deployment.status == DeploymentStatus::Running)
    }

    fn gone(&self) -> bool {
        self.gone
    }

    fn leave(&mut self) -> Vec<Effect> {
        self.log_of
            .take()
            .map(|(_, task)| Effect::Cancel(task))
            .into_iter()
            .collect()
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::agent::draw(self, canvas, area);
    }
}
