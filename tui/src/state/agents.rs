use castari_common::agents;
use crossterm::event::KeyEvent;
use ratatui::layout::Rect;

use super::{Agent, Component, Context, Create, Kind, List, Region, Row, verbs};
use crate::effects::Effect;
use crate::input::{Action, Command, keys};
use crate::message::{Message, Rows};
use crate::view::{self, Canvas};

/// The list of agents.
#[derive(Default)]
pub struct Agents {
    /// The agents.
    pub list: List<agents::Agent>,
}

/// The rows of the list.
pub const ROWS: Region = Region(0);

impl Row for agents::Agent {
    fn id(&self) -> &str {
        &self.id
    }

    fn contains(&self, text: &str) -> bool {
        [Some(&self.name), Some(&self.slug), self.description.as_ref()]
            .into_iter()
            .flatten()
            .any(|field| field.to_lowercase().contains(text))
    }
}

impl Agents {
    /// Whether there is nothing on the server to show.
    #[must_use]
    pub fn is_first_use(&self) -> bool {
        self.list.is_loaded() && self.list.is_empty() && !self.list.is_filtered()
    }
}

impl Component for Agents {
    fn title(&self) -> String {
        "Agents".into()
    }

    fn commands(&self) -> Vec<Command> {
        if self.list.filter.editing {
            return List::<agents::Agent>::filter_commands();
        }
        let create = Command::new(
            keys::CREATE,
            "new agent",
            Action::Create,
            "Create an agent from a folder, a git URL or nothing",
        );
        if self.is_first_use() {
            return vec![
                create,
                Command::new(&[], "folder", Action::Choose(0), "Create an agent from a folder").quiet(),
                Command::new(&[], "git", Action::Choose(1), "Create an agent from a git URL").quiet(),
                Command::new(&[], "starter", Action::Choose(2), "Create the starter agent").quiet(),
            ];
        }
        let none = self.list.selected().is_none().then_some("no agent is selected");
        let mut commands = vec![
            Command::new(
                keys::OPEN,
                "open",
                Action::Open,
                "Deployments, log and invocations of the agent",
            )
            .unless(none),
        ];
        commands.push(create);
        commands.extend(verbs::commands(self.list.selected()));
        commands.push(Command::new(
            keys::FILTER,
            "filter",
            Action::Filter,
            "Only agents whose name, slug or description contain a text",
        ));
        if self.list.is_filtered() {
            commands.push(Command::new(
                keys::ESCAPE,
                "clear filter",
                Action::Cancel,
                "Show all agents again",
            ));
        }
        commands.extend(keys::movement());
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        if self.list.perform(action) || self.list.perform_filter(action) {
            return true;
        }
        match action {
            Action::Open => {
                if let Some(agent) = self.list.selected() {
                    cx.enter(Agent::new(agent.clone()));
                }
            }
            Action::Create => cx.open(Create::new(None)),
            Action::Choose(index) => cx.open(Create::new(Some(Kind::ALL[index.min(2)]))),
            _ => return verbs::perform(action, self.list.selected(), cx),
        }
        true
    }

    fn typing(&self) -> bool {
        self.list.filter.editing
    }

    fn type_key(&mut self, key: KeyEvent, cx: &mut Context<'_>) {
        self.list.type_filter(key, cx);
    }

    fn paste(&mut self, text: &str, _cx: &mut Context<'_>) {
        self.list.paste_filter(text);
    }

    fn click(&mut self, _region: Region, index: usize, _cx: &mut Context<'_>) {
        self.list.select(index);
    }

    fn wheel(&mut self, _region: Region, rows: isize, _cx: &mut Context<'_>) {
        self.list.wheel(rows);
    }

    fn receive(&mut self, message: &Message, _cx: &mut Context<'_>) {
        match message {
            Message::Refresh(stale) if stale.agents => self.list.outdate(),
            Message::Waited(task) => self.list.waited(*task),
            Message::Agents(task, answer) => {
                let answer = answer.as_ref().map_err(Clone::clone);
                self.list.receive(
                    *task,
                    answer.map(|list| Rows {
                        rows: list.agents.clone(),
                        meta: list.meta,
                    }),
                );
            }
            _ => {}
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        if let Some((task, page)) = self.list.want(|| cx.task()) {
            cx.run(Effect::Agents(task, self.list.needle(), page));
        }
    }

    fn animated(&self) -> bool {
        self.list
            .visible()
            .any(|agent| agent.status == agents::AgentStatus::Deploying)
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::agents::draw(self, canvas, area);
    }
}
