//! What of the host is seen inside a sandbox: its programs and libraries, its node, its certificate authorities.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::egress::link;
use super::init::INSIDE_ID;
use super::{Bind, Layout, SandboxError};

/// Where node is found inside when the host keeps it outside `/usr`.
const NODE_PREFIX: &str = "/opt/node";

/// Where certificates and keys of authorities that the host's environment names are found inside.
const AUTHORITIES: &str = "/etc/castari/authorities";

/// The host's directories of programs and libraries. On most hosts all but the first are links into it.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// The few things of `/etc` that programs need, as far as the host has them.
const ETC: [&str; 15] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/services",
];

/// What of `/etc/ssl` is public. Its `private` is not.
const ETC_SSL: [&str; 3] = ["/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem"];

/// Variables by which a host that trusts an authority of its own says so to programs.
const AUTHORITY_VARIABLES: [&str; 9] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
];

/// The host, as sandboxes see it.
#[derive(Clone, Debug)]
pub struct Host {
    /// The read-only part of every sandbox's file system.
    pub layout: Layout,
    /// The environment that every command starts with.
    pub env: Vec<(String, String)>,
    /// The path of node inside.
    pub node: String,
}

impl Host {
    /// Looks at the host.
    ///
    /// # Errors
    /// [`SandboxError::Missing`] when there is no node.
    pub fn look() -> Result<Self, SandboxError> {
        let mut layout = Layout::default();
        for path in SYSTEM.map(Path::new) {
            match fs::read_link(path) {
                Ok(to) => layout.links.push((path.into(), to)),
                Err(_) => see(&mut layout, path),
            }
        }
        for path in ETC.iter().chain(&ETC_SSL).map(Path::new) {
            see(&mut layout, path);
        }
        layout.files = files();
        let node = find_node()?;
        let mut path = String::from("/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin");
        let node = node_inside(&node, &mut layout, &mut path);
        let mut env = vec![
            ("PATH".into(), path),
            ("HOME".into(), "/home/agent".into()),
            ("USER".into(), "agent".into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("TMPDIR".into(), "/tmp".into()),
        ];
        env.extend(authorities(&mut layout));
        Ok(Self { layout, env, node })
    }
}

/// Opens the device that TUN interfaces are made through.
///
/// # Errors
/// When the host has none, or forbids it to this user.
pub fn tun() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/net/tun")
}

/// Shows a path of the host at the same place inside, where the host has it.
fn see(layout: &mut Layout, path: &Path) {
    if let Ok(source) = fs::canonicalize(path) {
        layout.binds.push(Bind {
            source,
            target: path.into(),
        });
    }
}

/// The node that a shell would find, with every link followed.
fn find_node() -> Result<PathBuf, SandboxError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/bin".into(), "/usr/bin".into()])
        .find_map(|dir| fs::canonicalize(dir.join("node")).ok().filter(|node| node.is_file()))
        .ok_or_else(|| SandboxError::Missing {
            what: "node",
            path: PathBuf::from(&path),
            remedy: "install Node.js 20 or newer, or put its directory on PATH",
        })
}

/// Makes a node outside `/usr` visible with its npm, as installers such as nvm keep them: `PREFIX/bin/node` and
/// `PREFIX/lib/node_modules/npm`. The prefix itself may be somebody's home directory, and stays out of sight.
fn node_inside(node: &Path, layout: &mut Layout, path: &mut String) -> String {
    if node.starts_with("/usr") {
        return node.display().to_string();
    }
    let inside = Path::new(NODE_PREFIX);
    layout.binds.push(Bind {
        source: node.into(),
        target: inside.join("bin/node"),
    });
    let npm = node.parent().map(|bin| bin.join("../lib/node_modules/npm"));
    if let Some(source) = npm.and_then(|npm| fs::canonicalize(npm).ok()) {
        layout.binds.push(Bind {
            source,
            target: inside.join("lib/node_modules/npm"),
        });
        for program in ["npm", "npx"] {
            let script = format!("../lib/node_modules/npm/bin/{program}-cli.js");
            layout.links.push((inside.join("bin").join(program), script.into()));
        }
    }
    path.insert_str(0, &format!("{NODE_PREFIX}/bin:"));
    format!("{NODE_PREFIX}/bin/node")
}

/// Carries the files of the host's own certificate authorities inside, and the variables that name them.
fn authorities(layout: &mut Layout) -> Vec<(String, String)> {
    let mut carried = Vec::new();
    let mut targets = BTreeSet::new();
    for variable in AUTHORITY_VARIABLES {
        let Some(source) = env::var_os(variable).and_then(|path| fs::canonicalize(path).ok()) else {
            continue;
        };
        let name = source.to_string_lossy().trim_start_matches('/').replace('/', "-");
        let target = Path::new(AUTHORITIES).join(name);
        carried.push((variable.to_owned(), target.display().to_string()));
        if targets.insert(target.clone()) {
            layout.binds.push(Bind { source, target });
        }
    }
    carried
}

/// The files of `/etc` that are about the sandbox itself.
fn files() -> Vec<(PathBuf, String)> {
    let resolver = link::GATEWAY_V4;
    [
        (
            "/etc/passwd",
            format!(
                "agent:x:{INSIDE_ID}:{INSIDE_ID}:agent:/home/agent:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
            ),
        ),
        ("/etc/group", format!("agent:x:{INSIDE_ID}:\nnogroup:x:65534:\n")),
        ("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n".into()),
        (
            "/etc/resolv.conf",
            format!("nameserver {resolver}\noptions timeout:5 attempts:2\n"),
        ),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".into(),
        ),
        ("/etc/hostname", "sandbox\n".into()),
    ]
    .map(|(path, content)| (path.into(), content))
    .into()
}
