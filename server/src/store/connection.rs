//! Connections, and the types that say what a query may do through one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row};

use super::{QueryResult, migrations};

/// How long to wait for another process, such as a backup, that holds the database.
const BUSY: Duration = Duration::from_secs(10);

/// Above the number of different queries, so that each is prepared once a connection.
const STATEMENTS: usize = 256;

const READERS: usize = 3;

/// Queries that read. There is no way to write through it:
/// ```compile_fail
/// fn sneak(read: &castari_server::store::Read<'_>) {
///     read.execute("DELETE FROM agents", []).unwrap();
/// }
/// ```
pub struct Read<'c> {
    connection: &'c Connection,
}

/// Queries that write, inside a transaction. It reads as well.
pub struct Write<'c> {
    read: Read<'c>,
}

impl<'c> Read<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }

    /// The first row, if any.
    ///
    /// # Errors
    /// When the query fails.
    pub fn optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> QueryResult<T>,
    ) -> QueryResult<Option<T>> {
        self.connection.prepare_cached(sql)?.query_row(params, map).optional()
    }

    /// The only row.
    ///
    /// # Errors
    /// When the query fails or finds nothing.
    pub fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> QueryResult<T>,
    ) -> QueryResult<T> {
        self.connection.prepare_cached(sql)?.query_row(params, map)
    }

    /// All rows.
    ///
    /// # Errors
    /// When the query fails.
    pub fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> QueryResult<T>,
    ) -> QueryResult<Vec<T>> {
        self.connection.prepare_cached(sql)?.query_map(params, map)?.collect()
    }
}

impl<'c> Write<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            read: Read::new(connection),
        }
    }

    /// Changes rows; answers how many.
    ///
    /// # Errors
    /// When the query fails.
    pub fn execute(&self, sql: &str, params: impl Params) -> QueryResult<usize> {
        self.read.connection.prepare_cached(sql)?.execute(params)
    }
}

impl<'c> std::ops::Deref for Write<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}

pub(super) fn open_writer(path: &Path) -> Result<Connection, rusqlite_migration::Error> {
    let mut connection = Connection::open(path)?;
    configure(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrations::run(&mut connection)?;
    Ok(connection)
}

pub(super) fn open_readers(path: &Path) -> QueryResult<Vec<Connection>> {
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        configure(&connection)?;
        Ok(connection)
    };
    std::iter::repeat_with(open).take(READERS).collect()
}

fn configure(connection: &Connection) -> QueryResult<()> {
    // First, as all that follows may find the database busy.
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}
