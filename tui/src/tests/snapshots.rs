//! What people look at, text and colours.

use castari_common::agents::AgentStatus;
use castari_common::events::{Event, EventKind};
use castari_common::invocations::Started;
use crossterm::event::{KeyCode, KeyModifiers};
use jiff::SignedDuration;

use super::fixtures;
use super::stage::{Stage, World};
use crate::effects::Effect;
use crate::message::{
    Act, Failure, FailureKind, Feed, Folder, InvokeStep, LaunchStep, LogPiece, Message, Stage as LaunchStage,
};
use crate::theme::Theme;

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 36)];

fn look(name: &str, stage: &mut Stage) {
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), stage.picture(width, height));
    }
}

#[test]
fn first_screen_of_an_empty_server() {
    let mut stage = Stage::new(World::default());
    look("empty", &mut stage);
    stage.keys("2");
    look("empty_invocations", &mut stage);
}

#[test]
fn agents() {
    let mut stage = Stage::new(World::full());
    stage.press(KeyCode::Down);
    look("agents", &mut stage);
    stage.keys("/tri");
    look("agents_filtered", &mut stage);
    stage.keys("zzz");
    look("agents_none_found", &mut stage);
}

#[test]
fn agents_without_colour() {
    let mut stage = Stage::with_theme(World::full(), Theme::none());
    insta::assert_snapshot!("agents_no_color_80x24", stage.picture(80, 24));
}

#[test]
fn agent() {
    let mut stage = Stage::new(World::full());
    stage.keys("j");
    stage.press(KeyCode::Enter);
    look("agent", &mut stage);
    stage.keys("j");
    stage.press(KeyCode::Tab);
    look("agent_failed_deployment", &mut stage);
}

#[test]
fn create() {
    let mut stage = Stage::new(World::full());
    stage.keys("n");
    look("create", &mut stage);
    stage.press(KeyCode::Enter);
    stage.keys("~/agents/inv");
    let inspected = stage.effects.iter().rev().find_map(|effect| match effect {
        Effect::Inspect(task, _) => Some(*task),
        _ => None,
    });
    let folder = Folder {
        path: "/home/you/agents/inv".into(),
        name: Some("Invoice reader".into()),
    };
    stage.send(Message::Folder(inspected.unwrap(), Ok(folder.clone())));
    stage.press(KeyCode::Enter);
    let Some(Effect::Inspect(task, _)) = stage.effects.last().cloned() else {
        panic!("not inspected again")
    };
    stage.send(Message::Folder(task, Ok(folder)));
    let Some(Effect::Create(task, agent)) = stage.effects.last().cloned() else {
        panic!("not created")
    };
    assert_eq!(agent.name, "Invoice reader");
    let kind = FailureKind::Refused(Some("slug_taken".into()));
    let failure = Failure {
        kind,
        text: "The slug `invoice-reader` is taken".into(),
        fields: Vec::new(),
    };
    stage.send(Message::Created(task, Err(failure)));
    look("create_slug_taken", &mut stage);
}

#[test]
fn a_git_url_names_the_agent() {
    let mut stage = Stage::new(World::default());
    stage.keys("n");
    stage.press(KeyCode::Right);
    stage.press(KeyCode::Enter);
    stage.keys("https://github.com/acme/invoice-reader.git");
    look("create_git", &mut stage);
    stage.press(KeyCode::Enter);
    let Some(Effect::Create(_, agent)) = stage.effects.last().cloned() else {
        panic!("not created")
    };
    assert_eq!((agent.name.as_str(), agent.git_branch), ("invoice-reader", None));
    assert_eq!(
        agent.git_repo_url.as_deref(),
        Some("https://github.com/acme/invoice-reader.git")
    );
}

#[test]
fn new_code() {
    let mut stage = Stage::new(World::full());
    stage.keys("u");
    look("new_code", &mut stage);
}

fn launched() -> (Stage, crate::message::Task) {
    let mut stage = Stage::new(World::default());
    stage.keys("n");
    stage.press(KeyCode::Left);
    stage.press(KeyCode::Enter);
    stage.press(KeyCode::Enter);
    let Some(Effect::Create(task, _)) = stage.effects.last().cloned() else {
        panic!("not created")
    };
    stage.send(Message::Created(
        task,
        Ok(fixtures::agent(7, "Starter", AgentStatus::Draft)),
    ));
    let Some(Effect::Launch { task, .. }) = stage.effects.last().cloned() else {
        panic!("not launched")
    };
    stage.send(Message::Launch(task, LaunchStep::Deploying));
    stage.send(Message::Launch(task, LaunchStep::Log(LogPiece::Start)));
    stage.send(Message::Launch(
        task,
        LaunchStep::Log(LogPiece::More(fixtures::LOG.into())),
    ));
    stage.now += SignedDuration::from_millis(3400);
    stage.app.tick(stage.now);
    (stage, task)
}

