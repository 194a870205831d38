//! The dashboard, in a terminal, as its user sees it.

#![expect(clippy::unwrap_used, reason = "in a test, what does not work is to be seen at once")]

mod attach;
mod ending;
mod first;
mod journey;
mod lost;
mod screen;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use castari_tests::archive::manifest;
use castari_tests::host::{has_tun, own_address, skip};
use castari_tests::terminal::{DOWN, ENTER, RIGHT, Terminal, castari};
use castari_tests::{Castari, Options};
use tempfile::TempDir;

/// Room for everything.
const WIDE: (u16, u16) = (120, 36);
/// What most terminals open with.
const USUAL: (u16, u16) = (80, 24);

/// A home of its own for a dashboard with a bundled server.
fn home() -> TempDir {
    tempfile::Builder::new().prefix("castari-tui-").tempdir().unwrap()
}

/// Options for a server that listens where no other does.
fn alone() -> Options {
    Options::default().env("CASTARI_LISTEN", "127.0.0.1:0")
}

/// The same, for one whose sandboxes may reach an address of this machine.
fn reaching(address: SocketAddr) -> Options {
    let allowed = format!("{}/32:{}", address.ip(), address.port());
    alone().env("CASTARI_EGRESS_ALLOW", &allowed)
}

/// The dashboard with the server that it starts by itself.
fn bundled(home: &Path, size: (u16, u16)) -> Terminal {
    Terminal::start(&castari(home, &alone(), &[]), size)
}

/// The dashboard on a server that runs already.
fn attached(server: &Castari, size: (u16, u16)) -> Terminal {
    Terminal::start(&castari(server.data_dir().parent().unwrap(), &at(server), &[]), size)
}

/// Options that name the address and the directory of a server.
fn at(server: &Castari) -> Options {
    let data_dir = server.data_dir();
    Options::default()
        .env("CASTARI_LISTEN", server.address())
        .env("CASTARI_DATA_DIR", data_dir.to_str().unwrap())
}

/// A folder with an agent in it.
fn folder(home: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = home.join(name);
    for (path, content) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// A folder with an agent that is one module.
fn script(home: &Path, name: &str, code: &str) -> PathBuf {
    folder(
        home,
        name,
        &[("castari.json", &manifest("index.mjs")), ("index.mjs", code)],
    )
}

/// Types a prompt for the agent that is selected and sends it.
fn invoke(terminal: &mut Terminal, prompt: &str) {
    terminal.keys("i");
    terminal.wait_for("What should it do?");
    terminal.keys(prompt);
    terminal.keys(ENTER);
}

/// Opens the form and goes to the first field of a kind: folder, git, starter.
fn open_form(terminal: &mut Terminal, kind: usize) {
    terminal.keys("n");
    terminal.wait_for("New agent");
    terminal.keys(&RIGHT.repeat(kind));
    terminal.keys(DOWN);
}

/// Makes an agent of a folder, up to the start of its deploy.
fn create_from_folder(terminal: &mut Terminal, folder: &Path, name: &str) {
    open_form(terminal, 0);
    terminal.paste(folder.to_str().unwrap());
    terminal.wait_for("✓ castari.json");
    // The form suggests what the manifest says: it is replaced.
    terminal.keys(&format!("{DOWN}\x15{name}"));
    terminal.wait_for(name);
    terminal.keys(ENTER);
}

/// The address of this machine that sandboxes may reach when told so; `None` where there is none.
fn reachable() -> Option<std::net::IpAddr> {
    let address = own_address().filter(|_| has_tun());
    if address.is_none() {
        skip("the machine has no address of its own, or no TUN device");
    }
    address
}
