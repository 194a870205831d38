//! Unpacking archives that nobody vouches for.
//!
//! Only regular files, directories and links that stay inside are taken. Links are made last, so that no entry can be
//! written through one.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use super::BuildError;
use crate::objects::ObjectError;

/// The most entries that an archive may hold.
const MAX_ENTRIES: usize = 100_000;

/// The most bytes that an archive may unpack to.
const MAX_BYTES: u64 = 1 << 30;

/// How long the name of an entry may be, and all else that is said about one, in bytes. The tar format keeps long ones
/// in entries of their own, which would be read whole.
const MAX_EXTENSION: u64 = 64 * 1024;

/// How much of a name is repeated to whoever sent it, in characters.
const SHOWN: usize = 200;

/// How deep directories may nest.
const MAX_DEPTH: usize = 64;

/// Unpacks a `.tar.gz` into an empty directory. An archive that holds nothing but one directory is unpacked as if it
/// held that directory's content.
pub(super) fn unpack(archive: &Path, into: &Path) -> Result<(), BuildError> {
    inspect(archive)?;
    let mut archive = open(archive)?;
    let (mut room, mut links) = (MAX_BYTES, Vec::new());
    for entry in archive.entries().map_err(damaged)? {
        take(entry.map_err(damaged)?, into, &mut room, &mut links)?;
    }
    make_links(into, links)?;
    unwrap_directory(into)
}

/// Looks through an archive for what must not even be read.
fn inspect(archive: &Path) -> Result<(), BuildError> {
    let mut archive = open(archive)?;
    for (count, entry) in archive.entries().map_err(damaged)?.raw(true).enumerate() {
        if count == MAX_ENTRIES {
            return Err(refused(format!("it holds more than {MAX_ENTRIES} entries")));
        }
        let entry = entry.map_err(damaged)?;
        let kind = entry.header().entry_type();
        let is_extension = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if is_extension && entry.size() > MAX_EXTENSION {
            return Err(refused("it holds a name that is too long"));
        }
    }
    Ok(())
}

fn open(archive: &Path) -> Result<Archive<Counted<MultiGzDecoder<File>>>, BuildError> {
    let file = File::open(archive).map_err(ObjectError::file("open", archive))?;
    Ok(Archive::new(Counted {
        inner: MultiGzDecoder::new(file),
        taken: 0,
    }))
}

/// A name as it may be repeated.
fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().take(SHOWN).collect()
}

/// Takes one entry, as far as there is room; a link is put aside.
fn take<R: Read>(
    mut entry: Entry<'_, R>,
    into: &Path,
    room: &mut u64,
    links: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), BuildError> {
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(());
    }
    let path = inside(&entry.path().map_err(damaged)?)?;
    let shown = shown(&path);
    let place = into.join(&path);
    match kind {
        EntryType::Directory => fs::create_dir_all(&place).map_err(|error| unwritable(&path, &error)),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse if path.as_os_str().is_empty() => {
            Err(refused("a file has no name"))
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            make_parent(&place, &path)?;
            let mode = if entry.header().mode().unwrap_or(0) & 0o111 == 0 {
                0o644
            } else {
                0o755
            };
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .custom_flags(nix::libc::O_NOFOLLOW)
                .open(&place)
                .map_err(|error| unwritable(&path, &error))?;
            // A sparse file's holes are not in the archive, but in what it unpacks to.
            let written =
                io::copy(&mut (&mut entry).take(*room + 1), &mut file).map_err(|error| match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                        ObjectError::file("unpack", &path)(error).into()
                    }
                    _ => damaged(error),
                })?;
            *room = room.checked_sub(written).ok_or_else(|| refused(too_much()))?;
            Ok(())
        }
        EntryType::Symlink => {
            let target = entry
                .link_name()
                .map_err(damaged)?
                .ok_or_else(|| refused(format!("`{shown}` links nowhere")))?;
            if leads_out(&path, &target) {
                return Err(refused(format!("the link `{shown}` points outside the agent's folder")));
            }
            links.push((path, target.into_owned()));
            Ok(())
        }
        EntryType::Link => Err(refused(format!(
            "`{shown}` is a hard link; only files, folders and symbolic links may be in it"
        ))),
        _ => Err(refused(format!("`{shown}` is a device or another special file"))),
    }
}

