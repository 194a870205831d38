//! Whole journeys: the real loop, the real effects and a real connection, with keys pressed by a script. Each step
//! waits for what it expects to see, never for a length of time.

use std::time::Duration;

use castari_common::Client;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::backend::TestBackend;
use tokio::task::AbortHandle;

use super::mock::{Mock, Shared};
use super::stage::{setup, text};
use crate::dashboard::Session;
use crate::message::Message;
use crate::theme::Theme;

/// How long anything may take that a test waits for, before it counts as never.
const NEVER: Duration = Duration::from_secs(20);

struct Journey {
    session: Session<TestBackend>,
    mock: Shared,
    port: u16,
    server: AbortHandle,
}

impl Journey {
    async fn start(mock: Shared) -> Self {
        let (port, server) = mock.serve(0).await;
        let client = Client::new(&format!("http://127.0.0.1:{port}"), "cast_12345678_x").unwrap();
        let clock = Box::new(crate::dashboard::now);
        let session = Session::new(TestBackend::new(120, 36), client, setup(Theme::dark()), clock).unwrap();
        Self {
            session,
            mock,
            port,
            server,
        }
    }

    fn screen(&self) -> String {
        text(self.session.terminal().backend().buffer())
    }

    /// Lets the loop run until the screen says that.
    async fn sees(&mut self, wanted: &str) {
        let seen = async {
            while !self.screen().contains(wanted) {
                assert!(self.session.step().await.unwrap(), "it ended");
            }
        };
        let in_time = tokio::time::timeout(NEVER, seen).await.is_ok();
        assert!(in_time, "never saw “{wanted}” but\n{}", self.screen());
    }

    async fn sees_no(&mut self, unwanted: &str) {
        let gone = async {
            while self.screen().contains(unwanted) {
                assert!(self.session.step().await.unwrap(), "it ended");
            }
        };
        let in_time = tokio::time::timeout(NEVER, gone).await.is_ok();
        assert!(in_time, "“{unwanted}” stayed:\n{}", self.screen());
    }

    fn press(&mut self, code: KeyCode) {
        let key = KeyEvent::new(code, KeyModifiers::NONE);
        self.session.queue().send(Message::Terminal(Event::Key(key))).unwrap();
    }

    fn keys(&mut self, text: &str) {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
    }

    fn paste(&mut self, text: &str) {
        self.session
            .queue()
            .send(Message::Terminal(Event::Paste(text.into())))
            .unwrap();
    }

    /// Clicks on the first place where the screen says that.
    fn click(&mut self, label: &str) {
        let buffer = self.session.terminal().backend().buffer();
        let found = (0..buffer.area.height).find_map(|y| {
            let row: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
            let column = row[..row.find(label)?].chars().count();
            Some((u16::try_from(column).unwrap(), y))
        });
        let (column, row) = found.unwrap_or_else(|| panic!("no “{label}” on\n{}", self.screen()));
        let kind = MouseEventKind::Down(MouseButton::Left);
        let mouse = MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        };
        self.session
            .queue()
            .send(Message::Terminal(Event::Mouse(mouse)))
            .unwrap();
    }

    fn let_go(&self, step: u32) {
        self.mock.go.send_replace(step);
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("castari.json"),
        r#"{"name": "Greeter", "entrypoint": "index.js"}"#,
    )
    .unwrap();
    std::fs::write(folder.path().join("index.js"), "console.log('hello')").unwrap();
    folder
}

#[tokio::test]
async fn from_an_empty_server_to_an_answer() {
    let mut journey = Journey::start(Mock::new()).await;
    journey.sees("There is no agent yet").await;
    journey.sees("● live").await;
    let folder = folder();

    journey.keys("n");
    journey.sees("← → choose").await;
    journey.press(KeyCode::Enter);
    journey.paste(&folder.path().display().to_string());
    journey.sees("✓ castari.json: Greeter").await;
    journey.press(KeyCode::Enter);
    journey.sees("Build and deploy").await;
    journey.sees("Pack the folder    2 files").await;
    journey.let_go(1);
    journey.sees("npm ci").await;
    journey.let_go(2);
    journey.sees("added 57 packages").await;
    journey.sees("It is in service").await;
    let uploaded = journey.mock.data.lock().unwrap().uploaded.clone();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(uploaded.as_slice()));
    assert_eq!(archive.entries().unwrap().count(), 2);

    journey.keys("i");
    journey.sees("What should it do?").await;
    journey.keys("Say hello");
    journey.press(KeyCode::Enter);
    journey.sees("│ Hello,").await;
    journey.sees("running for").await;
    journey.let_go(3);
    journey.sees("Hello, world").await;
    journey.sees("thinking").await;
    journey.sees("✓ completed in 2.31s").await;

    journey.press(KeyCode::Esc);
    journey.sees("● active").await;
    journey.keys("2");
    journey.sees("Say hello").await;
    journey.press(KeyCode::Enter);
    journey.sees("reading the prompt").await;
    journey.keys("q");
    while journey.session.step().await.unwrap() {}
}

