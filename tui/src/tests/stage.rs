//! The state on a stage: played to by hand, without a server and without time passing.

use std::collections::HashMap;
use std::fmt::Write as _;

use castari_common::Meta;
use castari_common::agents::{Agent, AgentList};
use castari_common::deployments::{Deployment, DeploymentList};
use castari_common::invocations::{Invocation, InvocationList};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use super::fixtures;
use crate::effects::Effect;
use crate::message::{Feed, LogPiece, Message};
use crate::state::{App, Setup};
use crate::theme::Theme;

/// What the server would answer.
#[derive(Clone, Default)]
pub struct World {
    pub agents: Vec<Agent>,
    pub deployments: Vec<Deployment>,
    pub invocations: Vec<Invocation>,
    pub log: String,
}

impl World {
    pub fn full() -> Self {
        Self {
            agents: fixtures::agents(),
            deployments: fixtures::deployments(),
            invocations: fixtures::invocations(),
            log: fixtures::LOG.into(),
        }
    }
}

pub struct Stage {
    pub app: App,
    pub now: Timestamp,
    pub world: World,
    /// Effects that the stage does not answer by itself.
    pub effects: Vec<Effect>,
}

pub fn setup(theme: Theme) -> Setup {
    Setup {
        address: "http://127.0.0.1:2278/".into(),
        bundled: true,
        server_log: Some("/home/you/.local/share/castari/server.log".into()),
        theme,
        zone: TimeZone::UTC,
    }
}

impl Stage {
    pub fn new(world: World) -> Self {
        Self::with_theme(world, Theme::dark())
    }

    pub fn with_theme(world: World, theme: Theme) -> Self {
        let now = fixtures::now();
        let (app, effects) = App::new(setup(theme), now);
        let mut stage = Self {
            app,
            now,
            world,
            effects: Vec::new(),
        };
        stage.answer(effects);
        stage.send(Message::Feed(Feed::Open));
        stage
    }

    /// A dashboard whose server has not answered anything.
    pub fn silent() -> Self {
        let now = fixtures::now();
        let (app, effects) = App::new(setup(Theme::dark()), now);
        let world = World::default();
        Self {
            app,
            now,
            world,
            effects,
        }
    }

    pub fn send(&mut self, message: Message) {
        let effects = self.app.update(message, self.now);
        self.answer(effects);
    }

    pub fn press(&mut self, code: KeyCode) {
        self.press_with(code, KeyModifiers::NONE);
    }

    pub fn press_with(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.send(Message::Terminal(Event::Key(KeyEvent::new(code, modifiers))));
    }

    /// Types a text, one key a character.
    pub fn keys(&mut self, text: &str) {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
    }

    /// Answers reads at once, as the world is; keeps all other effects.
    fn answer(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let message = match effect {
                Effect::Agents(task, _, page) => {
                    let (agents, meta) = cut(&self.world.agents, page);
                    Message::Agents(task, Ok(AgentList { agents, meta }))
                }
                Effect::Agent(task, slug) => {
                    let found = self.world.agents.iter().find(|agent| agent.slug == slug).unwrap();
                    Message::Agent(task, Ok(found.clone()))
                }
                Effect::Deployments(task, _, page) => {
                    let (deployments, meta) = cut(&self.world.deployments, page);
                    Message::Deployments(task, Ok(DeploymentList { deployments, meta }))
                }
                Effect::Invocations(task, _, page) => {
                    let (invocations, meta) = cut(&self.world.invocations, page);
                    Message::Invocations(task, Ok(InvocationList { invocations, meta }))
                }
                Effect::Invocation(task, id) => {
                    let found = self
                        .world
                        .invocations
                        .iter()
                        .find(|invocation| invocation.id == id)
                        .unwrap();
                    Message::Invocation(task, Ok((found.clone(), self.world.log.clone())))
                }
                Effect::Log { task, follow, .. } => {
                    self.send(Message::Log(task, LogPiece::Start));
                    self.send(Message::Log(task, LogPiece::More(self.world.log.clone().into())));
                    if follow {
                        continue;
                    }
                    Message::Log(task, LogPiece::End)
                }
                Effect::Wait(task, _) => Message::Waited(task),
                other => {
                    self.effects.push(other);
                    continue;
                }
            };
            self.send(message);
        }
    }

    pub fn draw(&mut self, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| self.app.draw(frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The text and the styles on a screen of that size.
    pub fn picture(&mut self, width: u16, height: u16) -> String {
        describe(&self.draw(width, height))
    }
}

fn cut<T: Clone>(all: &[T], page: castari_common::Page) -> (Vec<T>, Meta) {
    let offset = usize::try_from(page.offset).unwrap();
    let rows = all.iter().skip(offset).take(page.limit as usize).cloned().collect();
    (rows, Meta::new(all.len() as u64, page))
}

/// The text of a screen, line by line.
pub fn text(buffer: &Buffer) -> String {
    let mut lines = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            skip = crate::text::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

/// The text of a screen, then its styles: a letter for each, runs of them for each line, and what the letters mean.
pub fn describe(buffer: &Buffer) -> String {
    let mut letters: HashMap<Style, char> = HashMap::new();
    let mut legend = String::new();
    let mut runs = String::new();
    for y in 0..buffer.area.height {
        let mut line: Vec<(char, usize)> = Vec::new();
        for x in 0..buffer.area.width {
            let style = buffer[(x, y)].style();
            let next = char::from(b'a' + u8::try_from(letters.len()).unwrap());
            let letter = *letters.entry(style).or_insert_with(|| {
                let _ = writeln!(legend, "{next}: {}", name(style));
                next
            });
            match line.last_mut() {
                Some((last, count)) if *last == letter => *count += 1,
                _ => line.push((letter, 1)),
            }
        }
        let line: Vec<String> = line
            .into_iter()
            .map(|(letter, count)| format!("{letter}{count}"))
            .collect();
        runs.push_str(&line.join(" "));
        runs.push('\n');
    }
    format!("{}---\n{runs}---\n{legend}", text(buffer))
}

fn name(style: Style) -> String {
    let color = |color: Option<Color>| match color {
        Some(Color::Indexed(index)) => index.to_string(),
        Some(Color::Reset) | None => "-".into(),
        Some(other) => format!("{other:?}"),
    };
    let modifiers: Vec<String> = (style.add_modifier - Modifier::empty())
        .iter_names()
        .map(|(name, _)| name.to_lowercase())
        .collect();
    format!("{} on {} {}", color(style.fg), color(style.bg), modifiers.join(" "))
        .trim_end()
        .to_owned()
}
