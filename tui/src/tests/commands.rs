//! Every command is handled, every key that does something is reported, and the help knows them all.

use crossterm::event::{KeyCode, KeyModifiers};

use super::stage::{Stage, World, text};
use crate::effects::Effect;
use crate::input::{Command, Key};
use crate::message::{Failure, InvokeStep, LaunchStep, Message, Stage as LaunchStage, Task};

/// A place in the dashboard and how to get there.
type Scene = (&'static str, fn() -> Stage);

fn go(keys: &str) -> Stage {
    let mut stage = Stage::new(World::full());
    for c in keys.chars() {
        stage.press(match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '<' => KeyCode::Left,
            c => KeyCode::Char(c),
        });
    }
    stage
}

fn last_task(stage: &Stage) -> Task {
    match stage.effects.last() {
        Some(Effect::Invoke { task, .. } | Effect::Launch { task, .. } | Effect::Create(task, _)) => *task,
        other => panic!("no task in {other:?}"),
    }
}

fn launched() -> Stage {
    let mut stage = go("n<\n\n");
    let agent = super::fixtures::agents().remove(5);
    let task = last_task(&stage);
    stage.send(Message::Created(task, Ok(agent)));
    stage
}

/// Every kind of place: all later tests go through these.
pub fn scenes() -> Vec<Scene> {
    vec![
        ("empty", || Stage::new(World::default())),
        ("agents", || go("")),
        ("agents, a draft", || go("G")),
        ("agents, filter", || go("/inv")),
        ("agents, filtered", || go("/inv\n")),
        ("agent, deployments", || go("\n")),
        ("agent, log", || go("j\n\t")),
        ("agent, invocations", || go("\n\t\t")),
        ("invocations", || go("2")),
        ("invocation", || go("2\n")),
        ("invocation of an agent", || go("\n\t\t\n")),
        ("create, kind", || go("n")),
        ("create, path", || go("n\n")),
        ("create, git", || go("n<<\n")),
        ("create, starter", || go("n<\n")),
        ("new code", || go("u")),
        ("creating", || go("n<\n\n")),
        ("launching", launched),
        ("launch failed", || {
            let mut stage = launched();
            let failed = LaunchStep::Failed(LaunchStage::Deploy, Failure::local("no"));
            let task = last_task(&stage);
            stage.send(Message::Launch(task, failed));
            stage
        }),
        ("launch done", || {
            let mut stage = launched();
            let agent = super::fixtures::agents().remove(0);
            let task = last_task(&stage);
            stage.send(Message::Launch(task, LaunchStep::Active(Box::new(agent))));
            stage
        }),
        ("invoke, prompt", || go("iHello")),
        ("invoke, running", || go("iHello\n")),
        ("invoke, ended", || {
            let mut stage = go("iHello\n");
            let task = last_task(&stage);
            stage.send(Message::Invoke(
                task,
                InvokeStep::Done(Box::new(super::fixtures::response())),
            ));
            stage
        }),
        ("confirm", || go("x")),
        ("help", || go("?")),
    ]
}

fn available(commands: Vec<Command>) -> impl Iterator<Item = Command> {
    commands.into_iter().filter(|command| command.unavailable.is_none())
}

#[test]
fn every_command_is_handled() {
    for (name, scene) in scenes() {
        let app = scene().app;
        for command in available(app.top().commands()).chain(available(app.global_commands())) {
            let mut stage = scene();
            stage.draw(100, 30);
            assert!(
                stage.app.perform(command.action),
                "{name}: nobody does {:?}",
                command.action
            );
        }
    }
}

#[test]
fn no_key_means_two_things_and_none_is_hidden_by_typing() {
    for (name, scene) in scenes() {
        let app = scene().app;
        let mut seen: Vec<Key> = Vec::new();
        for key in app.top().commands().iter().flat_map(|command| command.keys) {
            assert!(!seen.contains(key), "{name}: {key} stands for two commands");
            assert!(
                !(app.top().typing() && key.types()),
                "{name}: {key} is typed, so its command is out of reach"
            );
            seen.push(*key);
        }
    }
}

#[test]
fn the_help_shows_every_command() {
    for (name, scene) in scenes() {
        let mut stage = scene();
        if name == "help" {
            continue;
        }
        let mut commands = stage.app.top().commands();
        commands.extend(stage.app.global_commands());
        stage.press(KeyCode::F(1));
        let screen = text(&stage.draw(160, 80));
        for command in commands.iter().filter(|command| !command.keys.is_empty()) {
            assert!(
                screen.contains(command.about),
                "{name}: no “{}” in\n{screen}",
                command.about
            );
            let keys: Vec<String> = command.keys.iter().map(ToString::to_string).collect();
            assert!(screen.contains(&keys.join(" ")), "{name}: no {keys:?} in\n{screen}");
        }
    }
}

#[test]
fn keys_that_are_not_reported_do_nothing() {
    let characters = (' '..='~').map(KeyCode::Char);
    let others = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::Delete,
        KeyCode::Left,
        KeyCode::F(7),
        KeyCode::Insert,
    ];
    let codes: Vec<KeyCode> = characters.chain(others).collect();
    for (name, scene) in scenes() {
        let mut stage = scene();
        if stage.app.top().typing() {
            continue;
        }
        let mut commands = stage.app.top().commands();
        commands.extend(stage.app.global_commands());
        let (before, asked) = (stage.picture(120, 36), stage.effects.len());
        for (code, modifiers) in codes
            .iter()
            .flat_map(|code| [(*code, KeyModifiers::NONE), (*code, KeyModifiers::CONTROL)])
        {
            let event = crossterm::event::KeyEvent::new(code, modifiers);
            if !commands
                .iter()
                .flat_map(|command| command.keys)
                .any(|key| key.matches(&event))
            {
                stage.press_with(code, modifiers);
                assert_eq!(stage.effects.len(), asked, "{name}: {code:?} had an effect");
            }
        }
        assert_eq!(
            stage.picture(120, 36),
            before,
            "{name}: a key that is not reported did something"
        );
    }
}
