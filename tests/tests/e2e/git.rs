//! Deploys from git repositories.

use std::path::{Path, PathBuf};
use std::process::Command;

use castari_common::agents::{AgentStatus, CreateAgent, UpdateAgent};
use castari_tests::archive::manifest;
use castari_tests::{Castari, host};
use tempfile::TempDir;

struct Repository {
    place: TempDir,
}

impl Repository {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let repository = Self { place };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    fn root(&self) -> &Path {
        self.place.path()
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(args)
            .current_dir(self.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().into()
    }

    /// Commits an agent that answers with `answer`; yields the commit's id.
    fn commit(&self, answer: &str) -> String {
        std::fs::write(self.root().join("castari.json"), manifest("index.mjs")).unwrap();
        std::fs::write(self.root().join("index.mjs"), format!("console.log('{answer}')")).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", answer]);
        self.git(&["update-server-info"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn served(&self) -> PathBuf {
        self.root().join(".git")
    }
}

/// An address that sandboxes can be let reach, where there is a network for them at all.
fn reachable() -> Option<std::net::IpAddr> {
    let address = host::own_address().filter(|_| host::has_tun());
    if address.is_none() {
        host::skip("no address but the loopback's, or /dev/net/tun cannot be opened");
    }
    address
}

async fn create(castari: &Castari, slug: &str, url: String, branch: Option<&str>) {
    let create = CreateAgent {
        name: slug.into(),
        git_repo_url: Some(url),
        git_branch: branch.map(Into::into),
        ..CreateAgent::default()
    };
    castari.client().create_agent(&create).await.unwrap();
}

#[tokio::test]
async fn a_repository_is_cloned_at_its_branch() {
    let Some(address) = reachable() else { return };
    let repository = Repository::new();
    let main = repository.commit("from main");
    repository.git(&["checkout", "--quiet", "-b", "feature/next"]);
    let next = repository.commit("from next");
    let web = host::serve_files(address, repository.served()).await;
    let castari = Castari::reaching(web).await;
    let client = castari.client();
    create(&castari, "one", format!("http://{web}/"), None).await;
    let agent = client.deploy("one", true).await.unwrap();
    assert_eq!(
        agent.status,
        AgentStatus::Active,
        "{agent:?}\n{}",
        castari.last_deploy_log("one").await
    );
    assert_eq!(agent.source_hash.as_deref(), Some(main.as_str()));
    assert_eq!(castari.invoke("one", "x").await.response_content, "from main\n");

    let change = UpdateAgent {
        git_branch: Some("feature/next".into()),
        ..UpdateAgent::default()
    };
    client.update_agent("one", &change).await.unwrap();
    let agent = client.redeploy("one", true).await.unwrap();
    assert_eq!(agent.source_hash.as_deref(), Some(next.as_str()));
    assert_eq!(castari.invoke("one", "x").await.response_content, "from next\n");

    let newer = repository.commit("newer");
    let agent = client.redeploy("one", true).await.unwrap();
    assert_eq!(agent.source_hash.as_deref(), Some(newer.as_str()));
    assert_eq!(castari.invoke("one", "x").await.response_content, "newer\n");
}

#[tokio::test]
async fn a_clone_that_fails_says_why() {
    let Some(address) = reachable() else { return };
    let repository = Repository::new();
    repository.commit("x");
    let web = host::serve_files(address, repository.served()).await;
    let castari = Castari::reaching(web).await;
    create(&castari, "no-branch", format!("http://{web}/"), Some("missing")).await;
    create(&castari, "no-repository", format!("http://{web}/nowhere/"), None).await;
    create(&castari, "no-host", "http://castari-test.invalid/x.git".into(), None).await;
    create(&castari, "secret", format!("http://user:hunter2@{web}/nowhere/"), None).await;
    // The machine's own addresses and the loopback are not for sandboxes.
    let listener = host::Listener::on(address).await;
    create(&castari, "own", format!("http://{}/x.git", listener.address), None).await;
    let local = host::Listener::on([127, 0, 0, 1].into()).await;
    create(&castari, "loopback", format!("http://{}/x.git", local.address), None).await;
    for (slug, reason) in [
        ("no-branch", "missing"),
        ("no-repository", "not found"),
        ("no-host", "castari-test.invalid"),
        ("secret", "not found"),
        ("own", "Failed to connect"),
        ("loopback", "Failed to connect"),
    ] {
        let error = castari.client().deploy(slug, true).await.unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.status, refusal.code.as_deref()), (400, Some("deploy_failed")));
        let message = refusal.detail.to_string();
        let agent = castari.client().agent(slug).await.unwrap();
        assert_eq!(agent.status_message.as_ref(), Some(&message));
        assert_eq!(agent.status, AgentStatus::Error, "{slug}");
        assert!(message.starts_with("git clone failed: "), "{slug}: {message}");
        assert!(
            message.to_lowercase().contains(&reason.to_lowercase()),
            "{slug}: {message}"
        );
        let log = castari.last_deploy_log(slug).await;
        assert!(
            !message.contains("hunter2") && !log.contains("hunter2"),
            "{message}\n{log}"
        );
    }
    assert_eq!((listener.count(), local.count()), (0, 0));
    castari.keeps(&[]).await;
}

#[tokio::test]
async fn a_repository_s_links_do_not_lead_out() {
    let Some(address) = reachable() else { return };
    let repository = Repository::new();
    repository.commit("x");
    std::fs::remove_file(repository.root().join("index.mjs")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", repository.root().join("index.mjs")).unwrap();
    repository.git(&["commit", "--quiet", "--all", "--message", "link"]);
    repository.git(&["update-server-info"]);
    let web = host::serve_files(address, repository.served()).await;
    let castari = Castari::reaching(web).await;
    create(&castari, "one", format!("http://{web}/"), None).await;
    let error = castari.client().deploy("one", true).await.unwrap_err();
    assert!(error.to_string().contains("index.mjs"), "{error}");
    assert_eq!(castari.client().agent("one").await.unwrap().status, AgentStatus::Error);
    castari.keeps(&[]).await;
}
