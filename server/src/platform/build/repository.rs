//! Cloning, inside a sandbox.

use super::BuildError;

/// What git is allowed and how: nothing but the web, nothing asked, no configuration of the host's.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("GIT_ALLOW_PROTOCOL", "https:http"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    ("GIT_ASKPASS", "/bin/false"),
];

/// Clones the newest commit alone where the server can send that, and prints its id as the last line of stdout. The web
/// servers that know nothing of git can only send everything.
const SCRIPT: &str = r#"
url=$1 branch=$2
clone() { git clone --quiet --no-tags --single-branch --branch "$branch" "$@" -- "$url" /workspace; }
if ! clone --depth 1 2>/tmp/error; then
    if grep -q 'dumb http transport does not support shallow' /tmp/error; then clone; else cat /tmp/error >&2; exit 1; fi
fi || exit
git -C /workspace rev-parse HEAD && rm -rf /workspace/.git
"#;

/// The command that clones a branch into `/workspace`.
pub(super) fn clone_command(url: &str, branch: &str) -> Vec<String> {
    ["/bin/sh", "-c", SCRIPT, "clone", url, branch].map(Into::into).into()
}

/// The environment of that command.
pub(super) fn environment() -> impl Iterator<Item = (String, String)> {
    ENVIRONMENT.iter().map(|(key, value)| ((*key).into(), (*value).into()))
}

/// The commit that the command printed.
pub(super) fn commit(stdout: &str) -> Option<String> {
    let line = stdout.lines().last()?.trim();
    let is_id = line.len() >= 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| line.to_owned())
}

/// What to say of a clone that failed, from what git said.
pub(super) fn failure(stderr: &str) -> BuildError {
    let complains = |line: &&str| {
        ["fatal: ", "error: ", "remote: "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let reasons: Vec<&str> = stderr.lines().filter(complains).collect();
    let reason = if reasons.is_empty() {
        stderr.trim()
    } else {
        &reasons.join("; ")
    };
    BuildError::Failed(format!("git clone failed: {reason}"))
}
