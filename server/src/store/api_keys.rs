//! API keys.

use castari_common::account::Me;
use castari_common::api_keys::ApiKey;
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{QueryResult, Read, Write, text};

fn api_key(row: &Row<'_>) -> QueryResult<ApiKey> {
    Ok(ApiKey {
        id: row.get("id")?,
        name: row.get("name")?,
        prefix: row.get("prefix")?,
        created_at: text::time(row, "created_at")?,
        last_used_at: text::optional_time(row, "last_used_at")?,
    })
}

/// Adds an API key of a user, of which only the SHA-256 is kept.
///
/// # Errors
/// When the query fails.
pub fn insert(write: &Write<'_>, user_id: &str, key: &ApiKey, hash: &[u8; 32]) -> QueryResult<()> {
    let sql = "INSERT INTO api_keys (id, user_id, name, prefix, hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let params = params![
        key.id,
        user_id,
        key.name,
        key.prefix,
        hash,
        text::micros(key.created_at)
    ];
    write.execute(sql, params).map(drop)
}

/// A user's API keys, newest first.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, user_id: &str) -> QueryResult<Vec<ApiKey>> {
    let sql = "SELECT * FROM api_keys WHERE user_id = ?1 ORDER BY created_at DESC, id DESC";
    read.all(sql, [user_id], api_key)
}

/// The account whose key has this hash.
///
/// # Errors
/// When the query fails.
pub fn owner(read: &Read<'_>, hash: &[u8; 32]) -> QueryResult<Option<Me>> {
    let sql = "SELECT users.id, users.email, users.created_at, api_keys.prefix
        FROM api_keys JOIN users ON users.id = api_keys.user_id WHERE api_keys.hash = ?1";
    read.optional(sql, params![hash], |row| {
        Ok(Me {
            id: row.get("id")?,
            email: row.get("email")?,
            api_key_prefix: row.get("prefix")?,
            created_at: text::time(row, "created_at")?,
        })
    })
}

/// Notes that a key was used.
///
/// # Errors
/// When the query fails.
pub fn touch(write: &Write<'_>, hash: &[u8; 32], now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE api_keys SET last_used_at = ?2 WHERE hash = ?1";
    write.execute(sql, params![hash, text::micros(now)]).map(drop)
}

/// Revokes a user's key; answers whether there was one.
///
/// # Errors
/// When the query fails.
pub fn delete(write: &Write<'_>, user_id: &str, id: &str) -> QueryResult<bool> {
    let count = write.execute("DELETE FROM api_keys WHERE user_id = ?1 AND id = ?2", [user_id, id])?;
    Ok(count > 0)
}

/// Revokes the key that has this hash.
///
/// # Errors
/// When the query fails.
pub fn delete_by_hash(write: &Write<'_>, hash: &[u8; 32]) -> QueryResult<()> {
    write
        .execute("DELETE FROM api_keys WHERE hash = ?1", params![hash])
        .map(drop)
}
