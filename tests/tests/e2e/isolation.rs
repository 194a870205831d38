//! What can be seen and reached from inside a sandbox, and what of it is seen from outside.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use castari_common::invocations::{InvocationEvent, Invoke};
use castari_tests::{Castari, Options, host, process, within};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

/// Tries what its prompt asks for, says what came of it as one line of JSON, and stays until it is ended.
const PROBE: &str = r#"
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import dgram from "node:dgram";
import { spawnSync } from "node:child_process";
import { text } from "node:stream/consumers";

const ask = JSON.parse(await text(process.stdin));
const attempt = act => { try { return { done: String(act() ?? "").slice(0, 200) } } catch (error) { return { failed: error.code ?? String(error) } } };
const map = (keys, act) => Object.fromEntries(keys.map(key => [key, act(key)]));
const run = (...argv) => { const { status, signal, stdout, error } = spawnSync(argv[0], argv.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }); return { status, signal, stdout, error: error?.code ?? null } };
const connect = ([address, port]) => new Promise(done => {
    const socket = net.connect({ host: address, port });
    const end = said => { socket.destroy(); done(said) };
    socket.setTimeout(20000, () => end("TIMEOUT")).on("connect", () => end("CONNECTED")).on("error", error => end(error.code ?? String(error)));
});
const pids = () => fs.readdirSync("/proc").filter(name => /^\d+$/.test(name));
const status = fs.readFileSync("/proc/self/status", "utf8");

const report = {
    descriptors: fs.readdirSync("/proc/self/fd").map(fd => { try { return `${fd} ${fs.readlinkSync(`/proc/self/fd/${fd}`)}` } catch { return "" } }).filter(Boolean),
    childDescriptors: run("/bin/sh", "-c", "ls /proc/self/fd").stdout.trim().split(/\s+/),
    processes: pids().map(pid => attempt(() => fs.readFileSync(`/proc/${pid}/comm`, "utf8").trim()).done ?? "hidden"),
    status: Object.fromEntries(status.trim().split("\n").map(line => line.split(/:\s*/))),
    ids: [process.getuid(), process.geteuid(), process.getgid(), process.getegid()],
    hostname: os.hostname(),
    env: Object.keys(process.env).sort(),
    envText: JSON.stringify(process.env),
    mounts: fs.readFileSync("/proc/self/mountinfo", "utf8"),
    root: fs.readdirSync("/").sort(),
    devices: fs.readdirSync("/dev").sort(),
    etc: fs.readdirSync("/etc").sort(),
    reads: map(ask.reads, path => attempt(() => fs.statSync(path).isDirectory() ? fs.readdirSync(path) : fs.readFileSync(path))),
    writes: map(ask.writes, path => attempt(() => fs.writeFileSync(path, "x"))),
    killInit: attempt(() => process.kill(1, "SIGKILL")),
    init: map(["environ", "mem", "fd", "root", "cwd", "maps"], name => attempt(() => name === "fd" || name === "root" || name === "cwd" ? fs.readdirSync(`/proc/1/${name}`) : fs.closeSync(fs.openSync(`/proc/1/${name}`)))),
    userNamespace: run("/usr/bin/unshare", "--user", "true"),
    mount: run("/bin/mount", "-t", "tmpfs", "none", "/tmp"),
    setHostname: run("/bin/hostname", "changed"),
    interfaces: Object.keys(os.networkInterfaces()).sort(),
};
const udp = dgram.createSocket("udp4");
await new Promise(done => udp.send("datagram", ask.udp[1], ask.udp[0], () => { udp.close(); done() }));
report.connections = Object.fromEntries(await Promise.all(ask.connections.map(async target => [target.join(" "), await connect(target)])));
process.stdout.write(JSON.stringify(report) + "\n");
setInterval(() => {}, 1000);
"#;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    descriptors: Vec<String>,
    child_descriptors: Vec<String>,
    processes: Vec<String>,
    status: BTreeMap<String, String>,
    ids: [u32; 4],
    hostname: String,
    env: Vec<String>,
    env_text: String,
    mounts: String,
    root: Vec<String>,
    devices: Vec<String>,
    etc: Vec<String>,
    reads: BTreeMap<String, Attempt>,
    writes: BTreeMap<String, Attempt>,
    kill_init: Attempt,
    init: BTreeMap<String, Attempt>,
    user_namespace: Value,
    mount: Value,
    set_hostname: Value,
    interfaces: Vec<String>,
    connections: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Attempt {
    Done(String),
    Failed(String),
}

