//! Deployment logs: files that are read while they are written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::{ObjectError, blocking, tree};

/// The longest log; what comes after is left out.
const MAX_LOG_BYTES: u64 = 10 << 20;

const CHUNK: usize = 64 * 1024;

/// The logs. Clones are of one.
#[derive(Clone)]
pub struct Logs {
    dir: PathBuf,
    open: Arc<Mutex<HashMap<String, watch::Receiver<u64>>>>,
}

/// A log that is being written. Readers that follow it end when it is dropped.
pub struct DeployLog {
    id: String,
    file: File,
    length: watch::Sender<u64>,
    logs: Logs,
}

/// Reads a log, waiting for more where it is still being written.
pub struct LogReader {
    path: PathBuf,
    position: u64,
    growing: Option<watch::Receiver<u64>>,
}

impl Logs {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("logs"),
            open: Arc::default(),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.log"))
    }

    /// Begins a log.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(&self, id: &str) -> Result<DeployLog, ObjectError> {
        let path = self.path(id);
        let file = File::create_new(&path).map_err(ObjectError::file("make", &path))?;
        let (length, growing) = watch::channel(0);
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.into(), growing);
        Ok(DeployLog {
            id: id.into(),
            file,
            length,
            logs: self.clone(),
        })
    }

    /// Reads a log from its start, and with `follow` until it is complete.
    #[must_use]
    pub fn read(&self, id: &str, follow: bool) -> LogReader {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        LogReader {
            path: self.path(id),
            position: 0,
            growing: open.get(id).filter(|_| follow).cloned(),
        }
    }

    /// Removes a log.
    pub fn remove(&self, id: &str) {
        let _ = fs::remove_file(self.path(id));
    }

    /// Removes the logs of all deployments but these.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn sweep(&self, is_known: impl Fn(&str) -> bool) -> Result<(), ObjectError> {
        tree::sweep(&self.dir, |name| name.strip_suffix(".log").is_some_and(&is_known))
    }
}

impl DeployLog {
    /// Adds to the log. A disk that is full costs the log, not the deployment.
    pub fn write(&mut self, bytes: &[u8]) {
        let length = *self.length.borrow();
        if length >= MAX_LOG_BYTES {
            return;
        }
        let room = usize::try_from(MAX_LOG_BYTES - length).unwrap_or(usize::MAX);
        let cut = bytes.len() > room;
        let bytes = &bytes[..bytes.len().min(room)];
        if self.file.write_all(bytes).is_err() {
            return;
        }
        if cut {
            let _ = self.file.write_all(b"\n[the log is cut here: it has reached 10 MiB]\n");
        }
        let end = self.file.stream_position().unwrap_or(length);
        self.length.send_replace(end);
    }

    /// Adds a line of the platform's own.
    pub fn say(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }
}

impl Drop for DeployLog {
    fn drop(&mut self) {
        self.logs
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

impl LogReader {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        loop {
            let piece = self.read_piece().await?;
            if !piece.is_empty() {
                self.position += piece.len() as u64;
                return Ok(Some(piece));
            }
            let Some(growing) = &mut self.growing else {
                return Ok(None);
            };
            let position = self.position;
            if growing.wait_for(|length| *length > position).await.is_err() {
                // The writer is done; what it wrote last is still to be read.
                self.growing = None;
            }
        }
    }

    async fn read_piece(&self) -> Result<Bytes, ObjectError> {
        let (path, position) = (self.path.clone(), self.position);
        blocking(move || {
            let mut file = match File::open(&path) {
                // A deployment that was interrupted before its first line.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Bytes::new()),
                opened => opened.map_err(ObjectError::file("open", &path))?,
            };
            let mut buffer = Vec::with_capacity(CHUNK);
            file.seek(SeekFrom::Start(position))
                .map_err(ObjectError::file("read", &path))?;
            file.take(CHUNK as u64)
                .read_to_end(&mut buffer)
                .map_err(ObjectError::file("read", &path))?;
            Ok(buffer.into())
        })
        .await
    }
}
