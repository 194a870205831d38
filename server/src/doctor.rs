//! What this machine can and cannot do for agents, each with its remedy.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::AsyncReadExt;

use crate::objects::private_dir;
use crate::sandbox::egress::Policy;
use crate::sandbox::host::{self, Host};
use crate::sandbox::{Command, Ending, Launcher, SandboxError, Spec, Workspace};

/// The first kernel with overlayfs in user namespaces.
const OLDEST_KERNEL: (u32, u32) = (5, 11);

/// The first node that agents are promised.
const OLDEST_NODE: u32 = 20;

/// How long the trial sandbox may take.
const TRIAL: Duration = Duration::from_secs(20);

/// What the trial sandbox runs: each line answers one question.
const TRIAL_SCRIPT: &str = "grep -q ' /workspace overlay ' /proc/mounts && echo overlay yes
\"$NODE\" --version | sed 's/^/node /'
npm --version 2>/dev/null | sed 's/^/npm /'
git --version 2>/dev/null | sed 's/^git version/git/'
exit 0";

/// How well something stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is there.
    Good,
    /// The platform works without it, with less.
    Limited,
    /// The platform does not work without it.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is.
    pub name: &'static str,
    /// How well it stands.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Good,
            found: found.into(),
            remedy: None,
        }
    }

    fn bad(name: &'static str, verdict: Verdict, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            verdict,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Looks at the machine, and makes a sandbox in `work_dir`, an empty directory that will be this user's alone. `program`
/// is this program's own file.
pub async fn examine(program: &Path, work_dir: &Path) -> Vec<Finding> {
    let mut findings = vec![kernel(), user_namespaces()];
    findings.extend(trial(program, work_dir).await);
    findings.extend([tun(), fuse(), cgroups(), seccomp()]);
    findings
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn kernel() -> Finding {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST_KERNEL {
        return Finding::good("kernel", format!("Linux {release}"));
    }
    Finding::bad(
        "kernel",
        Verdict::Missing,
        format!("Linux {release}"),
        "install Linux 5.11 or newer",
    )
}

fn user_namespaces() -> Finding {
    const NAME: &str = "user namespaces";
    if read("/proc/sys/user/max_user_namespaces").is_some_and(|max| max == "0") {
        let remedy = "sudo sysctl user.max_user_namespaces=15000";
        return Finding::bad(NAME, Verdict::Missing, "switched off", remedy);
    }
    if geteuid().is_root() {
        return Finding::good(NAME, "allowed");
    }
    for (file, off, remedy) in [
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "sudo sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for castari with `userns,`",
        ),
    ] {
        if read(file).is_some_and(|value| value == off) {
            return Finding::bad(
                NAME,
                Verdict::Missing,
                format!("only root may make them ({file} is {off})"),
                remedy,
            );
        }
    }
    Finding::good(NAME, "allowed for ordinary users")
}

/// Makes a sandbox and looks around in it: the only sure way to know.
async fn trial(program: &Path, work_dir: &Path) -> Vec<Finding> {
    let host = match Host::look() {
        Ok(host) => host,
        Err(error) => {
            let remedy = "install Node.js 20 or newer, from your distribution or nodejs.org";
            return vec![Finding::bad("node", Verdict::Missing, error.to_string(), remedy)];
        }
    };
    match look_inside(program, work_dir, host).await {
        Ok(output) => inside(&output),
        Err(error) => {
            let remedy = "the line above on user namespaces, or the container that this runs in, which must allow \
                          clone3, mount and pivot_root in user namespaces (Docker: --security-opt seccomp=unconfined)";
            vec![Finding::bad("sandbox", Verdict::Missing, error.to_string(), remedy)]
        }
    }
}

async fn look_inside(program: &Path, work_dir: &Path, host: Host) -> Result<String, SandboxError> {
    let system = |what| move |error: io::Error| SandboxError::System { what, source: error };
    private_dir(work_dir)
        .map_err(|error| io::Error::other(error.to_string()))
        .map_err(system("prepare the trial"))?;
    let code = work_dir.join("code");
    fs::create_dir_all(&code).map_err(system("prepare the trial"))?;
    let mut env = host.env.clone();
    env.push(("NODE".into(), host.node.clone()));
    let launcher = Launcher::start(program, work_dir, host, Policy::new(Vec::new()))?;
    let identity = launcher.identity();
    std::os::unix::fs::chown(&code, Some(identity.uid), Some(identity.gid)).map_err(system("prepare the trial"))?;
    let spec = Spec {
        id: "sbx_doctor".into(),
        workspace: Workspace::Overlay("code".into()),
        binds: Vec::new(),
        scratch_bytes: 64 << 20,
    };
    let sandbox = launcher.sandbox(spec).await?;
    let command = Command {
        argv: ["/bin/sh", "-c", TRIAL_SCRIPT].map(Into::into).into(),
        env,
        cwd: "/workspace".into(),
    };
    let (process, mut streams) = sandbox.start(command).await?;
    drop(streams.stdin);
    let mut output = String::new();
    let (ending, _) = tokio::join!(
        process.finish(tokio::time::sleep(TRIAL)),
        streams.stdout.read_to_string(&mut output)
    );
    match ending? {
        Some(Ending::Exited(0)) => Ok(output),
        _ => Err(SandboxError::Gone),
    }
}

/// What the trial sandbox said.
fn inside(output: &str) -> Vec<Finding> {
    let answer = |question: &str| {
        output
            .lines()
            .find_map(|line| line.strip_prefix(question))
            .map(str::trim)
    };
    let mut findings = vec![Finding::good("sandbox", "a sandbox was made and ran")];
    findings.push(match answer("overlay ") {
        Some(_) => Finding::good("overlayfs", "usable in sandboxes"),
        None => Finding::bad(
            "overlayfs",
            Verdict::Limited,
            "not usable: code is copied into each sandbox, which is slower",
            "a kernel with CONFIG_OVERLAY_FS, and a data directory on a file system that overlayfs takes",
        ),
    });
    findings.push(match answer("node ") {
        Some(version) if major(version) >= OLDEST_NODE => Finding::good("node", version),
        Some(version) => Finding::bad("node", Verdict::Missing, version, "install Node.js 20 or newer"),
        None => Finding::bad(
            "node",
            Verdict::Missing,
            "does not start inside a sandbox",
            "install Node.js under /usr",
        ),
    });
    findings.push(match answer("npm ") {
        Some(version) => Finding::good("npm", version),
        None => Finding::bad(
            "npm",
            Verdict::Limited,
            "not found: agents with packages cannot be built",
            "install npm",
        ),
    });
    findings.push(match answer("git ") {
        Some(version) => Finding::good("git", version),
        None => Finding::bad(
            "git",
            Verdict::Limited,
            "not found: repositories cannot be cloned",
            "install git under /usr",
        ),
    });
    findings
}

fn major(version: &str) -> u32 {
    version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or(0)
}

fn tun() -> Finding {
    match host::tun() {
        Ok(_) => Finding::good("TUN", "/dev/net/tun can be opened: sandboxes have a network"),
        Err(error) => Finding::bad(
            "TUN",
            Verdict::Limited,
            format!("/dev/net/tun cannot be opened ({error}): sandboxes have no network, so npm and git cannot fetch"),
            "sudo modprobe tun; sudo chmod 666 /dev/net/tun (the mode that most distributions give it)",
        ),
    }
}

fn fuse() -> Finding {
    match fs::File::options().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Finding::good("FUSE", "/dev/fuse can be opened"),
        Err(error) => Finding::bad(
            "FUSE",
            Verdict::Limited,
            format!("/dev/fuse cannot be opened ({error}): buckets cannot be mounted"),
            "sudo modprobe fuse; sudo chmod 666 /dev/fuse (the mode that most distributions give it)",
        ),
    }
}

