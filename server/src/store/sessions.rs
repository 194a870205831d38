//! Sessions.

use castari_common::Page;
use castari_common::sessions::Session;
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{QueryResult, Read, Write, text};

fn session(row: &Row<'_>) -> QueryResult<Session> {
    Ok(Session {
        id: row.get("id")?,
        agent_id: row.get("agent_id")?,
        sandbox_id: row.get("sandbox_id")?,
        created_at: text::time(row, "created_at")?,
        last_invocation_at: text::optional_time(row, "last_invocation_at")?,
    })
}

/// A page of an agent's sessions, newest first, and how many there are in all.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, agent_id: &str, page: Page) -> QueryResult<(Vec<Session>, u64)> {
    let sql = "SELECT count(*) FROM sessions WHERE agent_id = ?1";
    let total = read.one(sql, [agent_id], |row| row.get(0))?;
    let sql = "SELECT * FROM sessions WHERE agent_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2 OFFSET ?3";
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    Ok((read.all(sql, params![agent_id, page.limit, offset], session)?, total))
}

/// Notes that an invocation names a session, and makes it where there is none; answers whether it did.
///
/// # Errors
/// When the query fails.
pub fn touch(write: &Write<'_>, agent_id: &str, id: &str, now: Timestamp) -> QueryResult<bool> {
    let params = params![agent_id, id, text::micros(now)];
    let sql = "UPDATE sessions SET last_invocation_at = ?3 WHERE agent_id = ?1 AND id = ?2";
    if write.execute(sql, params)? > 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO sessions (agent_id, id, created_at, last_invocation_at) VALUES (?1, ?2, ?3, ?3)";
    write.execute(sql, params).map(|_| true)
}

/// Deletes an agent's session; answers whether there was one.
///
/// # Errors
/// When the query fails.
pub fn delete(write: &Write<'_>, agent_id: &str, id: &str) -> QueryResult<bool> {
    let count = write.execute("DELETE FROM sessions WHERE agent_id = ?1 AND id = ?2", [agent_id, id])?;
    Ok(count > 0)
}

/// Deletes all sessions of an agent; answers which.
///
/// # Errors
/// When the query fails.
pub fn delete_all(write: &Write<'_>, agent_id: &str) -> QueryResult<Vec<String>> {
    write.all(
        "DELETE FROM sessions WHERE agent_id = ?1 RETURNING id",
        [agent_id],
        |row| row.get(0),
    )
}
