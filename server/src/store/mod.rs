//! The store: SQLite. One file of queries a resource; rows in, rows out; no rule of the platform is decided here.
//!
//! All writes go through one connection. Writes that queue while one commits are committed together, so that each is
//! durable when it is answered, and a busy server still commits only a few hundred times a second. Reads go through
//! connections that the operating system itself would not let write.

pub mod account;
pub mod agents;
pub mod api_keys;
pub mod attachments;
pub mod buckets;
mod connection;
pub mod departed;
pub mod deployments;
pub mod files;
pub mod invocations;
pub mod master_key;
mod memo;
mod migrations;
pub mod mounts;
mod near;
mod reader;
pub mod secrets;
pub mod sessions;
mod text;
pub mod usage;
mod writer;

use std::hash::Hash;
use std::path::{Path, PathBuf};

pub use connection::{Read, Write};
pub use memo::Memo;
use near::Near;
use reader::Readers;
use writer::Writer;

/// A query's own result.
pub type QueryResult<T> = rusqlite::Result<T>;

/// The oldest SQLite whose write-ahead log is known not to corrupt a database (its release notes for 3.51.3).
const OLDEST_SQLITE: i32 = 3_051_003;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database {path}: {reason}")]
    Open {
        /// The database's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A query failed.
    #[error("a query failed: {0}")]
    Query(#[from] rusqlite::Error),
    /// A query panicked; nothing of it was kept.
    #[error("a query panicked")]
    Panicked,
    /// The transaction that held a finished write could not be begun or committed; nothing of it was kept.
    #[error("a write could not be committed: {0}")]
    Commit(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// The database.
pub struct Store {
    writer: Writer,
    readers: Readers,
    near: Near,
}

impl Store {
    /// Opens the database, making or migrating it where needed. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or was made by a newer version of this program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::Open {
            path: path.into(),
            reason,
        };
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(failed(format!("SQLite {} may corrupt it", rusqlite::version())));
        }
        let writer = connection::open_writer(path).map_err(|error| failed(error.to_string()))?;
        let readers = connection::open_readers(path).map_err(|error| failed(error.to_string()))?;
        let near = connection::open_readers(path).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            writer: Writer::start(writer),
            readers: Readers::new(readers),
            near: Near::new(near),
        })
    }

    /// Runs queries that only read, in one consistent view.
    ///
    /// # Errors
    /// When a query fails.
    pub async fn read<T, F>(&self, queries: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Read<'_>) -> QueryResult<T> + Send + 'static,
    {
        self.readers.run(queries).await
    }

    /// Looks up a single row by its key, at once and in the caller's own thread. What reads more than that belongs to
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// When the query fails.
    pub fn look_up<T>(&self, query: impl FnOnce(&Read<'_>) -> QueryResult<T>) -> Result<T, StoreError> {
        self.near.run(query)
    }

    /// As [`look_up`](Self::look_up), but answers from `memo` where nothing was written since the row was looked up.
    ///
    /// # Errors
    /// When the query fails.
    pub fn recall<K: Eq + Hash, V: Clone>(
        &self,
        memo: &Memo<K, V>,
        key: K,
        query: impl FnOnce(&Read<'_>) -> QueryResult<Option<V>>,
    ) -> Result<Option<V>, StoreError> {
        // Counted before the query: a commit in between only makes what it finds stale too early.
        let commits = self.writer.commits();
        if let Some(row) = memo.recall(&key, commits) {
            return Ok(Some(row));
        }
        let row = self.look_up(query)?;
        if let Some(row) = &row {
            memo.keep(key, commits, row.clone());
        }
        Ok(row)
    }

    /// Runs queries that write, all or none, and returns when they are durable. An error that the queries return undoes
    /// them.
    ///
    /// # Errors
    /// When a query fails, or the disk does.
    pub async fn write<T, F>(&self, queries: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Write<'_>) -> QueryResult<T> + Send + 'static,
    {
        self.writer.run(queries).await
    }

    /// Checks that a write transaction can be had.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.write(|write| {
            write
                .execute("UPDATE users SET email = email WHERE id = ''", [])
                .map(drop)
        })
        .await
    }
}