const NOT_FOR_AGENTS: &str = "not-for-agents";

/// Variables of the server's that no agent has any business with.
pub fn with_secrets(options: Options) -> Options {
    [
        "CASTARI_API_KEY",
        "ANTHROPIC_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "SSH_AUTH_SOCK",
        "LD_PRELOAD_X",
    ]
    .into_iter()
    .fold(options, |options, name| options.env(name, NOT_FOR_AGENTS))
}

/// Looks at a sandbox of this server from both sides. `has_network` is whether sandboxes of it have one.
pub async fn assert_isolated(castari: &Castari, has_network: bool) {
    let data_dir = castari.data_dir();
    std::fs::write(data_dir.join("marker"), NOT_FOR_AGENTS).unwrap();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let loopback = host::Listener::on(Ipv4Addr::LOCALHOST.into()).await;
    let own_address = host::own_address().unwrap_or(Ipv4Addr::LOCALHOST.into());
    let own = host::Listener::on(own_address).await;
    let datagrams = UdpSocket::bind((own_address, 0)).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    let server_port: u16 = castari.address().rsplit_once(':').unwrap().1.parse().unwrap();

    castari.deploy_script("probe", PROBE).await;
    let prompt = json!({
        "reads": [
            data_dir, data_dir.join("marker"), data_dir.join("owner.key"), data_dir.join("castari.db"), elsewhere.path(),
            "/etc/shadow", "/etc/ssh", "/root", "/root/.ssh", "/home", "/var", "/var/run", "/run", "/sys", "/boot", "/mnt",
            "/proc/kcore", "/proc/1/environ", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/net/tun", "/dev/fuse",
            "/etc/ssl/private", "/usr/lib/../../etc/shadow", "/proc/self/root/etc/shadow", "/proc/1/root/etc/shadow",
            format!("/proc/self/cwd/../../../../{}", data_dir.join("marker").display()),
        ],
        "writes": [
            "/x", "/usr/x", "/usr/bin/node", "/bin/x", "/lib/x", "/etc/x", "/etc/passwd", "/etc/resolv.conf", "/dev/x",
            "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/user/max_user_namespaces",
            "/proc/sys/kernel/core_pattern", "/proc/1/oom_score_adj", "/opt/x", "/sbin/x",
        ],
        "udp": [own_address, datagrams.local_addr().unwrap().port()],
        "connections": [
            ["127.0.0.1", loopback.address.port()], ["127.0.0.1", server_port], ["localhost", loopback.address.port()],
            ["0.0.0.0", loopback.address.port()], ["::1", loopback.address.port()],
            ["::ffff:127.0.0.1", loopback.address.port()], ["127.1.2.3", loopback.address.port()],
            [own_address, own.address.port()], [format!("::ffff:{own_address}"), own.address.port()],
            [own_address, 22], ["169.254.169.254", 80], ["169.254.170.2", 80], ["10.0.0.1", 80], ["10.0.0.53", 53],
            ["172.16.0.1", 80], ["192.168.0.1", 80], ["100.64.0.1", 80], ["224.0.0.1", 80], ["240.0.0.1", 80],
            ["255.255.255.255", 80], ["fd00::1", 80], ["fe80::1", 80], ["fd00:ec2::254", 80], ["::ffff:169.254.169.254", 80],
            ["64:ff9b::a9fe:a9fe", 80], ["2002:a9fe:a9fe::1", 80],
            ["localtest.me", loopback.address.port()], ["169.254.169.254.nip.io", 80], ["metadata.google.internal", 80],
        ],
    });
    let invoke = Invoke {
        prompt: prompt.to_string(),
        session_id: None,
    };
    let mut stream = Box::pin(castari.client().stream("probe", &invoke).await.unwrap());
    let mut text = String::new();
    while !text.ends_with('\n') {
        match within("the probe reports", Duration::from_secs(60), stream.next())
            .await
            .unwrap()
            .unwrap()
        {
            InvocationEvent::Output(piece) => text.push_str(&piece),
            InvocationEvent::Start(_) => {}
            other => panic!("{other:?}\n{text}"),
        }
    }
    let report: Report = serde_json::from_str(&text).unwrap();

    assert_files(&report, &data_dir.display().to_string());
    assert_rights(&report);
    assert_network(&report, has_network);
    assert_eq!((loopback.count(), own.count()), (0, 0), "{:?}", report.connections);
    assert!(datagrams.recv(&mut [0; 64]).is_err(), "a datagram came out");
    assert_outside(castari);
    drop(stream);
}

