use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::{DirEntry, WalkBuilder};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::message::{Completion, Folder};

/// What never belongs into an archive: the server installs dependencies itself, and history is not code.
const LEFT_OUT: [&str; 4] = ["node_modules", ".git", ".hg", ".DS_Store"];
/// How many candidates are offered for a path that can go on in several ways.
const CANDIDATES: usize = 50;

/// A packed folder: an unnamed temporary file, read from its start.
pub struct Archive {
    pub file: File,
    pub files: u64,
    /// In bytes, compressed.
    pub size: u64,
}

/// Runs what waits for the disk where waiting does no harm.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|_| "reading the folder broke; the log says where".into())
}

/// Sees whether a folder holds an agent, and what it is called.
pub fn inspect(typed: &str) -> Result<Folder, String> {
    let path = expand(typed);
    let shown = path.display();
    let path = fs::canonicalize(&path).map_err(|error| format!("cannot open {shown}: {error}"))?;
    if !path.is_dir() {
        return Err(format!("{shown} is not a folder"));
    }
    let manifest = fs::read_to_string(path.join("castari.json")).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("no castari.json in {shown}: it tells the name and the entry point"),
        _ => format!("cannot read castari.json: {error}"),
    })?;
    let manifest: Value = serde_json::from_str(&manifest).map_err(|error| format!("castari.json: {error}"))?;
    if !manifest.is_object() {
        return Err("castari.json: not an object".into());
    }
    let name = manifest.get("name").and_then(Value::as_str).map(str::to_owned);
    Ok(Folder { path, name })
}

/// Continues a path with the folders that are there.
pub fn complete(typed: &str) -> Completion {
    let (parent, start) = typed
        .rsplit_once('/')
        .map_or(("", typed), |(parent, start)| (parent, start));
    let prefix = if typed.contains('/') {
        format!("{parent}/")
    } else {
        String::new()
    };
    let looked_in = if prefix.is_empty() {
        PathBuf::from(".")
    } else {
        expand(&prefix)
    };
    let Ok(entries) = fs::read_dir(looked_in) else {
        return Completion {
            path: typed.into(),
            candidates: Vec::new(),
        };
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(start) && (start.starts_with('.') || !name.starts_with('.')))
        .collect();
    names.sort();
    let common = names.iter().skip(1).fold(
        names.first().cloned().unwrap_or_else(|| start.into()),
        |common, name| {
            common
                .chars()
                .zip(name.chars())
                .take_while(|(a, b)| a == b)
                .map(|(a, _)| a)
                .collect()
        },
    );
    let whole = if names.len() == 1 { "/" } else { "" };
    names.truncate(CANDIDATES);
    let candidates = if names.len() > 1 { names } else { Vec::new() };
    Completion {
        path: format!("{prefix}{common}{whole}"),
        candidates,
    }
}

/// Packs a folder as the server wants it, without what its `.gitignore` names; tells how many files and bytes it has.
pub fn pack(path: &Path, progress: &UnboundedSender<(u64, u64)>) -> Result<Archive, String> {
    let temporary = tempfile::tempfile().map_err(|error| format!("cannot make a temporary file: {error}"))?;
    let mut archive = tar::Builder::new(GzEncoder::new(temporary, Compression::default()));
    archive.follow_symlinks(false);
    let (mut files, mut bytes) = (0, 0);
    let walk = WalkBuilder::new(path)
        .hidden(false)
        .require_git(false)
        .git_global(false)
        .filter_entry(|entry| !is_left_out(entry))
        .sort_by_file_name(Ord::cmp)
        .build();
    for entry in walk {
        let entry = entry.map_err(|error| format!("cannot read the folder: {error}"))?;
        let Ok(inner) = entry.path().strip_prefix(path) else {
            continue;
        };
        let kind = entry.file_type();
        let wanted = kind.is_some_and(|kind| kind.is_file() || kind.is_symlink());
        if inner.as_os_str().is_empty() || !wanted {
            continue;
        }
        archive
            .append_path_with_name(entry.path(), inner)
            .map_err(|error| format!("cannot pack {}: {error}", inner.display()))?;
        files += 1;
        bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        let _ = progress.send((files, bytes));
    }
    finish(archive, files).map_err(|error| format!("cannot write the archive: {error}"))
}

fn finish(archive: tar::Builder<GzEncoder<File>>, files: u64) -> std::io::Result<Archive> {
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    let size = file.stream_position()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Archive { file, files, size })
}

fn is_left_out(entry: &DirEntry) -> bool {
    LEFT_OUT.iter().any(|name| entry.file_name() == *name)
}

/// A path as a person types it: `~` is the home folder.
fn expand(typed: &str) -> PathBuf {
    let typed = typed.trim();
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    match typed.strip_prefix('~') {
        Some("") => home().unwrap_or_else(|| typed.into()),
        Some(rest) if rest.starts_with('/') => home().map_or_else(|| typed.into(), |home| home.join(&rest[1..])),
        _ => typed.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn packs_what_belongs_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("castari.json", r#"{"name": "Packed", "entrypoint": "src/index.js"}"#);
        write("src/index.js", "console.log(1)");
        write("node_modules/a/index.js", "no");
        write(".git/config", "no");
        write("secret.txt", "no");
        write(".gitignore", "secret.txt\n");
        let (progress, _kept) = tokio::sync::mpsc::unbounded_channel();
        let mut archive = pack(folder.path(), &progress).unwrap();
        let mut bytes = Vec::new();
        archive.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, archive.size);
        let mut unpacked = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let names: Vec<String> = unpacked
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, [".gitignore", "castari.json", "src/index.js"]);
        let found = inspect(&folder.path().display().to_string()).unwrap();
        assert_eq!(found.name.as_deref(), Some("Packed"));
    }

    #[test]
    fn says_what_a_folder_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let typed = folder.path().display().to_string();
        assert!(inspect(&typed).unwrap_err().contains("no castari.json"));
        fs::write(folder.path().join("castari.json"), "{").unwrap();
        assert!(inspect(&typed).unwrap_err().starts_with("castari.json: EOF"));
        assert!(
            inspect("/nowhere/at/all")
                .unwrap_err()
                .starts_with("cannot open /nowhere/at/all")
        );
    }

    #[test]
    fn completes_paths() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["agent-one", "agent-two", "other", ".hidden"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let at = |typed: &str| complete(&format!("{}/{typed}", folder.path().display()));
        let ambiguous = at("a");
        assert!(ambiguous.path.ends_with("/agent-"));
        assert_eq!(ambiguous.candidates, ["agent-one", "agent-two"]);
        assert!(at("o").path.ends_with("/other/"));
        assert!(at("zzz").path.ends_with("/zzz"));
        assert_eq!(at("").candidates.len(), 3);
    }
}
