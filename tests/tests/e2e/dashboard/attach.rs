//! Which server the dashboard shows, and what it says where it cannot.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use castari_tests::terminal::{Terminal, castari};
use castari_tests::{Castari, Options, process, run};

use super::{USUAL, alone, at, attached, home};

const END: Duration = Duration::from_secs(10);

/// Starts the dashboard where it cannot be shown; yields what it says instead.
fn refused(home: &Path, options: &Options) -> String {
    let mut terminal = Terminal::start(&castari(home, options, &[]), USUAL);
    assert_eq!(terminal.ended(END), 1, "{}", terminal.screen());
    terminal.assert_restored();
    let raw = terminal.raw();
    assert!(!raw.contains('\x1b'), "{raw:?}");
    // On the screen, lines are cut where it ends.
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_here_is_shown_with_the_owners_key() {
    let server = Castari::start().await;
    server.deploy_script("already-here", "console.log(1)").await;
    let mut terminal = attached(&server, USUAL);
    terminal.wait_for("already-here");
    terminal.wait_for("● live");
    assert!(!terminal.shows("bundled"), "{}", terminal.screen());
    assert!(process::descendants(terminal.pid()).is_empty(), "it starts no server");
    terminal.keys("q");
    assert_eq!(terminal.ended(END), 0);
    terminal.assert_restored();
    server.client().me().await.expect("the server goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_the_environment_names_is_shown() {
    let server = Castari::start().await;
    server.create("named").await;
    let home = home();
    let named = Options::default().env("CASTARI_API_URL", server.url());
    let said = refused(home.path(), &named);
    assert!(said.contains("CASTARI_API_KEY is not"), "{said}");

    let wrong = named.clone().env("CASTARI_API_KEY", "cast_00000000_wrong");
    let mut terminal = Terminal::start(&castari(home.path(), &wrong, &[]), USUAL);
    terminal.wait_for("key refused");
    terminal.wait_for("The server refuses the API key");
    terminal.keys("q");
    assert_eq!(terminal.ended(END), 0);

    let right = named.env("CASTARI_API_KEY", server.key());
    let terminal = Terminal::start(&castari(home.path(), &right, &[]), USUAL);
    terminal.wait_for("named");
    terminal.wait_for("● live");
    assert!(!home.path().join("share").exists(), "no data directory is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_directory_says_what_to_name() {
    let server = Castari::start().await;
    let home = home();
    let options = Options::default().env("CASTARI_LISTEN", server.address());
    let said = refused(home.path(), &options);
    assert!(said.contains("owner.key") && said.contains("--data-dir"), "{said}");

    let data_dir = home.path().join("share/castari");
    std::fs::create_dir_all(&data_dir).unwrap();
    std::fs::write(data_dir.join("owner.key"), "cast_00000000_wrong\n").unwrap();
    let said = refused(home.path(), &options);
    assert!(said.contains("does not take the key in"), "{said}");
}

#[test]
fn something_else_on_the_port_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        }
    });
    let home = home();
    let said = refused(home.path(), &Options::default().env("CASTARI_LISTEN", &address));
    assert!(
        said.contains("not castari") && said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
}

#[test]
fn something_silent_on_the_port_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let home = home();
    let said = refused(home.path(), &Options::default().env("CASTARI_LISTEN", &address));
    assert!(said.contains(&address), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_it_says_so() {
    let home = home();
    let output = run(home.path(), &alone(), &[]);
    let (out, said) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    assert!(!output.status.success());
    assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
    assert!(said.contains("terminal") && said.contains("castari serve"), "{said}");
    assert!(!home.path().join("share").exists(), "no server was started for it");

    // The same where a terminal is there, but the output goes elsewhere.
    let server = Castari::start().await;
    for (input, output) in [("", ">out 2>err"), ("</dev/null", "2>err")] {
        let mut shell = std::process::Command::new("sh");
        let program = castari(home.path(), &at(&server), &[]);
        shell
            .arg("-c")
            .arg(format!("{:?} {input} {output}", program.get_program()))
            .current_dir(home.path())
            .stdin(Stdio::null());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut terminal = Terminal::start(&shell, USUAL);
        assert_eq!(terminal.ended(END), 1, "{input} {output}\n{}", terminal.screen());
        assert_eq!(terminal.screen().trim(), "");
        let said = std::fs::read_to_string(home.path().join("err")).unwrap();
        assert!(said.contains("terminal"), "{said}");
    }
    let out = std::fs::read_to_string(home.path().join("out")).unwrap();
    assert_eq!(out, "", "no sequences go into a file");
}