fn assert_files(report: &Report, data_dir: &str) {
    for (path, attempt) in &report.reads {
        let Attempt::Failed(code) = attempt else {
            // Empty mount points and directories tell nothing.
            assert!(
                matches!(attempt, Attempt::Done(text) if text.is_empty() || path == "/home" && text == "agent"),
                "{path}: {attempt:?}"
            );
            continue;
        };
        assert!(["ENOENT", "EACCES", "EPERM"].contains(&code.as_str()), "{path}: {code}");
    }
    for (path, attempt) in &report.writes {
        let is_refused =
            matches!(attempt, Attempt::Failed(code) if ["EROFS", "EACCES", "EPERM", "ENOENT"].contains(&code.as_str()));
        assert!(is_refused, "{path}: {attempt:?}");
    }
    assert!(
        !report.mounts.contains(data_dir),
        "the host's paths are told:\n{}",
        report.mounts
    );
    for outside in ["root", "var", "sys", "run", "boot", "mnt", "work"] {
        assert!(!report.root.iter().any(|name| name == outside), "{:?}", report.root);
    }
    let devices = [
        "fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero",
    ];
    assert_eq!(report.devices, devices);
    for secret in ["shadow", "ssh", "gshadow", "machine-id", "fstab", "sudoers"] {
        assert!(!report.etc.iter().any(|name| name == secret), "{:?}", report.etc);
    }
    assert!(!report.env_text.contains(NOT_FOR_AGENTS), "{}", report.env_text);
    let own = [
        "CASTARI_AGENT",
        "CASTARI_INVOCATION_ID",
        "CASTARI_MAX_TURNS",
        "CASTARI_MODEL",
        "CASTARI_SESSION_ID",
    ];
    let castari: Vec<&String> = report.env.iter().filter(|name| name.starts_with("CASTARI")).collect();
    assert_eq!(castari, own);
    for name in &report.env {
        let is_known = name.starts_with("CASTARI_")
            || name.contains("CERT")
            || name.contains("CA_")
            || name.contains("CAINFO")
            || name.to_lowercase().ends_with("cafile")
            || ["HOME", "LANG", "PATH", "TMPDIR", "USER"].contains(&name.as_str());
        assert!(is_known, "{name}");
    }
    assert!(
        report.env_text.contains("\"HOME\":\"/home/agent\""),
        "{}",
        report.env_text
    );
    assert_ne!(
        report.hostname,
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim()
    );
}

fn assert_rights(report: &Report) {
    assert_eq!(report.processes.len(), 2, "{:?}", report.processes);
    assert!(
        report.processes.contains(&"castari-init".into()) && report.processes.contains(&"node".into()),
        "{report:?}"
    );
    assert!(report.ids.iter().all(|id| *id != 0), "{:?}", report.ids);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(report.status[set], "0000000000000000", "{set}");
    }
    assert_eq!(report.status["NoNewPrivs"], "1");
    assert_eq!(
        report.status["Pid"], report.status["NSpid"],
        "it sees itself in its own namespace alone"
    );

    // What node opens for itself: its event loop's, never a file or a socket of the host.
    for open in &report.descriptors {
        let (number, target) = open.split_once(' ').unwrap();
        let is_own = target.starts_with("pipe:[") || target.starts_with("anon_inode:") || target == "/dev/null";
        assert!(is_own, "{:?}", report.descriptors);
        assert!(
            number.parse::<u32>().unwrap() > 2 || target.starts_with("pipe:["),
            "{:?}",
            report.descriptors
        );
    }
    // The fourth is the directory that `ls` reads.
    assert_eq!(report.child_descriptors, ["0", "1", "2", "3"]);

    // A signal to the init may be sent, and does nothing: the report would not be here.
    let _ = &report.kill_init;
    for (name, attempt) in &report.init {
        assert!(
            matches!(attempt, Attempt::Failed(code) if code == "EACCES" || code == "EPERM"),
            "/proc/1/{name}: {attempt:?}"
        );
    }
    for (name, outcome) in [
        ("unshare", &report.user_namespace),
        ("mount", &report.mount),
        ("hostname", &report.set_hostname),
    ] {
        assert_ne!(outcome["status"], 0, "{name}: {outcome}");
    }
}

