//! Users.

use jiff::Timestamp;
use rusqlite::params;

use super::{QueryResult, Read, Write, text};

/// The first user, if there is one.
///
/// # Errors
/// When the query fails.
pub fn owner(read: &Read<'_>) -> QueryResult<Option<String>> {
    read.optional("SELECT id FROM users ORDER BY created_at, id LIMIT 1", [], |row| {
        row.get(0)
    })
}

/// Adds a user.
///
/// # Errors
/// When the query fails.
pub fn insert(write: &Write<'_>, id: &str, email: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "INSERT INTO users (id, email, created_at) VALUES (?1, ?2, ?3)";
    write.execute(sql, params![id, email, text::micros(now)]).map(drop)
}
