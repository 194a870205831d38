//! Screens of every size, and data that was made to hurt.

use castari_common::agents::AgentStatus;
use castari_common::invocations::InvocationStatus;
use crossterm::event::{Event, KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::commands::scenes;
use super::fixtures;
use super::stage::{Stage, World, text};
use crate::effects::Effect;
use crate::message::{InvokeStep, Message};

const SIZES: [(u16, u16); 13] = [
    (0, 0),
    (1, 1),
    (10, 3),
    (200, 2),
    (3, 60),
    (40, 10),
    (41, 11),
    (60, 15),
    (80, 24),
    (99, 19),
    (100, 20),
    (120, 40),
    (200, 50),
];

#[test]
fn every_place_can_be_drawn_in_every_size() {
    for (name, scene) in scenes() {
        let mut stage = scene();
        for (width, height) in SIZES.into_iter().chain(SIZES.into_iter().rev()) {
            let screen = text(&stage.draw(width, height));
            if (width, height) == (10, 3) {
                assert!(screen.contains("castari"), "{name}: {screen}");
            }
        }
    }
}

#[test]
fn clicks_and_wheels_anywhere_do_no_harm() {
    for (_, scene) in scenes() {
        let mut stage = scene();
        let kinds = [
            MouseEventKind::Down(MouseButton::Left),
            MouseEventKind::ScrollDown,
            MouseEventKind::ScrollUp,
        ];
        for (column, row) in (0..130)
            .step_by(7)
            .flat_map(|column| (0..40).map(move |row| (column, row)))
        {
            for kind in kinds {
                let modifiers = KeyModifiers::NONE;
                stage.send(Message::Terminal(Event::Mouse(MouseEvent {
                    kind,
                    column,
                    row,
                    modifiers,
                })));
            }
            if row == 20 {
                stage.draw(120, 36);
            }
        }
    }
}

const HOSTILE: &str = "\x1b[31mred\x1b[0m\x1b]0;title\x07\u{9b}2J\x00\x07\r\n\tend\u{202e}\u{200b}🤦🏼‍♂️漢字\u{fe0f}";

fn hostile_world() -> World {
    let mut world = World::full();
    for (index, agent) in world.agents.iter_mut().enumerate() {
        agent.name = format!("{HOSTILE} {index}");
        agent.description = Some(HOSTILE.into());
        agent.status_message = Some(HOSTILE.repeat(50));
        agent.git_repo_url = Some(format!("https://{HOSTILE}"));
        agent.default_model = HOSTILE.into();
    }
    for deployment in &mut world.deployments {
        deployment.source_hash = Some(HOSTILE.into());
        deployment.error = Some(HOSTILE.into());
    }
    for invocation in &mut world.invocations {
        invocation.agent_slug = HOSTILE.into();
        invocation.prompt = HOSTILE.repeat(1000);
        invocation.response_content = HOSTILE.repeat(1000);
        invocation.error_message = Some(HOSTILE.into());
        invocation.session_id = HOSTILE.into();
    }
    world.log = format!("{HOSTILE}\n").repeat(100) + &"x".repeat(300_000);
    world
}

#[test]
fn no_control_character_reaches_the_screen() {
    let journeys = ["", "\n", "\n\t\t\n", "2\n", "iHi\n", "x", "?", "r"];
    for keys in journeys {
        let mut stage = Stage::new(hostile_world());
        for c in keys.chars() {
            stage.press(match c {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                c => KeyCode::Char(c),
            });
        }
        if let Some(Effect::Invoke { task, .. }) = stage.effects.last().cloned() {
            stage.send(Message::Invoke(task, InvokeStep::Output(HOSTILE.repeat(20))));
            stage.send(Message::Invoke(task, InvokeStep::Log(HOSTILE.repeat(20))));
        }
        for (width, height) in SIZES {
            let buffer = stage.draw(width, height);
            for cell in buffer.content() {
                assert!(
                    !cell.symbol().chars().any(char::is_control),
                    "{keys:?}: {:?}",
                    cell.symbol()
                );
            }
            let screen = text(&buffer);
            for trace in ["[31m", "[0m", "0;title", "2J", "\u{202e}"] {
                assert!(!screen.contains(trace), "{keys:?} left {trace:?} in\n{screen}");
            }
        }
    }
}

#[test]
fn only_what_is_near_the_eye_is_read_and_kept() {
    let mut world = World::full();
    world.agents = (0..10_000)
        .map(|index| fixtures::agent(index, &format!("Agent {index}"), AgentStatus::Active))
        .collect();
    world.invocations = (0..3000)
        .map(|index| fixtures::invocation(index, InvocationStatus::Completed, "a", &format!("prompt {index}"), ""))
        .collect();
    let mut stage = Stage::new(world);
    assert!(text(&stage.draw(120, 36)).contains("1 of 10,000"));
    for _ in 0..20 {
        stage.press(KeyCode::PageDown);
        stage.draw(120, 36);
    }
    assert!(text(&stage.draw(120, 36)).contains("Agent 600"));
    stage.keys("G");
    assert!(text(&stage.draw(120, 36)).contains("Agent 9999"));
    for _ in 0..10 {
        stage.press(KeyCode::PageUp);
        stage.draw(120, 36);
    }
    assert!(text(&stage.draw(120, 36)).contains("Agent 9700"));
    stage.keys("g2/prompt 29");
    assert!(text(&stage.draw(120, 36)).contains("prompt 290"));
    stage.keys("99");
    stage.press(KeyCode::Enter);
    let screen = text(&stage.draw(120, 36));
    assert!(screen.contains("2,000 to look through"), "{screen}");
    for _ in 0..3 {
        stage.keys("G");
    }
    let screen = text(&stage.draw(120, 36));
    assert!(
        screen.contains("1 found") && screen.contains("▌✓ completed"),
        "{screen}"
    );
}

#[test]
fn the_selection_stays_on_its_row_when_rows_come_and_go() {
    let mut stage = Stage::new(World::full());
    stage.keys("jj");
    let selected = |stage: &mut Stage| {
        text(&stage.draw(80, 24))
            .lines()
            .find(|line| line.contains('▌'))
            .unwrap()
            .to_owned()
    };
    assert!(selected(&mut stage).contains("Support triage"));
    stage
        .world
        .agents
        .insert(0, fixtures::agent(9, "Brand new", AgentStatus::Draft));
    stage.world.agents.remove(1);
    stage
        .world
        .agents
        .insert(0, fixtures::agent(8, "Newer still", AgentStatus::Draft));
    stage.send(Message::Refresh(crate::message::Stale::ALL));
    assert!(selected(&mut stage).contains("Support triage"));
    stage.world.agents.retain(|agent| agent.name != "Support triage");
    stage.send(Message::Refresh(crate::message::Stale::ALL));
    assert!(selected(&mut stage).contains("Log summariser"));
}

#[test]
fn the_mouse_selects_opens_and_scrolls() {
    let mut stage = Stage::new(World::full());
    let mouse = |stage: &mut Stage, kind, column, row| {
        let modifiers = KeyModifiers::NONE;
        stage.send(Message::Terminal(Event::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers,
        })));
        text(&stage.draw(120, 36))
    };
    let click = MouseEventKind::Down(MouseButton::Left);
    stage.draw(120, 36);
    assert!(mouse(&mut stage, click, 20, 5).contains("▌● active     Support triage"));
    assert!(mouse(&mut stage, click, 20, 5).contains("Agents › Support triage"));
    assert!(mouse(&mut stage, MouseEventKind::ScrollDown, 10, 10).contains("▌✓ succeeded"));
    assert!(mouse(&mut stage, click, 28, 0).contains("╭─ Invocations ─"));
    assert!(mouse(&mut stage, MouseEventKind::ScrollDown, 10, 10).contains("▌✓ completed  translator"));
    assert!(mouse(&mut stage, click, 116, 35).contains("╭─ Help"));
    assert!(
        mouse(&mut stage, click, 15, 0).contains("╭─ Help"),
        "what is covered is not hit"
    );
}
