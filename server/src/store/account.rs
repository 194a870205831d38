//! Users.

use castari_common::account::Me;
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{QueryResult, Read, Write, text};

/// Whom an issuer's tokens name.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// What it calls the user, for ever.
    pub subject: &'a str,
}

fn without_key(row: &Row<'_>) -> QueryResult<Me> {
    Ok(Me {
        id: row.get("id")?,
        email: row.get("email")?,
        api_key_prefix: None,
        created_at: text::time(row, "created_at")?,
    })
}

/// The owner, if there is one already: the user whom no issuer named.
///
/// # Errors
/// When the query fails.
pub fn owner(read: &Read<'_>) -> QueryResult<Option<String>> {
    let sql = "SELECT id FROM users WHERE issuer IS NULL ORDER BY created_at, id LIMIT 1";
    read.optional(sql, [], |row| row.get(0))
}

/// Adds a user whom no issuer named.
///
/// # Errors
/// When the query fails.
pub fn insert(write: &Write<'_>, id: &str, email: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "INSERT INTO users (id, email, created_at) VALUES (?1, ?2, ?3)";
    write.execute(sql, params![id, email, text::micros(now)]).map(drop)
}

/// The user whom an issuer's tokens name.
///
/// # Errors
/// When the query fails.
pub fn by_subject(read: &Read<'_>, of: Subject<'_>) -> QueryResult<Option<Me>> {
    let sql = "SELECT * FROM users WHERE issuer = ?1 AND subject = ?2";
    read.optional(sql, [of.issuer, of.subject], without_key)
}

/// The user whom an issuer's tokens name, added under `new_id` where there is none yet. The email, where it is known,
/// takes the place of the earlier one; a user of whom none was ever known goes by the subject.
///
/// # Errors
/// When the query fails.
pub fn ensure(
    write: &Write<'_>,
    new_id: &str,
    of: Subject<'_>,
    email: Option<&str>,
    now: Timestamp,
) -> QueryResult<Me> {
    let sql = "INSERT INTO users (id, email, created_at, issuer, subject) VALUES (?1, ifnull(?2, ?5), ?3, ?4, ?5)
        ON CONFLICT (issuer, subject) DO UPDATE SET email = ifnull(?2, email) RETURNING *";
    let params = params![new_id, email, text::micros(now), of.issuer, of.subject];
    write.one(sql, params, without_key)
}
