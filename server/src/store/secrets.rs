//! Secrets, sealed.

use castari_common::secrets::Secret;
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{QueryResult, Read, Write, text};

/// A sealed value and where it belongs.
pub struct Sealed {
    /// The agent.
    pub agent_id: String,
    /// The variable.
    pub key: String,
    /// The value as the vault sealed it.
    pub sealed: Vec<u8>,
}

fn secret(row: &Row<'_>) -> QueryResult<Secret> {
    Ok(Secret {
        key: row.get("key")?,
        created_at: text::time(row, "created_at")?,
        updated_at: text::time(row, "updated_at")?,
    })
}

fn sealed(row: &Row<'_>) -> QueryResult<Sealed> {
    Ok(Sealed {
        agent_id: row.get("agent_id")?,
        key: row.get("key")?,
        sealed: row.get("sealed")?,
    })
}

/// An agent's secrets, by their keys.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, agent_id: &str) -> QueryResult<Vec<Secret>> {
    read.all(
        "SELECT * FROM secrets WHERE agent_id = ?1 ORDER BY key",
        [agent_id],
        secret,
    )
}

/// One of an agent's secrets.
///
/// # Errors
/// When the query fails.
pub fn by_key(read: &Read<'_>, agent_id: &str, key: &str) -> QueryResult<Option<Secret>> {
    let sql = "SELECT * FROM secrets WHERE agent_id = ?1 AND key = ?2";
    read.optional(sql, [agent_id, key], secret)
}

/// The sealed values of an agent.
///
/// # Errors
/// When the query fails.
pub fn sealed_of(read: &Read<'_>, agent_id: &str) -> QueryResult<Vec<Sealed>> {
    read.all("SELECT * FROM secrets WHERE agent_id = ?1", [agent_id], sealed)
}

/// The sealed values of all agents.
///
/// # Errors
/// When the query fails.
pub fn all_sealed(read: &Read<'_>) -> QueryResult<Vec<Sealed>> {
    read.all("SELECT * FROM secrets", [], sealed)
}

/// How many bytes an agent's other sealed values have together.
///
/// # Errors
/// When the query fails.
pub fn bytes_beside(read: &Read<'_>, agent_id: &str, key: &str) -> QueryResult<usize> {
    let sql = "SELECT ifnull(sum(length(key) + length(sealed)), 0) FROM secrets WHERE agent_id = ?1 AND key <> ?2";
    read.one(sql, [agent_id, key], |row| row.get(0))
}

/// Sets a secret.
///
/// # Errors
/// When the query fails.
pub fn set(write: &Write<'_>, secret: &Sealed, now: Timestamp) -> QueryResult<()> {
    let sql = "INSERT INTO secrets (agent_id, key, sealed, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
        ON CONFLICT DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at";
    let params = params![secret.agent_id, secret.key, secret.sealed, text::micros(now)];
    write.execute(sql, params).map(drop)
}

/// Puts a value that was sealed anew in the place of the old one.
///
/// # Errors
/// When the query fails.
pub fn reseal(write: &Write<'_>, secret: &Sealed) -> QueryResult<()> {
    let sql = "UPDATE secrets SET sealed = ?3 WHERE agent_id = ?1 AND key = ?2";
    write
        .execute(sql, params![secret.agent_id, secret.key, secret.sealed])
        .map(drop)
}

/// Deletes a secret; answers whether there was one.
///
/// # Errors
/// When the query fails.
pub fn delete(write: &Write<'_>, agent_id: &str, key: &str) -> QueryResult<bool> {
    let count = write.execute("DELETE FROM secrets WHERE agent_id = ?1 AND key = ?2", [agent_id, key])?;
    Ok(count > 0)
}
