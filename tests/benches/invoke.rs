//! What an invocation costs, side by side in one run: bare node, bubblewrap where it is installed, our sandbox alone, our
//! sandbox with node, and an invocation over HTTP that is recorded in SQLite.
//!
//! `cargo bench` prints a table. The subjects take turns, so that whatever else the machine does hits them alike.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run is to say so at once")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use castari_common::invocations::Invoke;
use castari_server::sandbox::egress::Policy;
use castari_server::sandbox::host::Host;
use castari_server::sandbox::{self, Ending, Launcher, Spec, Workspace};
use castari_tests::{Castari, program};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How often each subject runs.
const ROUNDS: usize = 60;

/// How many rounds come first and do not count.
const WARM_UP: usize = 5;

const PROMPT: &str = "hello";

/// Reads its prompt and answers with it.
const AGENT: &str = "const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
console.log(Buffer.concat(chunks).toString());
";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let subjects = runtime.block_on(measure());
    print(&subjects);
}

/// What was measured of one subject.
struct Subject {
    name: &'static str,
    times: Vec<Duration>,
}

impl Subject {
    fn quantile(&self, per_cent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times[(times.len() - 1) * per_cent / 100]
    }
}

async fn measure() -> Vec<Subject> {
    let work = tempfile::tempdir().unwrap();
    let agent = work.path().join("agent.mjs");
    std::fs::write(&agent, AGENT).unwrap();
    let ours = Ours::new(work.path());
    let server = Castari::start().await;
    server.deploy_script("bench", AGENT).await;
    let bubblewrap = find("bwrap");
    let mut subjects: Vec<Subject> = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        let mut results = vec![
            ("node agent.mjs", bare_node(&agent)),
            ("sandbox: true", ours.run_true().await),
        ];
        if let Some(bubblewrap) = &bubblewrap {
            results.push(("bubblewrap: true", bubblewrapped(bubblewrap, &[], "/usr/bin/true")));
            let node = find("node").unwrap();
            results.push((
                "bubblewrap: node agent.mjs",
                bubblewrapped(bubblewrap, &[&agent], node.to_str().unwrap()),
            ));
        }
        results.push(("sandbox: node agent.mjs", ours.run_agent().await));
        results.push(("HTTP invoke", invoked(&server).await));
        for (name, time) in results.into_iter().filter(|_| round >= WARM_UP) {
            match subjects.iter_mut().find(|subject| subject.name == name) {
                Some(subject) => subject.times.push(time),
                None => subjects.push(Subject {
                    name,
                    times: vec![time],
                }),
            }
        }
    }
    subjects
}

fn print(subjects: &[Subject]) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let reference = milliseconds(subjects[0].quantile(50));
    println!("{:<28} {:>9} {:>9} {:>12}", "subject", "p50 ms", "p99 ms", "p50 / node");
    for subject in subjects {
        let (half, most) = (milliseconds(subject.quantile(50)), milliseconds(subject.quantile(99)));
        println!(
            "{:<28} {half:>9.2} {most:>9.2} {:>12.2}",
            subject.name,
            half / reference
        );
    }
    let of = |name| {
        subjects
            .iter()
            .find(|subject| subject.name == name)
            .map(|subject| milliseconds(subject.quantile(50)))
    };
    match of("bubblewrap: true").zip(of("sandbox: true")) {
        Some((theirs, ours)) => println!("\nsandbox / bubblewrap, both `true`: {:.2}", ours / theirs),
        None => println!("\nbubblewrap is not installed: no comparison with it"),
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// Runs a command that is given the prompt, to the end of its output.
fn run(command: &mut Command) -> Duration {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // One that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(PROMPT.as_bytes());
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(child.wait().unwrap().success());
    start.elapsed()
}

fn bare_node(agent: &Path) -> Duration {
    run(Command::new(find("node").unwrap()).arg(agent))
}

/// bubblewrap with the same isolation: all namespaces, a tmpfs root, the system read-only, a fresh /proc, /dev and /tmp.
fn bubblewrapped(bubblewrap: &Path, seen: &[&Path], program: &str) -> Duration {
    let mut command = Command::new(bubblewrap);
    command.args([
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
    ]);
    command.args(["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]);
    for system in ["/usr", "/etc/ssl/certs", "/etc/alternatives", "/etc/ld.so.cache"] {
        command.args(["--ro-bind-try", system, system]);
    }
    for (link, to) in [
        ("/bin", "usr/bin"),
        ("/lib", "usr/lib"),
        ("/lib64", "usr/lib64"),
        ("/sbin", "usr/sbin"),
    ] {
        command.args(["--symlink", to, link]);
    }
    command.args([
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/home/agent",
        "--dir",
        "/workspace",
    ]);
    for path in seen {
        let inside = Path::new("/workspace").join(path.file_name().unwrap());
        command.arg("--ro-bind").arg(path).arg(inside);
    }
    command.args(["--chdir", "/workspace", program]);
    command.args(seen.iter().map(|path| path.file_name().unwrap()));
    run(&mut command)
}

async fn invoked(server: &Castari) -> Duration {
    let start = Instant::now();
    let invoke = Invoke {
        prompt: PROMPT.into(),
        session_id: None,
    };
    let answer = server.client().invoke("bench", &invoke).await.unwrap();
    assert_eq!(answer.response_content.trim_end(), PROMPT);
    start.elapsed()
}

/// Our sandboxes, without a server.
struct Ours {
    launcher: Launcher,
}

impl Ours {
    fn new(work: &Path) -> Self {
        let host = Host::look().unwrap();
        let launcher = Launcher::start(program(), work, host, Policy::new(Vec::new())).unwrap();
        let identity = launcher.identity();
        let code = work.join("code");
        std::fs::create_dir(&code).unwrap();
        std::fs::write(code.join("agent.mjs"), AGENT).unwrap();
        for path in [code.clone(), code.join("agent.mjs")] {
            std::os::unix::fs::chown(path, Some(identity.uid), Some(identity.gid)).unwrap();
        }
        Self { launcher }
    }

    async fn run_true(&self) -> Duration {
        self.run(vec!["/usr/bin/true".into()]).await
    }

    async fn run_agent(&self) -> Duration {
        self.run(vec![self.launcher.host().node.clone(), "agent.mjs".into()])
            .await
    }

    /// From nothing to nothing: a sandbox is made, runs a command, and is gone.
    async fn run(&self, argv: Vec<String>) -> Duration {
        let start = Instant::now();
        let spec = Spec {
            id: "sbx_bench".into(),
            workspace: Workspace::Overlay("code".into()),
            binds: Vec::new(),
            scratch_bytes: 64 << 20,
        };
        let sandbox = self.launcher.sandbox(spec).await.unwrap();
        let command = sandbox::Command {
            argv,
            env: self.launcher.host().env.clone(),
            cwd: "/workspace".into(),
        };
        let (process, mut streams) = sandbox.start(command).await.unwrap();
        if let Some(mut stdin) = streams.stdin.take() {
            let _ = stdin.write_all(PROMPT.as_bytes()).await;
        }
        let mut output = String::new();
        let deadline = Duration::from_secs(30);
        let (ending, _) = tokio::join!(process.finish(deadline), streams.stdout.read_to_string(&mut output));
        assert_eq!(ending.unwrap(), Some(Ending::Exited(0)));
        start.elapsed()
    }
}
