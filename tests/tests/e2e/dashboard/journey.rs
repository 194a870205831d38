//! From a folder, a repository or nothing to an answer.

use std::fs;
use std::process::Command;
use std::time::Duration;

use castari_tests::host::{Gate, serve_files};
use castari_tests::terminal::{DOWN, ENTER, ESCAPE, TAB, Terminal, castari};
use vt100::Screen;

use super::{
    USUAL, WIDE, alone, bundled, create_from_folder, folder, home, invoke, open_form, reachable, reaching, script,
};

const MANIFEST: &str = r#"{"name": "Journey", "version": "1.0.0", "entrypoint": "src/index.ts", "runtime": "node"}"#;
const PACKAGE: &str = r#"{
    "name": "journey", "version": "1.0.0", "type": "module",
    "dependencies": {"is-number": "7.0.0", "@anthropic-ai/sdk": "^0.60.0"}
}"#;
/// Answers in two pieces. Between them it waits at a gate that the test opens.
const AGENT: &str = r#"
import { connect } from "node:net";
import isNumber from "is-number";
import Anthropic from "@anthropic-ai/sdk";

interface Answer { prompt: string; sdk: string }

let prompt: string = "";
for await (const piece of process.stdin) prompt += piece;
const answer: Answer = { prompt: prompt.trim(), sdk: typeof Anthropic };
console.error("the agent's own log");
console.log(`first piece for ${answer.prompt}`);
await new Promise<void>((resolve, reject) => {
    const gate = connect(GATE);
    gate.on("error", reject).on("close", () => resolve()).resume();
});
console.log(`last piece: ${answer.sdk} ${isNumber(7)}`);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_becomes_an_agent_that_answers() {
    let Some(address) = reachable() else { return };
    let gate = Gate::on(address).await;
    let (host, port) = (gate.address().ip(), gate.address().port());
    let home = home();
    let code = AGENT.replace("GATE", &format!(r#"{{ host: "{host}", port: {port} }}"#));
    let files = [
        ("castari.json", MANIFEST),
        ("package.json", PACKAGE),
        ("src/index.ts", &code),
    ];
    let folder = folder(home.path(), "journey", &files);
    let mut terminal = Terminal::start(&castari(home.path(), &reaching(gate.address()), &[]), WIDE);
    terminal.wait_for("There is no agent yet");

    // The folder's path is completed, and the form takes the name from its manifest.
    open_form(&mut terminal, 0);
    let path = folder.to_str().unwrap();
    terminal.keys(&path[..path.len() - 3]);
    terminal.keys(TAB);
    terminal.wait_for("✓ castari.json: Journey");
    terminal.keys(ENTER);
    terminal.wait_for("Deploy Journey");
    terminal.wait_until("npm says what it did", |screen| {
        let text = screen.contents();
        text.contains("npm install") && text.contains("added ")
    });
    terminal.wait_for("i invoke");
    assert!(terminal.shows("active"), "{}", terminal.screen());

    terminal.keys("i");
    terminal.wait_for("What should it do?");
    terminal.keys("the pty");
    terminal.keys(ENTER);
    terminal.wait_for("first piece for the pty");
    let waiting = gate.wait_for(1).await;
    assert!(terminal.shows("running for"), "{}", terminal.screen());
    assert!(!terminal.shows("last piece"), "{}", terminal.screen());
    drop(waiting);
    terminal.wait_for("last piece: function true");
    terminal.wait_for("✓ completed in");
    terminal.wait_for("the agent's own log");

    // Afterwards it is in the list, and all of it in its detail.
    terminal.keys(ESCAPE);
    terminal.wait_gone("✓ completed in");
    terminal.keys("2");
    terminal.wait_until("the invocation with its duration", |screen| {
        row(screen, "the pty").is_some_and(|row| row.contains("completed") && has_duration(&row))
    });
    terminal.keys(ENTER);
    for text in [
        "first piece for the pty",
        "last piece: function true",
        "the agent's own log",
        "inv_",
    ] {
        terminal.wait_for(text);
    }
    terminal.note_processes();
    terminal.keys("q");
    assert_eq!(terminal.ended(Duration::from_secs(5)), 0);
    terminal.assert_restored();
}

/// The row of a table that has a text.
fn row(screen: &Screen, text: &str) -> Option<String> {
    screen.rows(0, screen.size().1).find(|row| row.contains(text))
}

/// Whether some word is a number of milliseconds or seconds.
fn has_duration(row: &str) -> bool {
    row.split_whitespace().any(|word| {
        let number = word.trim_end_matches('s').trim_end_matches('m');
        word.ends_with('s') && number.parse::<f64>().is_ok()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_becomes_an_agent_that_answers() {
    let Some(address) = reachable() else { return };
    let home = home();
    let git = |args: &[&str]| {
        let status = Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
            .args(args)
            .current_dir(home.path())
            .status();
        assert!(status.unwrap().success(), "git {args:?}");
    };
    script(
        home.path(),
        "work",
        "process.stdin.on('data', (piece) => process.stdout.write(`cloned and asked ${piece}`));",
    );
    git(&["init", "-q", "-b", "trunk", "work"]);
    git(&["-C", "work", "add", "."]);
    git(&["-C", "work", "commit", "-q", "-m", "An agent"]);
    git(&["clone", "-q", "--bare", "work", "served/cloned.git"]);
    git(&["-C", "served/cloned.git", "update-server-info"]);
    let served = serve_files(address, home.path().join("served")).await;

    let mut terminal = Terminal::start(&castari(home.path(), &reaching(served), &[]), USUAL);
    terminal.wait_for("There is no agent yet");
    terminal.click("a git URL");
    terminal.wait_for("Repository");
    terminal.paste(&format!("http://{served}/cloned.git"));
    terminal.keys(DOWN);
    terminal.keys("trunk");
    terminal.wait_for("cloned");
    terminal.keys(ENTER);
    terminal.wait_for("i invoke");
    invoke(&mut terminal, "politely");
    terminal.wait_for("cloned and asked politely");
    terminal.wait_for("✓ completed in");
}

#[test]
fn the_starter_agent_answers() {
    let home = home();
    let mut terminal = bundled(home.path(), USUAL);
    terminal.wait_for("There is no agent yet");
    terminal.click("the starter agent");
    terminal.wait_for("New agent");
    terminal.keys(ENTER);
    terminal.wait_for("i invoke");
    invoke(&mut terminal, "hello starter");
    terminal.wait_for("✓ completed in");
    assert!(terminal.screen().matches("hello starter").count() >= 1);
}

#[test]
fn a_folder_without_a_manifest_is_no_agent() {
    let home = home();
    let mut terminal = bundled(home.path(), USUAL);
    terminal.wait_for("There is no agent yet");
    let folder = folder(home.path(), "empty", &[("readme.txt", "nothing")]);
    open_form(&mut terminal, 0);
    terminal.keys(ENTER);
    terminal.wait_for("which folder?");
    terminal.paste(folder.to_str().unwrap());
    terminal.keys(ENTER);
    terminal.wait_for("no castari.json in");
    terminal.keys(ESCAPE);
    terminal.wait_for("There is no agent yet");
}

#[test]
fn a_failed_deploy_says_why_and_is_tried_again() {
    let home = home();
    let mut terminal = Terminal::start(&castari(home.path(), &alone(), &[]), WIDE);
    terminal.wait_for("There is no agent yet");
    let folder = folder(
        home.path(),
        "broken",
        &[("castari.json", &castari_tests::archive::manifest("missing.mjs"))],
    );
    create_from_folder(&mut terminal, &folder, "Mended");
    terminal.wait_for("r try again");
    assert!(terminal.shows("missing.mjs"), "{}", terminal.screen());
    fs::write(folder.join("missing.mjs"), "console.log('mended')").unwrap();
    terminal.keys("r");
    terminal.wait_for("i invoke");
    invoke(&mut terminal, "go");
    terminal.wait_for("mended");
    terminal.wait_for("✓ completed in");
}
