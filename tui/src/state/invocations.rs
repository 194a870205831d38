use castari_common::invocations::{self, InvocationStatus};
use crossterm::event::KeyEvent;
use ratatui::layout::Rect;

use super::{Component, Context, Invocation, List, Region, Row};
use crate::effects::Effect;
use crate::input::{Action, Command, keys};
use crate::message::{Message, Rows};
use crate::view::{self, Canvas};

/// The invocations of all agents.
#[derive(Default)]
pub struct Invocations {
    /// The invocations.
    pub list: List<invocations::Invocation>,
}

impl Row for invocations::Invocation {
    fn id(&self) -> &str {
        &self.id
    }

    fn contains(&self, text: &str) -> bool {
        let status = match self.status {
            InvocationStatus::Running => "running",
            InvocationStatus::Completed => "completed",
            InvocationStatus::Failed => "failed",
        };
        let fields = [
            self.agent_slug.as_str(),
            &self.prompt,
            &self.response_content,
            &self.id,
            status,
        ];
        fields
            .into_iter()
            .chain(self.error_message.as_deref())
            .any(|field| field.to_lowercase().contains(text))
    }
}

impl Component for Invocations {
    fn title(&self) -> String {
        "Invocations".into()
    }

    fn commands(&self) -> Vec<Command> {
        if self.list.filter.editing {
            return List::<invocations::Invocation>::filter_commands();
        }
        let none = self.list.selected().is_none().then_some("no invocation is selected");
        let mut commands = vec![
            Command::new(
                keys::OPEN,
                "open",
                Action::Open,
                "Prompt, answer and log of the invocation",
            )
            .unless(none),
            Command::new(
                keys::FILTER,
                "filter",
                Action::Filter,
                "Only invocations whose agent, prompt, answer or status contain a text",
            ),
        ];
        if self.list.is_filtered() {
            commands.push(Command::new(
                keys::ESCAPE,
                "clear filter",
                Action::Cancel,
                "Show all invocations again",
            ));
        }
        commands.extend(keys::movement());
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        if self.list.perform(action) || self.list.perform_filter(action) {
            return true;
        }
        if action != Action::Open {
            return false;
        }
        if let Some(invocation) = self.list.selected() {
            cx.enter(Invocation::new(invocation.clone()));
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
            Message::Refresh(stale) if stale.invocations => self.list.outdate(),
            Message::Waited(task) => self.list.waited(*task),
            Message::Invocations(task, answer) => {
                let answer = answer.as_ref().map_err(Clone::clone);
                self.list.receive(
                    *task,
                    answer.map(|list| Rows {
                        rows: list.invocations.clone(),
                        meta: list.meta,
                    }),
                );
            }
            _ => {}
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        if let Some((task, page)) = self.list.want(|| cx.task()) {
            cx.run(Effect::Invocations(task, None, page));
        }
    }

    fn animated(&self) -> bool {
        self.list
            .visible()
            .any(|invocation| invocation.status == InvocationStatus::Running)
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::invocations::draw(self, canvas, area);
    }
}
