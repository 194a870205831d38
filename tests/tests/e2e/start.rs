//! The first start, later ones, and what stops one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use castari_tests::{Castari, Options, run};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_first_start_makes_a_private_data_directory_and_the_owner() {
    let mut castari = Castari::start().await;
    let data_dir = castari.data_dir();
    assert_eq!(mode(&data_dir), 0o700);
    assert_eq!(mode(&data_dir.join("owner.key")), 0o600);
    for name in ["uploads", "code", "logs", "files", "staging"] {
        assert_eq!(mode(&data_dir.join(name)), 0o700, "{name}");
    }
    let key = castari.key().to_owned();
    let (prefix, secret) = key.rsplit_once('_').unwrap();
    assert!(
        prefix.len() == 13 && prefix.starts_with("cast_") && secret.len() >= 32,
        "{key}"
    );
    let me = castari.client().me().await.unwrap();
    assert_eq!(me.api_key_prefix.as_deref(), Some(prefix));

    castari.restart().await;
    assert_eq!(fs::read_to_string(data_dir.join("owner.key")).unwrap().trim(), key);
    assert_eq!(castari.client().me().await.unwrap(), me);
    assert!(!castari.log().contains(secret), "the key is in the log");
}

#[tokio::test]
async fn a_lost_owner_key_is_replaced_at_the_next_start() {
    let mut castari = Castari::start().await;
    let path = castari.data_dir().join("owner.key");
    castari.kill();
    fs::remove_file(&path).unwrap();
    castari.restart().await;
    let key = fs::read_to_string(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let client = castari_common::Client::new(castari.url(), key.trim()).unwrap();
    assert_eq!(client.me().await.unwrap().id, castari.client().me().await.unwrap().id);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_is_refused() {
    let castari = Castari::start().await;
    let data_dir = castari.data_dir();
    let data_dir = data_dir.to_str().unwrap();
    let place = tempfile::tempdir().unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir];
    let output = run(place.path(), &Options::default(), &args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        said.contains(data_dir) && said.contains("in use by another castari"),
        "{said}"
    );
    castari.client().me().await.unwrap();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = tempfile::tempdir().unwrap();
    let data_dir = place.path().join("data");
    let args = ["serve", "--listen", &address, "--data-dir", data_dir.to_str().unwrap()];
    let output = run(place.path(), &Options::default(), &args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

#[test]
fn a_faulty_setting_stops_the_start_with_its_place() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("castari.toml");
    let named = file.to_str().unwrap();
    for (content, line, of) in [
        ("# a comment\nmax_upload_mib = \"many\"\n", 2, "max_upload_mib"),
        (
            "listen = \"127.0.0.1:0\"\n\nno_such_setting = 1\n",
            3,
            "no_such_setting",
        ),
        ("listen = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:1\"\n", 2, "duplicate"),
        ("listen = \n", 1, ""),
        ("[listen]\nport = 1\n", 1, ""),
    ] {
        fs::write(&file, content).unwrap();
        let output = run(place.path(), &Options::default(), &["serve", "--config", named]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{content}");
        assert!(
            said.contains(&format!("{named}:{line}")) && said.contains(of),
            "{content}: {said}"
        );
    }
    let missing = place.path().join("missing.toml");
    let missing = missing.to_str().unwrap();
    let output = run(place.path(), &Options::default(), &["serve", "--config", missing]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains(missing), "{said}");
}

#[test]
fn a_faulty_variable_or_flag_is_named() {
    let place = tempfile::tempdir().unwrap();
    let options = Options::default().env("CASTARI_EGRESS_ALLOW", "10.0.0.0/99");
    let output = run(place.path(), &options, &["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("CASTARI_EGRESS_ALLOW") && said.contains("10.0.0.0/99"),
        "{said}"
    );
    let output = run(place.path(), &Options::default(), &["serve", "--listen", "nowhere"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("--listen") && said.contains("nowhere"),
        "{said}"
    );
}

#[test]
fn doctor_says_what_the_machine_can_do() {
    let place = tempfile::tempdir().unwrap();
    let output = run(place.path(), &Options::default(), &["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for name in [
        "user namespaces",
        "overlayfs",
        "cgroup",
        "seccomp",
        "fuse",
        "tun",
        "node",
        "git",
    ] {
        assert!(said.to_lowercase().contains(name), "{name} is missing in:\n{said}");
    }
    assert!(output.status.success(), "{said}");
    // Whatever is not good says what to do.
    let lines: Vec<&str> = said.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with("limited") || line.starts_with("MISSING") {
            assert!(
                lines.get(index + 1).is_some_and(|next| next.contains('→')),
                "{line} has no remedy:\n{said}"
            );
        }
    }
}