/// An entry's path, unless it leads out.
fn inside(path: &Path) -> Result<PathBuf, BuildError> {
    let shown = shown(path);
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(step) => clean.push(step),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(refused(format!("`{shown}` is an absolute path"))),
            Component::ParentDir => return Err(refused(format!("`{shown}` points outside the agent's folder"))),
        }
    }
    if clean.components().count() > MAX_DEPTH {
        return Err(refused(format!("its folders nest deeper than {MAX_DEPTH}")));
    }
    Ok(clean)
}

/// Makes the links, none of them through another: below real directories alone, what [`leads_out`] says of one holds.
fn make_links(into: &Path, links: Vec<(PathBuf, PathBuf)>) -> Result<(), BuildError> {
    let known: HashSet<PathBuf> = links.iter().map(|(path, _)| path.clone()).collect();
    for (path, target) in links {
        if path.ancestors().skip(1).any(|above| known.contains(above)) {
            return Err(refused(format!("`{}` lies behind a link", shown(&path))));
        }
        let place = into.join(&path);
        make_parent(&place, &path)?;
        symlink(&target, &place).map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}

/// Whether a link at `path` to `target` leaves the folder. Going up comes first, no further than the folder: after a
/// name, which may be a link itself, `..` would go up from wherever that leads.
fn leads_out(path: &Path, target: &Path) -> bool {
    let depth = path.components().count().saturating_sub(1);
    let steps: Vec<Component<'_>> = target.components().filter(|step| *step != Component::CurDir).collect();
    let ups = steps.iter().take_while(|step| **step == Component::ParentDir).count();
    ups > depth || steps.iter().skip(ups).any(|step| !matches!(step, Component::Normal(_)))
}

fn make_parent(place: &Path, path: &Path) -> Result<(), BuildError> {
    place
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .map_err(|error| unwritable(path, &error))
}

/// Moves the content of a single directory up.
fn unwrap_directory(into: &Path) -> Result<(), BuildError> {
    let list = |dir: &Path| fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>();
    let entries = list(into).map_err(ObjectError::file("list", into))?;
    let [only] = entries.as_slice() else {
        return Ok(());
    };
    if !only.file_type().is_ok_and(|kind| kind.is_dir()) {
        return Ok(());
    }
    // Under a name that its content cannot have, as names of entries never are this long.
    let aside = into.join("-".repeat(255));
    fs::rename(only.path(), &aside).map_err(ObjectError::file("move", &aside))?;
    for entry in list(&aside).map_err(ObjectError::file("list", &aside))? {
        fs::rename(entry.path(), into.join(entry.file_name())).map_err(ObjectError::file("move", entry.path()))?;
    }
    Ok(fs::remove_dir(&aside).map_err(ObjectError::file("remove", &aside))?)
}

/// A stream that ends in an error past [`MAX_BYTES`].
struct Counted<R> {
    inner: R,
    taken: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken += count as u64;
        if self.taken > MAX_BYTES {
            return Err(io::Error::other(too_much()));
        }
        Ok(count)
    }
}

fn too_much() -> String {
    format!("it unpacks to more than {} MiB", MAX_BYTES >> 20)
}

fn refused(reason: impl std::fmt::Display) -> BuildError {
    BuildError::Failed(format!("The archive was refused: {reason}"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn damaged(error: io::Error) -> BuildError {
    BuildError::Failed(format!(
        "The archive cannot be unpacked: {error}; a .tar.gz is expected"
    ))
}

/// An entry that could not be written: its own fault for a name or place that cannot be, the server's for the rest.
fn unwritable(path: &Path, error: &io::Error) -> BuildError {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    match error.kind() {
        AlreadyExists | InvalidFilename | InvalidInput | IsADirectory | NotADirectory => {
            refused(format!("`{}` cannot be made: {error}", shown(path)))
        }
        kind => ObjectError::file("unpack", path)(kind.into()).into(),
    }
}
