use std::time::Duration;

use castari_common::agents::{Agent, CreateAgent, SourceType};
use crossterm::event::KeyEvent;
use ratatui::layout::Rect;

use super::{Component, Context, Kind, Launch, Region};
use crate::effects::{Effect, Source};
use crate::input::{Action, Command, Field, keys};
use crate::message::{Answer, Completion, Failure, Folder, Message, Task};
use crate::text;
use crate::view::{self, Canvas};

/// How long to wait for the next key of a path before looking into the folder.
const TYPING: Duration = Duration::from_millis(200);

/// The region of the kinds to choose from.
pub const SOURCES: Region = Region(0);
/// The region of the fields.
pub const FIELDS: Region = Region(1);
/// The region of the button.
pub const SUBMIT: Region = Region(2);

/// Where the keys go in the form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Focus {
    Kind,
    Field(usize),
    Submit,
}

/// The fields, by what they are called on the wire.
const PATH: usize = 0;
const URL: usize = 1;
const BRANCH: usize = 2;
const NAME: usize = 3;
const SLUG: usize = 4;

/// The form that makes an agent, or gives one that exists new code.
pub struct Create {
    /// The agent that gets new code.
    pub existing: Option<Agent>,
    /// What it is to be made of.
    pub kind: Kind,
    fields: [Field; 5],
    focus: Focus,
    /// What is wrong with the whole.
    pub error: Option<String>,
    /// What was found in the folder that was typed.
    pub found: Option<Result<Folder, String>>,
    /// How the path could go on.
    pub candidates: Vec<String>,
    typed: Option<Task>,
    inspecting: Option<Task>,
    completing: Option<Task>,
    /// Whether the inspection is the first step of making the agent.
    submitting: bool,
    creating: Option<Task>,
    made: bool,
}

impl Create {
    /// An empty form; where the kind is chosen already, the first field has the focus.
    #[must_use]
    pub fn new(chosen: Option<Kind>) -> Self {
        let mut form = Self {
            existing: None,
            kind: Kind::Folder,
            fields: [
                Field::new("Folder", "~/my-agent"),
                Field::new("Repository", "https://github.com/you/your-agent"),
                Field::new("Branch", "main"),
                Field::new("Name", "what people call it"),
                Field::new("Slug", "made from the name"),
            ],
            focus: Focus::Kind,
            error: None,
            found: None,
            candidates: Vec::new(),
            typed: None,
            inspecting: None,
            completing: None,
            submitting: false,
            creating: None,
            made: false,
        };
        if let Some(kind) = chosen {
            form.choose(kind);
            form.focus = Focus::Field(form.visible()[0]);
        }
        form
    }

    /// A form that asks only for the folder with an agent's new code.
    #[must_use]
    pub fn code_for(agent: Agent) -> Self {
        let mut form = Self::new(Some(Kind::Folder));
        form.existing = Some(agent);
        form
    }

