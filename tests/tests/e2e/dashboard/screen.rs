//! What is done with agents, and the screen itself.

use std::time::Duration;

use castari_common::agents::AgentStatus;
use castari_tests::terminal::{BACK_TAB, ENTER, ESCAPE, TAB, Terminal, castari};
use castari_tests::{Castari, within};

use super::{USUAL, WIDE, at, attached, bundled, home};

const SOON: Duration = Duration::from_secs(20);

/// Waits until an agent has a status.
async fn wait_status(server: &Castari, slug: &str, status: AgentStatus) {
    let is = async {
        while server.client().agent(slug).await.unwrap().status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("{slug} is {status:?}"), SOON, is).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_redeploy_and_delete_ask_first() {
    let server = Castari::start().await;
    server.deploy_script("worker", "console.log(1)").await;
    let mut terminal = attached(&server, USUAL);
    terminal.wait_for("active");
    // A question that is answered with no changes nothing; Enter means no unless yes is chosen.
    for no in ["n", ENTER, ESCAPE] {
        terminal.keys("s");
        terminal.wait_for("Stop worker?");
        terminal.keys(no);
        terminal.wait_gone("Stop worker?");
    }
    assert_eq!(
        server.client().agent("worker").await.unwrap().status,
        AgentStatus::Active
    );
    terminal.keys("s");
    terminal.wait_for("Running invocations fail");
    terminal.keys("y");
    // In its row, not only in what is told in passing.
    terminal.wait_until("its row says stopped", |screen| {
        let mut rows = screen.rows(0, screen.size().1);
        rows.any(|row| row.contains("stopped") && row.contains("folder"))
    });
    wait_status(&server, "worker", AgentStatus::Stopped).await;
    terminal.keys("i");
    terminal.wait_for("Not now: it is stopped");
    terminal.keys("r");
    terminal.wait_for("active");
    wait_status(&server, "worker", AgentStatus::Active).await;
    terminal.keys("r");
    terminal.wait_for("Redeploy worker?");
    terminal.keys(&format!("{TAB}{ENTER}"));
    terminal.wait_gone("Redeploy worker?");
    wait_status(&server, "worker", AgentStatus::Active).await;
    terminal.keys("x");
    terminal.wait_for("cannot be undone");
    terminal.keys("y");
    terminal.wait_for("There is no agent yet");
    assert!(server.client().agent("worker").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_clicked() {
    let server = Castari::start().await;
    for slug in ["apple", "banana", "cherry", "banana-split"] {
        server.create(slug).await;
    }
    let mut terminal = attached(&server, USUAL);
    terminal.wait_for("cherry");
    terminal.keys("/ban");
    terminal.wait_for("banana-split");
    terminal.wait_gone("cherry");
    terminal.keys(ENTER);
    terminal.keys(ESCAPE);
    terminal.wait_for("cherry");
    terminal.keys("/nothing like it");
    terminal.wait_gone("apple");
    terminal.keys(ESCAPE);
    terminal.wait_for("apple");

    // A click selects: the question that comes is about what was clicked.
    for slug in ["apple", "cherry"] {
        terminal.click(slug);
        terminal.keys("x");
        terminal.wait_for(&format!("Delete {slug}?"));
        terminal.click("Cancel (n)");
        terminal.wait_gone("cannot be undone");
    }
    terminal.click("2 Invocations");
    terminal.wait_for("No invocation yet");
    terminal.keys(BACK_TAB);
    terminal.wait_for("cherry");
    // Two clicks open.
    terminal.click("cherry");
    terminal.click("cherry");
    terminal.wait_for("Never deployed");
}

#[test]
fn help_knows_what_can_be_done() {
    let home = home();
    let mut terminal = bundled(home.path(), WIDE);
    terminal.wait_for("There is no agent yet");
    terminal.keys("?");
    for text in [
        "Help",
        "Everywhere",
        "Create an agent",
        "the server in this process ends too",
    ] {
        terminal.wait_for(text);
    }
    terminal.keys("?");
    terminal.wait_gone("Everywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_is_drawn_and_the_usual_ones_are_usable() {
    let server = Castari::start().await;
    server.deploy_script("resized", "console.log('an answer')").await;
    let mut terminal = attached(&server, (200, 50));
    terminal.wait_for("resized");
    let mut size = (200_u16, 50_u16);
    while size != (1, 1) {
        terminal.resize(size.0, size.1);
        size = ((size.0 * 4 / 5).max(1), (size.1 * 4 / 5).max(1));
    }
    terminal.resize(1, 1);
    for (columns, rows) in [(3, 2), (10, 1), (1, 10), (200, 1), (20, 5), (60, 15)] {
        terminal.resize(columns, rows);
    }
    for size in [(60, 15), USUAL, (200, 50)] {
        terminal.resize(size.0, size.1);
        terminal.wait_until("it fills the screen", |screen| {
            let text = screen.contents();
            // The footer in the last line: it was drawn in this size, not in the one before.
            let footer = screen.rows(0, size.0).last().unwrap_or_default();
            text.contains("resized") && footer.contains("? help") && text.contains("● live")
        });
        terminal.keys("i");
        terminal.wait_for("What should it do?");
        terminal.keys("measure");
        terminal.keys(ENTER);
        terminal.wait_for("an answer");
        terminal.wait_for("completed in");
        terminal.keys(ESCAPE);
        terminal.wait_gone("completed in");
    }
    terminal.keys("q");
    assert_eq!(terminal.ended(SOON), 0);
    terminal.assert_restored();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_color_means_none() {
    let server = Castari::start().await;
    server.deploy_script("plain", "console.log(1)").await;
    let options = at(&server).env("NO_COLOR", "1");
    let place = server.data_dir();
    let mut terminal = Terminal::start(&castari(place.parent().unwrap(), &options, &[]), WIDE);
    terminal.wait_for("plain");
    terminal.wait_for("● live");
    let marked = terminal.look(|screen| {
        let (rows, columns) = screen.size();
        let mut marked = 0;
        for row in 0..rows {
            for cell in (0..columns).filter_map(|column| screen.cell(row, column)) {
                let colours = [cell.fgcolor(), cell.bgcolor()];
                assert_eq!(colours, [vt100::Color::Default; 2], "row {row}: {:?}", cell.contents());
                marked += u32::from(cell.inverse() || cell.bold());
            }
        }
        marked
    });
    assert!(marked > 0, "what is selected can be told without colours");
    terminal.keys("q");
    assert_eq!(terminal.ended(SOON), 0);
    terminal.assert_restored();
}
