//! A server that goes away and comes back.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use castari_tests::terminal::castari;
use castari_tests::{Castari, Options};

use super::{USUAL, attached};

/// A server on an address that is known before it starts.
struct Fixed(Child);

impl Fixed {
    fn start(place: &Path, address: &str) -> Self {
        let data_dir = place.join("data");
        let args = ["serve", "--listen", address, "--data-dir", data_dir.to_str().unwrap()];
        let mut child = castari(place, &Options::default(), &args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line.trim(), format!("listening on http://{address}"));
        Self(child)
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_is_told_with_its_time_and_found_again() {
    let mut server = Castari::start().await;
    server.deploy_script("before", "console.log(1)").await;
    let mut terminal = attached(&server, USUAL);
    terminal.wait_for("● live");
    terminal.wait_for("before");
    let address = server.address().to_owned();
    server.kill();
    terminal.wait_for("○ lost");
    terminal.wait_for("No answer from the server since");
    assert!(terminal.shows("before"), "what was known stays\n{}", terminal.screen());
    // It can be used meanwhile.
    terminal.keys("2");
    terminal.keys("1");
    terminal.resize(100, 30);

    let again = Fixed::start(server.data_dir().parent().unwrap(), &address);
    terminal.wait_for("● live");
    terminal.wait_gone("No answer from the server");
    server.create("after").await;
    terminal.wait_for("after");
    drop(again);
    terminal.wait_for("○ lost");
    terminal.keys("q");
    assert_eq!(terminal.ended(std::time::Duration::from_secs(5)), 0);
    terminal.assert_restored();
}
