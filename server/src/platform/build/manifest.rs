//! `castari.json`: what an agent says of itself.

use serde_json::{Map, Value};

use super::{BuildError, Tree};

const FILE: &str = "castari.json";

/// The longest manifest, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What node can run, with the help of the type stripper for those with a `t`.
const EXTENSIONS: [&str; 7] = ["js", "mjs", "cjs", "ts", "mts", "cts", "tsx"];

/// The runtimes that this platform has.
const RUNTIMES: [&str; 3] = ["node", "nodejs", "javascript"];

/// A checked manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The program's path from the agent's folder, without `./`.
    pub entrypoint: String,
}

impl Manifest {
    /// Reads and checks a tree's manifest, and that its entry point is there.
    pub fn read(tree: &Tree) -> Result<Self, BuildError> {
        let text = tree.text(FILE, MAX_BYTES)?.ok_or_else(|| {
            BuildError::failed(format!(
                "{FILE} is missing: the agent's folder needs one, such as {{\"name\": \"my-agent\", \"version\": \
                 \"1.0.0\", \"entrypoint\": \"src/index.ts\", \"runtime\": \"node\"}}"
            ))
        })?;
        let manifest = Self::parse(&text).map_err(BuildError::Failed)?;
        if !tree.has_file(&manifest.entrypoint)? {
            return Err(BuildError::failed(format!(
                "{FILE}: entrypoint: there is no file `{}`",
                manifest.entrypoint
            )));
        }
        Ok(manifest)
    }

    /// Whether the entry point is written with types.
    pub fn is_typed(&self) -> bool {
        let extension = self.entrypoint.rsplit('.').next().unwrap_or_default();
        extension.contains('t')
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| format!("{FILE} is not valid JSON: {error}"))?;
        let Value::Object(fields) = value else {
            return Err(format!("{FILE} must hold a JSON object"));
        };
        let mut faults = Vec::new();
        for (field, check) in [
            ("name", None),
            ("version", None),
            ("runtime", Some(check_runtime as Check)),
        ] {
            if let Err(fault) = optional_text(&fields, field).and_then(|text| match (text, check) {
                (Some(text), Some(check)) => check(text),
                _ => Ok(()),
            }) {
                faults.push(format!("{field}: {fault}"));
            }
        }
        let entrypoint = entrypoint(&fields).map_err(|fault| faults.push(format!("entrypoint: {fault}")));
        match entrypoint {
            Ok(entrypoint) if faults.is_empty() => Ok(Self { entrypoint }),
            _ => Err(format!("{FILE}: {}", faults.join("; "))),
        }
    }
}

type Check = fn(&str) -> Result<(), String>;

fn optional_text<'a>(fields: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, String> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Err("must not be empty".into()),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("must be a string".into()),
    }
}

fn check_runtime(runtime: &str) -> Result<(), String> {
    // With a version behind it, such as `node20`, the host's node serves all the same.
    let family = runtime.to_ascii_lowercase();
    let family = family.trim_end_matches(|character: char| !character.is_ascii_alphabetic());
    if RUNTIMES.contains(&family) {
        return Ok(());
    }
    Err(format!("`{runtime}` is not supported; use \"node\""))
}

fn entrypoint(fields: &Map<String, Value>) -> Result<String, String> {
    let path = optional_text(fields, "entrypoint")?.ok_or("is missing")?;
    if path.starts_with('/') {
        return Err(format!("`{path}` must be relative to the agent's folder"));
    }
    if path.chars().any(char::is_control) {
        return Err("has control characters".into());
    }
    let steps: Vec<&str> = path.split('/').filter(|step| !matches!(*step, "" | ".")).collect();
    if steps.contains(&"..") {
        return Err(format!("`{path}` points outside the agent's folder"));
    }
    let path = steps.join("/");
    match path.rsplit_once('.') {
        Some((_, extension)) if EXTENSIONS.contains(&extension) => Ok(path),
        _ => Err(format!("`{path}` must end in one of .{}", EXTENSIONS.join(", ."))),
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn faults_name_their_fields() {
        for (text, fault) in [
            ("{", "castari.json is not valid JSON"),
            ("[]", "must hold a JSON object"),
            ("{}", "entrypoint: is missing"),
            (r#"{"entrypoint": 7}"#, "entrypoint: must be a string"),
            (
                r#"{"entrypoint": "/etc/x.js"}"#,
                "entrypoint: `/etc/x.js` must be relative",
            ),
            (
                r#"{"entrypoint": "a/../../x.js"}"#,
                "entrypoint: `a/../../x.js` points outside",
            ),
            (
                r#"{"entrypoint": "main.py"}"#,
                "entrypoint: `main.py` must end in one of",
            ),
            (r#"{"entrypoint": "a.js", "name": 1}"#, "name: must be a string"),
            (
                r#"{"entrypoint": "a.js", "runtime": "python"}"#,
                "runtime: `python` is not supported",
            ),
            (
                r#"{"entrypoint": 1, "name": 1, "version": ""}"#,
                "name: must be a string; version: must not be empty; entry",
            ),
        ] {
            let error = Manifest::parse(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
    }

    #[test]
    fn a_good_manifest_is_taken() {
        let text = r#"{"name": "a", "version": "1.0.0", "entrypoint": "./src//index.ts", "runtime": "node20"}"#;
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.entrypoint, "src/index.ts");
        assert!(manifest.is_typed());
    }
}
