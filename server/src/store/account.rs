//! Users and the keys that they show.

use castari_common::account::Me;
use jiff::Timestamp;
use rusqlite::params;

use super::{QueryResult, Read, Write, text};

/// An API key as it is kept: nobody can make the key from it.
pub struct NewKey {
    /// `ak_…`
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The key's public first characters.
    pub prefix: String,
    /// The SHA-256 of the whole key.
    pub hash: [u8; 32],
}

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

/// Adds an API key of a user.
///
/// # Errors
/// When the query fails.
pub fn insert_key(write: &Write<'_>, user_id: &str, key: &NewKey, now: Timestamp) -> QueryResult<()> {
    let sql = "INSERT INTO api_keys (id, user_id, name, prefix, hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let params = params![key.id, user_id, key.name, key.prefix, key.hash, text::micros(now)];
    write.execute(sql, params).map(drop)
}

/// The account whose key has this hash.
///
/// # Errors
/// When the query fails.
pub fn by_key(read: &Read<'_>, hash: &[u8; 32]) -> QueryResult<Option<Me>> {
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

/// Notes that keys were used.
///
/// # Errors
/// When the query fails.
pub fn touch_key(write: &Write<'_>, hash: &[u8; 32], now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE api_keys SET last_used_at = ?2 WHERE hash = ?1";
    write.execute(sql, params![hash, text::micros(now)]).map(drop)
}
