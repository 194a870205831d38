//! Installing an agent's packages, inside a sandbox.

use serde_json::Value;

use super::{BuildError, Tree};

/// The longest package.json or lock file that is looked at, in bytes.
const MAX_BYTES: u64 = 32 << 20;

/// How many of npm's complaints are repeated in the reason.
const COMPLAINTS: usize = 4;

/// How npm is to behave where nobody watches.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("CI", "true"),
    ("NPM_CONFIG_AUDIT", "false"),
    ("NPM_CONFIG_FUND", "false"),
    ("NPM_CONFIG_UPDATE_NOTIFIER", "false"),
    ("NPM_CONFIG_CACHE", "/tmp/npm-cache"),
    ("NPM_CONFIG_LOGLEVEL", "notice"),
];

/// The npm command that installs what a tree needs: `None` where it needs nothing.
pub(super) fn command(tree: &Tree) -> Result<Option<&'static str>, BuildError> {
    let Some(text) = tree.text("package.json", MAX_BYTES)? else {
        return Ok(None);
    };
    let package: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| BuildError::failed(format!("package.json is not valid JSON: {error}")))?;
    let needs = [
        "dependencies",
        "devDependencies",
        "optionalDependencies",
        "peerDependencies",
        "workspaces",
    ];
    let is_empty = |value: &Value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if needs.iter().filter_map(|field| package.get(field)).all(is_empty) {
        return Ok(None);
    }
    let is_locked = tree.has_file("package-lock.json")? || tree.has_file("npm-shrinkwrap.json")?;
    Ok(Some(if is_locked { "ci" } else { "install" }))
}

/// The environment of that command. Without a network npm is told so: it would try for minutes.
pub(super) fn environment(has_egress: bool) -> impl Iterator<Item = (String, String)> {
    let offline = ("NPM_CONFIG_OFFLINE", if has_egress { "false" } else { "true" });
    ENVIRONMENT
        .into_iter()
        .chain([offline])
        .map(|(key, value)| (key.into(), value.into()))
}

/// What to say of an installation that failed, from what npm said.
pub(super) fn failure(command: &str, stderr: &str) -> BuildError {
    let complaints: Vec<&str> = stderr
        .lines()
        .filter_map(|line| {
            line.strip_prefix("npm error ")
                .or_else(|| line.strip_prefix("npm ERR! "))
        })
        .filter(|line| !line.trim().is_empty() && !line.contains("complete log of this run"))
        .take(COMPLAINTS)
        .collect();
    let reason = if complaints.is_empty() {
        "see the deployment's log"
    } else {
        &complaints.join("; ")
    };
    BuildError::Failed(format!("npm {command} failed: {reason}"))
}