    /// The fields of the kind that is chosen, with whether each has the focus.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &Field, bool)> {
        let visible = self.visible().iter();
        visible.map(|index| (*index, &self.fields[*index], self.focus == Focus::Field(*index)))
    }

    /// Whether the kinds have the focus.
    #[must_use]
    pub fn on_kind(&self) -> bool {
        self.focus == Focus::Kind
    }

    /// Whether the button has the focus.
    #[must_use]
    pub fn on_submit(&self) -> bool {
        self.focus == Focus::Submit
    }

    /// Whether the field is the one for a path.
    #[must_use]
    pub fn is_path(index: usize) -> bool {
        index == PATH
    }

    /// What the form does.
    fn verb(&self) -> &'static str {
        if self.existing.is_some() { "deploy" } else { "create" }
    }

    /// Whether it is being made.
    #[must_use]
    pub fn is_creating(&self) -> bool {
        self.submitting || self.creating.is_some()
    }

    fn visible(&self) -> &'static [usize] {
        match self.kind {
            Kind::Folder if self.existing.is_some() => &[PATH],
            Kind::Folder => &[PATH, NAME, SLUG],
            Kind::Git => &[URL, BRANCH, NAME, SLUG],
            Kind::Starter => &[NAME, SLUG],
        }
    }

    fn choose(&mut self, kind: Kind) {
        self.kind = kind;
        self.error = None;
        self.suggest_name();
    }

    /// Puts in a name that suits what is known, unless somebody typed one.
    fn suggest_name(&mut self) {
        if self.fields[NAME].touched {
            return;
        }
        let name = match self.kind {
            Kind::Folder => match &self.found {
                Some(Ok(folder)) => folder
                    .name
                    .clone()
                    .or_else(|| Some(folder.path.file_name()?.to_str()?.to_owned())),
                _ => None,
            },
            Kind::Git => {
                let url = self.fields[URL].value().trim_end_matches('/').trim_end_matches(".git");
                url.split_once("://")
                    .and_then(|(_, rest)| rest.split_once('/'))
                    .and_then(|(_, path)| path.rsplit('/').next())
                    .map(str::to_owned)
            }
            Kind::Starter => Some("Starter".into()),
        };
        self.fields[NAME].set(&name.unwrap_or_default());
    }

    fn turn_focus(&mut self, forward: bool) {
        let mut order = Vec::new();
        if self.existing.is_none() {
            order.push(Focus::Kind);
        }
        order.extend(self.visible().iter().map(|index| Focus::Field(*index)));
        order.push(Focus::Submit);
        let place = order.iter().position(|focus| *focus == self.focus).unwrap_or(0);
        let step = if forward { 1 } else { order.len() - 1 };
        self.focus = order[(place + step) % order.len()];
        self.candidates.clear();
    }

    fn turn_kind(&mut self, forward: bool) {
        let place = Kind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or(0);
        self.choose(Kind::ALL[(place + if forward { 1 } else { 2 }) % 3]);
    }

    fn changed(&mut self, cx: &mut Context<'_>) {
        self.candidates.clear();
        match self.focus {
            Focus::Field(PATH) => {
                self.found = None;
                let wait = cx.task();
                cx.run(Effect::Wait(wait, TYPING));
                self.typed = Some(wait);
            }
            Focus::Field(URL) => self.suggest_name(),
            _ => {}
        }
    }

    fn inspect(&mut self, cx: &mut Context<'_>) {
        let task = cx.task();
        self.inspecting = Some(task);
        cx.run(Effect::Inspect(task, self.fields[PATH].value().to_owned()));
    }

    fn submit(&mut self, cx: &mut Context<'_>) {
        self.error = None;
        self.candidates.clear();
        let needed = match self.kind {
            Kind::Folder => vec![(PATH, "which folder? Tab completes")],
            Kind::Git => vec![(URL, "which repository?")],
            Kind::Starter => vec![(NAME, "a name is needed")],
        };
        for (index, complaint) in needed {
            if self.fields[index].value().is_empty() {
                self.fields[index].error = Some(complaint.into());
                self.focus = Focus::Field(index);
                return;
            }
        }
        if self.kind == Kind::Folder {
            // Looked into again, as it may have changed since it was typed.
            self.submitting = true;
            self.inspect(cx);
        } else {
            self.create(cx);
        }
    }

    fn create(&mut self, cx: &mut Context<'_>) {
        if self.fields[NAME].value().is_empty() {
            self.fields[NAME].error = Some("a name is needed".into());
            self.focus = Focus::Field(NAME);
            return;
        }
        let filled = |index: usize| Some(self.fields[index].value().to_owned()).filter(|value| !value.is_empty());
        let git = self.kind == Kind::Git;
        let source_type = if self.kind == Kind::Folder {
            SourceType::Local
        } else {
            SourceType::Git
        };
        let agent = CreateAgent {
            name: self.fields[NAME].value().to_owned(),
            slug: filled(SLUG),
            source_type: Some(source_type),
            git_repo_url: filled(URL).filter(|_| git),
            git_branch: filled(BRANCH).filter(|_| git),
            ..CreateAgent::default()
        };
        let task = cx.task();
        self.creating = Some(task);
        cx.run(Effect::Create(task, agent));
    }

    fn receive_folder(&mut self, found: &Result<Folder, String>, cx: &mut Context<'_>) {
        self.inspecting = None;
        self.found = Some(found.clone());
        self.suggest_name();
        if !std::mem::take(&mut self.submitting) {
            return;
        }
        match found {
            Ok(folder) => match self.existing.take() {
                Some(agent) => {
                    self.made = true;
                    cx.open(Launch::new(agent, Source::Folder(folder.path.clone())));
                }
                None => self.create(cx),
            },
            Err(problem) => {
                self.fields[PATH].error = Some(problem.clone());
                self.focus = Focus::Field(PATH);
            }
        }
    }

    fn receive_completion(&mut self, completion: &Completion, cx: &mut Context<'_>) {
        self.completing = None;
        if completion.path == self.fields[PATH].input.value() && completion.candidates.is_empty() {
            self.turn_focus(true);
            return;
        }
        self.fields[PATH].set(&completion.path);
        self.changed(cx);
        self.candidates.clone_from(&completion.candidates);
    }

    fn receive_created(&mut self, answer: &Answer<Agent>, cx: &mut Context<'_>) {
        self.creating = None;
        match answer {
            Ok(agent) => {
                self.made = true;
                let source = match (&self.found, self.kind) {
                    (Some(Ok(folder)), Kind::Folder) => Source::Folder(folder.path.clone()),
                    _ => Source::Server,
                };
                cx.open(Launch::new(agent.clone(), source));
            }
            Err(failure) => self.complain(failure),
        }
    }

    /// Shows what is wrong where it is wrong.
    fn complain(&mut self, failure: &Failure) {
        let mut wrong = failure.fields.clone();
        if failure.has_code("slug_taken") {
            wrong.push(("slug".into(), failure.text.clone()));
        }
        let mut placed = false;
        for (field, complaint) in wrong.iter().rev() {
            let index = match field.as_str() {
                "git_repo_url" => URL,
                "git_branch" => BRANCH,
                "name" => NAME,
                "slug" => SLUG,
                _ => continue,
            };
            if self.visible().contains(&index) {
                self.fields[index].error = Some(complaint.clone());
                self.focus = Focus::Field(index);
                placed = true;
            }
        }
        if !placed {
            self.error = Some(failure.text.clone());
        }
    }

    fn cancel(&mut self, cx: &mut Context<'_>) {
        for task in [self.creating.take(), self.inspecting.take(), self.completing.take()]
            .into_iter()
            .flatten()
        {
            cx.run(Effect::Cancel(task));
        }
        cx.close();
    }
}