/// Which controllers this process could hand to sandboxes.
fn cgroups() -> Finding {
    const NAME: &str = "cgroups";
    let own = read("/proc/self/cgroup").unwrap_or_default();
    let unified = own.lines().find_map(|line| line.strip_prefix("0::"));
    if let Some(path) = unified {
        let dir = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
        let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        if controllers.contains("memory") && is_writable(&dir) {
            return Finding::good(NAME, format!("v2, delegated: {}", controllers.trim()));
        }
    }
    let legacy = own
        .lines()
        .find_map(|line| line.split_once(":memory:"))
        .map(|(_, path)| path);
    if let Some(path) = legacy {
        let dir = Path::new("/sys/fs/cgroup/memory").join(path.trim_start_matches('/'));
        if is_writable(&dir) {
            return Finding::good(
                NAME,
                "v1, with the memory controller; each sandbox watches its own memory as well",
            );
        }
    }
    Finding::bad(
        NAME,
        Verdict::Limited,
        "not delegated to this user: sandboxes watch their own memory instead",
        "run under systemd with Delegate=yes: systemd-run --user --scope -p Delegate=yes castari",
    )
}

fn is_writable(dir: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    access(dir, AccessFlags::W_OK).is_ok()
}

fn seccomp() -> Finding {
    match read("/proc/sys/kernel/seccomp/actions_avail") {
        Some(actions) => Finding::good("seccomp", actions),
        None => Finding::bad(
            "seccomp",
            Verdict::Limited,
            "not in this kernel",
            "a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}