fn assert_network(report: &Report, has_network: bool) {
    for (target, said) in &report.connections {
        let codes = [
            "ECONNREFUSED",
            "EHOSTUNREACH",
            "ENETUNREACH",
            "EACCES",
            "EADDRNOTAVAIL",
            "EINVAL",
            "ENOTFOUND",
            "EAI_AGAIN",
            "ECONNRESET",
            "EPERM",
        ];
        assert!(
            codes.contains(&said.as_str()),
            "{target}: {said}\n{:#?}",
            report.connections
        );
    }
    let interfaces: &[&str] = if has_network { &["egress", "lo"] } else { &["lo"] };
    assert_eq!(report.interfaces, interfaces);
}

/// Nothing of a sandbox is root, nothing of it can become anything, and only its stdio leads anywhere.
fn assert_outside(castari: &Castari) {
    let below = process::descendants(castari.pid());
    let of_sandbox: Vec<u32> = below
        .into_iter()
        .filter(|pid| process::name(*pid) != "castari-spawner")
        .collect();
    assert_eq!(
        of_sandbox.len(),
        2,
        "{:?}",
        of_sandbox.iter().map(|pid| process::name(*pid)).collect::<Vec<_>>()
    );
    for pid in of_sandbox {
        for field in ["Uid", "Gid"] {
            let ids = process::status(pid, field);
            assert!(
                ids.split_whitespace().all(|id| id != "0"),
                "{field} of {}: {ids}",
                process::name(pid)
            );
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(
                process::status(pid, set),
                "0000000000000000",
                "{set} of {}",
                process::name(pid)
            );
        }
        assert_eq!(process::status(pid, "NoNewPrivs"), "1");
        if process::name(pid) == "node" {
            for open in process::descriptors(pid) {
                assert!(!open.starts_with("socket:") && !open.starts_with("/dev/net"), "{open}");
                assert!(!open.contains("castari"), "{open}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_of_the_host_can_be_reached_from_inside() {
    let castari = Castari::with(with_secrets(Options::default())).await;
    assert_isolated(&castari, host::has_tun()).await;
}

#[tokio::test]
async fn public_servers_and_allowed_addresses_are_reached() {
    if !host::has_tun() {
        return host::skip("/dev/net/tun cannot be opened");
    }
    let Some(address) = host::own_address() else {
        return host::skip("no address but the loopback's");
    };
    let (allowed, other) = (host::Listener::on(address).await, host::Listener::on(address).await);
    let castari = Castari::reaching(allowed.address).await;
    let code = "const ask = JSON.parse(await (await import('node:stream/consumers')).text(process.stdin));\
        for (const url of ask) console.log(await fetch(url).then(a => a.text()).catch(e => e.cause?.code ?? e.message))";
    castari.deploy_script("one", code).await;
    let urls = json!([
        format!("http://{}/", allowed.address),
        format!("http://{}/", other.address)
    ]);
    let answer = castari.invoke("one", &urls.to_string()).await.response_content;
    assert_eq!(answer, "secret\nECONNREFUSED\n");
    assert_eq!((allowed.count(), other.count()), (1, 0));
}

#[tokio::test]
async fn sandboxes_do_not_see_each_other() {
    let castari = Castari::start().await;
    let listening = "import net from 'node:net'; import fs from 'node:fs'; fs.writeFileSync('/tmp/mine', 'x');\
        fs.writeFileSync('/dev/shm/mine', 'x'); net.createServer().listen(4321, '0.0.0.0', () => console.log('listens'))";
    castari.deploy_script("first", listening).await;
    let looking = "import net from 'node:net'; import fs from 'node:fs';\
        const code = await new Promise(done => net.connect(4321, '127.0.0.1').on('error', e => done(e.code)).on('connect', () => done('connected')));\
        console.log(code, fs.existsSync('/tmp/mine'), fs.existsSync('/dev/shm/mine'), fs.readdirSync('/proc').filter(n => /^\\d+$/.test(n)).length)";
    castari.deploy_script("second", looking).await;
    let invoke = Invoke {
        prompt: "x".into(),
        session_id: None,
    };
    let mut first = Box::pin(castari.client().stream("first", &invoke).await.unwrap());
    for _ in 0..2 {
        first.next().await.unwrap().unwrap();
    }
    assert_eq!(
        castari.invoke("second", "x").await.response_content,
        "ECONNREFUSED false false 2\n"
    );
}

/// Runs Perl, which comes with git and can make any system call, and says what it said.
const PERL: &str = "import { spawnSync } from 'node:child_process'; import { text } from 'node:stream/consumers';\
    const { stdout, stderr } = spawnSync('/usr/bin/perl', ['-e', await text(process.stdin)], { encoding: 'utf8' });\
    console.log(stdout + stderr)";

fn has_perl() -> bool {
    let has = std::path::Path::new("/usr/bin/perl").exists() && cfg!(target_arch = "x86_64");
    if !has {
        host::skip("/usr/bin/perl makes the system calls of this test, by their numbers on x86-64");
    }
    has
}

#[tokio::test]
async fn what_the_kernel_keeps_in_no_namespace_is_closed() {
    if !has_perl() {
        return;
    }
    let castari = Castari::start().await;
    castari.deploy_script("perl", PERL).await;
    let calls = [
        ("userfaultfd", "323, 1"),
        ("io_uring_setup", "425, 4, $zeros"),
        ("keyctl", "250, 0, -3, 1"),
        ("add_key", "248, $user, $name, $name, 1, -3"),
        ("bpf", "321, 0, $zeros, 72"),
        ("perf_event_open", "298, $zeros, 0, -1, -1, 0"),
        ("socket(AF_VSOCK)", "41, 40, 1, 0"),
        ("socket(AF_PACKET)", "41, 17, 3, 0"),
        ("fsopen", "430, $tmpfs, 0"),
        ("unshare(CLONE_NEWUSER)", "272, 0x10000000"),
        ("open_tree", "428, -100, $root, 1"),
    ];
    let mut program = String::from(
        "my ($zeros, $user, $name, $tmpfs, $root) = (\"\\0\" x 256, \"user\", \"name\", \"tmpfs\", \"/\"); my $r;",
    );
    for (name, arguments) in calls {
        write!(program, "$r = syscall({arguments}); print \"{name}\\n\" if $r >= 0;").unwrap();
    }
    let open = castari.invoke("perl", &program).await.response_content;
    assert_eq!(open.trim(), "", "these are open");
}

#[tokio::test]
async fn memory_of_those_who_hide_counts() {
    if !has_perl() {
        return;
    }
    let castari = Castari::start().await;
    castari.deploy_script("perl", PERL).await;
    // PR_SET_DUMPABLE 0: its maps cannot be read any more, but what it keeps resident can.
    let program = "syscall(157, 4, 0, 0, 0, 0); my @kept;\
        for (1 .. 40) { push @kept, 'x' x (1 << 26); select(undef, undef, undef, 0.02) }\
        select(undef, undef, undef, 0.5); print scalar(@kept) << 26";
    let invoke = Invoke {
        prompt: program.into(),
        session_id: None,
    };
    match castari.client().invoke("perl", &invoke).await {
        // The call answers as soon as Perl ends, which a kill makes it do with nothing said.
        Ok(response) => assert_eq!(response.response_content.trim(), "", "bytes were taken"),
        Err(error) => assert!(error.to_string().contains("out of memory"), "{error}"),
    }
}