impl Component for Create {
    fn title(&self) -> String {
        match &self.existing {
            None => "New agent".into(),
            Some(agent) => format!("New code for {}", text::line(&agent.name)),
        }
    }

    fn commands(&self) -> Vec<Command> {
        let cancel = Command::new(keys::ESCAPE, "cancel", Action::Cancel, "Close the form");
        if self.is_creating() {
            return vec![cancel];
        }
        let mut commands = Vec::new();
        if self.on_kind() {
            commands.push(Command::new(
                keys::RIGHT,
                "next kind",
                Action::Right,
                "To the next kind of source",
            ));
            commands
                .push(Command::new(keys::LEFT, "kind before", Action::Left, "To the kind of source before").quiet());
            commands.push(Command::new(keys::ENTER, "fill in", Action::NextField, "To the fields"));
        } else {
            commands.push(Command::new(keys::ENTER, self.verb(), Action::Submit, "Deploy it"));
        }
        if self.focus == Focus::Field(PATH) {
            commands.push(Command::new(
                keys::NEXT,
                "complete",
                Action::Complete,
                "Complete the path; to the next field where it is complete",
            ));
        } else {
            commands.push(Command::new(keys::NEXT, "next", Action::NextField, "To the next field"));
        }
        commands.extend([
            Command::new(keys::NEXT_FIELD, "next field", Action::NextField, "To the next field").quiet(),
            Command::new(
                keys::PREVIOUS_FIELD,
                "field before",
                Action::PreviousField,
                "To the field before",
            )
            .quiet(),
            cancel,
        ]);
        commands
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>) -> bool {
        match action {
            Action::Left => self.turn_kind(false),
            Action::Right => self.turn_kind(true),
            Action::NextField => self.turn_focus(true),
            Action::PreviousField => self.turn_focus(false),
            Action::Complete => {
                let task = cx.task();
                self.completing = Some(task);
                cx.run(Effect::Complete(task, self.fields[PATH].input.value().to_owned()));
            }
            Action::Submit => self.submit(cx),
            Action::Cancel => self.cancel(cx),
            _ => return false,
        }
        true
    }

    fn typing(&self) -> bool {
        matches!(self.focus, Focus::Field(_))
    }

    fn type_key(&mut self, key: KeyEvent, cx: &mut Context<'_>) {
        if let Focus::Field(index) = self.focus
            && !self.is_creating()
            && self.fields[index].type_key(key)
        {
            self.changed(cx);
        }
    }

    fn paste(&mut self, text: &str, cx: &mut Context<'_>) {
        if let Focus::Field(index) = self.focus
            && !self.is_creating()
        {
            self.fields[index].paste(text);
            self.changed(cx);
        }
    }

    fn click(&mut self, region: Region, index: usize, cx: &mut Context<'_>) {
        match region {
            SOURCES => {
                self.choose(Kind::ALL[index.min(2)]);
                self.focus = Focus::Kind;
            }
            FIELDS => self.focus = Focus::Field(index.min(SLUG)),
            _ if !self.is_creating() => self.submit(cx),
            _ => {}
        }
    }

    fn receive(&mut self, message: &Message, cx: &mut Context<'_>) {
        match message {
            Message::Waited(task) if self.typed == Some(*task) => {
                self.typed = None;
                if !self.fields[PATH].value().is_empty() {
                    self.inspect(cx);
                }
            }
            Message::Folder(task, found) if self.inspecting == Some(*task) => self.receive_folder(found, cx),
            Message::Completed(task, completion) if self.completing == Some(*task) => {
                self.receive_completion(completion, cx);
            }
            Message::Created(task, answer) if self.creating == Some(*task) => self.receive_created(answer, cx),
            _ => {}
        }
    }

    fn animated(&self) -> bool {
        self.is_creating()
    }

    fn gone(&self) -> bool {
        self.made
    }

    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect) {
        view::create::draw(self, canvas, area);
    }
}