#[tokio::test]
async fn a_deploy_that_fails_can_be_tried_again() {
    let mock = Mock::new();
    mock.data.lock().unwrap().fail_next_deploy = true;
    let mut journey = Journey::start(mock).await;
    journey.let_go(2);
    journey.sees("There is no agent yet").await;
    journey.click("the starter agent");
    journey.sees("Create and deploy").await;
    journey.click("Create and deploy");
    journey.sees("npm install failed: no such package").await;
    journey.press(KeyCode::Esc);
    journey.sees("✗ error").await;
    journey.press(KeyCode::Enter);
    journey.sees("✗ failed").await;
    journey.keys("r");
    journey.sees("✓ succeeded").await;
    journey.sees("● active").await;
}

#[tokio::test]
async fn a_folder_without_a_manifest_and_a_slug_that_is_taken_are_said_where_they_are() {
    let mut journey = Journey::start(Mock::new()).await;
    let empty = tempfile::tempdir().unwrap();
    journey.sees("There is no agent yet").await;
    journey.click("a folder");
    journey.sees("Create and deploy").await;
    journey.paste(&empty.path().display().to_string());
    journey.press(KeyCode::Enter);
    journey.sees("no castari.json in").await;
    assert!(journey.mock.data.lock().unwrap().agents.is_empty());
    let mut taken = super::fixtures::agents().remove(0);
    taken.slug = "same".into();
    journey.mock.data.lock().unwrap().agents.push(taken);
    journey.click("Starter agent");
    journey.press(KeyCode::Down);
    journey.press(KeyCode::Down);
    journey.keys("same");
    journey.press(KeyCode::Enter);
    journey.sees("The slug is taken").await;
}

#[tokio::test]
async fn cancelling_reaches_the_server() {
    let mock = Mock::new();
    mock.data.lock().unwrap().agents = super::fixtures::agents();
    let mut journey = Journey::start(mock).await;
    journey.sees("● active").await;
    journey.keys("iHi");
    journey.press(KeyCode::Enter);
    journey.sees("│ Hello,").await;
    journey.press(KeyCode::Esc);
    journey.sees("cancelled after").await;
    let mut changes = journey.mock.go.subscribe();
    changes.mark_unchanged();
    let cancelled = async {
        while journey.mock.data.lock().unwrap().cancelled == 0 {
            journey.session.step().await.unwrap();
        }
    };
    tokio::time::timeout(NEVER, cancelled).await.unwrap();
}

#[tokio::test]
async fn stop_and_delete_ask_first() {
    let mock = Mock::new();
    mock.data.lock().unwrap().agents = super::fixtures::agents();
    let mut journey = Journey::start(mock).await;
    journey.sees("Release notes").await;
    journey.keys("s");
    journey.sees("Stop Release notes?").await;
    journey.click("Stop (y)");
    journey.sees("release-notes is stopped").await;
    journey.keys("x");
    journey.sees("Delete Release notes?").await;
    journey.press(KeyCode::Enter);
    journey.sees_no("Delete Release notes?").await;
    assert_eq!(journey.mock.data.lock().unwrap().agents.len(), 6);
    journey.keys("xy");
    journey.sees("release-notes is deleted").await;
    journey.sees_no("Release notes").await;
}

#[tokio::test]
async fn a_lost_server_is_said_and_found_again() {
    let mock = Mock::new();
    mock.data.lock().unwrap().agents = super::fixtures::agents();
    let mut journey = Journey::start(mock).await;
    journey.sees("● live").await;
    journey.sees("Release notes").await;
    journey.server.abort();
    // Connections that are open stay so until their end is told to stop.
    journey.mock.end_connections();
    journey.sees("No answer from the server").await;
    journey.sees("Release notes").await;
    journey.mock.data.lock().unwrap().agents[0].name = "Renamed meanwhile".into();
    let (_, server) = journey.mock.serve(journey.port).await;
    journey.server = server;
    journey.sees("The server is back").await;
    journey.sees("Renamed meanwhile").await;
    journey.sees_no("No answer from the server").await;
}

#[tokio::test]
async fn a_server_that_tells_no_changes_is_looked_at_from_time_to_time() {
    let mock = Mock::new();
    mock.data.lock().unwrap().tells_no_changes = true;
    let mut journey = Journey::start(mock).await;
    journey.sees("● polling").await;
    journey.mock.data.lock().unwrap().agents = super::fixtures::agents();
    // From here on no time passes but what the loop waits for.
    tokio::time::pause();
    journey.sees("Release notes").await;
    tokio::time::resume();
    journey.mock.data.lock().unwrap().agents.truncate(1);
    journey.let_go(2);
    journey.keys("n");
    journey.sees("New agent").await;
    journey.press(KeyCode::Left);
    journey.press(KeyCode::Enter);
    journey.press(KeyCode::Enter);
    journey.sees("It is in service").await;
}

#[tokio::test]
async fn garbage_is_said_to_be_garbage() {
    let mock = Mock::new();
    mock.data.lock().unwrap().answers_garbage = true;
    let mut journey = Journey::start(mock).await;
    journey.keys("2");
    journey.sees("something that this client cannot read").await;
    journey.mock.data.lock().unwrap().answers_garbage = false;
    let key = KeyEvent::new(KeyCode::Char('r'), KeyModifiers::CONTROL);
    journey
        .session
        .queue()
        .send(Message::Terminal(Event::Key(key)))
        .unwrap();
    journey.sees("No invocation yet").await;
}