#[test]
fn launch() {
    let (mut stage, task) = launched();
    look("launch", &mut stage);
    let failure = Failure::local("npm install failed: no matching version found for left-pad@^9");
    stage.send(Message::Launch(task, LaunchStep::Failed(LaunchStage::Deploy, failure)));
    look("launch_failed", &mut stage);
    let (mut stage, task) = launched();
    let active = fixtures::agent(7, "Starter", AgentStatus::Active);
    stage.send(Message::Launch(task, LaunchStep::Active(Box::new(active))));
    look("launch_active", &mut stage);
}

#[test]
fn invoke() {
    let mut stage = Stage::new(World::full());
    stage.keys("i");
    look("invoke_empty", &mut stage);
    stage.keys("Write the notes for 2.4");
    stage.press_with(KeyCode::Enter, KeyModifiers::ALT);
    stage.keys("and thank the authors.");
    look("invoke_editing", &mut stage);
    stage.press(KeyCode::Enter);
    let Some(Effect::Invoke { task, prompt, .. }) = stage.effects.last().cloned() else {
        panic!("not invoked")
    };
    assert_eq!(prompt, "Write the notes for 2.4\nand thank the authors.");
    let started = Started {
        invocation_id: "inv_0009".into(),
        session_id: "sess_0009".into(),
        sandbox_id: None,
    };
    stage.send(Message::Invoke(task, InvokeStep::Started(started)));
    stage.send(Message::Invoke(
        task,
        InvokeStep::Log("reading 41 pull requests\n".into()),
    ));
    stage.send(Message::Invoke(
        task,
        InvokeStep::Output("# Release 2.4\n\nThis release starts faster and ".into()),
    ));
    stage.now += SignedDuration::from_millis(1700);
    stage.app.tick(stage.now);
    look("invoke_streaming", &mut stage);
    stage.send(Message::Invoke(task, InvokeStep::Output("surprises less.\n".into())));
    stage.send(Message::Invoke(task, InvokeStep::Done(Box::new(fixtures::response()))));
    look("invoke_done", &mut stage);
}

#[test]
fn invocations() {
    let mut stage = Stage::new(World::full());
    stage.keys("2j");
    look("invocations", &mut stage);
    stage.press(KeyCode::Enter);
    look("invocation", &mut stage);
    stage.press(KeyCode::Esc);
    stage.keys("j");
    stage.press(KeyCode::Enter);
    look("invocation_failed", &mut stage);
}

#[test]
fn help_and_questions() {
    let mut stage = Stage::new(World::full());
    stage.keys("?");
    look("help", &mut stage);
    stage.press(KeyCode::Esc);
    stage.keys("x");
    look("confirm", &mut stage);
    stage.keys("y");
    assert!(matches!(stage.effects.last(), Some(Effect::Act(Act::Delete, slug)) if slug == "release-notes"));
}

#[test]
fn trouble_with_the_server() {
    let mut stage = Stage::new(World::full());
    stage.now += SignedDuration::from_secs(95);
    let lost = Failure {
        text: "cannot reach the server: connection refused".into(),
        ..Failure::timeout()
    };
    stage.send(Message::Feed(Feed::Failed(lost)));
    stage.send(Message::Acted(Act::Deploy, "starter".into(), Err(Failure::timeout())));
    look("lost", &mut stage);
    stage.now += SignedDuration::from_secs(20);
    stage.send(Message::Feed(Feed::Open));
    look("back", &mut stage);
    let limited = FailureKind::Limited(std::time::Duration::from_secs(30));
    stage.send(Message::Feed(Feed::Failed(Failure {
        kind: limited,
        ..Failure::timeout()
    })));
    look("limited", &mut stage);
    let mut stage = Stage::new(World::default());
    stage.send(Message::Feed(Feed::Alive));
    let denied = Failure {
        kind: FailureKind::Unauthorised,
        text: "Invalid API key".into(),
        fields: Vec::new(),
    };
    stage.send(Message::Feed(Feed::Failed(denied)));
    look("denied", &mut stage);
}

#[test]
fn too_small() {
    let mut stage = Stage::new(World::full());
    insta::assert_snapshot!("too_small_30x6", stage.picture(30, 6));
}

#[test]
fn changes_are_gathered_before_they_are_read() {
    let mut stage = Stage::new(World::full());
    stage.send(Message::Refresh(crate::message::Stale::default()));
    stage.effects.clear();
    for _ in 0..50 {
        let event = Event {
            kind: EventKind::Invocation,
            slug: None,
            id: None,
        };
        stage.send(Message::Feed(Feed::Changed(event)));
    }
    let refreshes = stage
        .effects
        .iter()
        .filter(|effect| matches!(effect, Effect::RefreshAfter(..)))
        .count();
    assert_eq!(refreshes, 1);
}

#[test]
fn a_launch_that_is_hidden_tells_of_its_end() {
    let (mut stage, task) = launched();
    stage.press(KeyCode::Esc);
    assert!(!stage.app.has_layers());
    let active = fixtures::agent(7, "Starter", AgentStatus::Active);
    stage.send(Message::Launch(task, LaunchStep::Active(Box::new(active))));
    look("launch_hidden", &mut stage);
}

#[test]
fn a_server_that_never_answered() {
    let mut stage = Stage::silent();
    stage.send(Message::Feed(Feed::Failed(Failure::timeout())));
    look("never_answered", &mut stage);
}
