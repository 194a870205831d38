//! Archives of agents, good and bad.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// A manifest with this entry point.
#[must_use]
pub fn manifest(entrypoint: &str) -> String {
    format!(r#"{{"name": "test", "version": "1.0.0", "entrypoint": "{entrypoint}", "runtime": "node"}}"#)
}

/// An agent that is one module.
#[must_use]
pub fn script(code: &str) -> Vec<u8> {
    files(&[("castari.json", &manifest("index.mjs")), ("index.mjs", code)])
}

/// A `.tar.gz` of files.
#[must_use]
pub fn files(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Tar::new();
    for (path, content) in files {
        tar.file(path, content.as_bytes());
    }
    tar.gzip()
}

/// An archive that takes whatever names and kinds it is given.
pub struct Tar(Builder<Vec<u8>>);

impl Default for Tar {
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Tar {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An agent that would be fine if nothing were added.
    #[must_use]
    pub fn agent() -> Self {
        let mut tar = Self::new();
        tar.file("castari.json", manifest("index.mjs").as_bytes());
        tar.file("index.mjs", b"console.log(1)");
        tar
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8]) -> &mut Self {
        self.entry(EntryType::Regular, path, "", content)
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    /// Adds anything. Names are written as they are, which the library itself would refuse for some.
    pub fn entry(&mut self, kind: EntryType, path: &str, target: &str, content: &[u8]) -> &mut Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    /// Adds an entry with a header of one's own.
    pub fn raw(&mut self, header: &Header, content: &[u8]) -> &mut Self {
        self.0.append(header, content).unwrap();
        self
    }

    /// The archive, compressed.
    #[must_use]
    pub fn gzip(self) -> Vec<u8> {
        gzip(&self.0.into_inner().unwrap())
    }
}

/// Compresses bytes.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive of a few MiB at the most that unpacks to a file of this many bytes, all zero.
#[must_use]
pub fn bomb(bytes: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_cksum();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let count = left.min(zeros.len() as u64);
        encoder.write_all(&zeros[..usize::try_from(count).unwrap()]).unwrap();
        left -= count;
    }
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap()
}
