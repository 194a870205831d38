//! Managed files.

use castari_common::Page;
use castari_common::files::{FileFilter, ManagedFile, UpdateFile, UploadStatus};
use jiff::Timestamp;
use rusqlite::{Row, named_params, params};

use super::{QueryResult, Read, Write, text};

const MATCHES: &str = "user_id = :user_id AND (:scope IS NULL OR scope = :scope)
    AND NOT EXISTS (
        SELECT 1 FROM json_each(:tags) AS wanted
        WHERE wanted.value NOT IN (SELECT value FROM json_each(files.tags))
    )
    AND (:search IS NULL OR instr(lower(filename || char(10) || ifnull(description, '')), :search))";

/// A file and whose it is.
#[derive(Clone, Debug)]
pub struct Owned {
    /// Whose it is.
    pub user_id: String,
    /// What is known of it.
    pub file: ManagedFile,
}

fn file(row: &Row<'_>) -> QueryResult<ManagedFile> {
    let id: String = row.get("id")?;
    Ok(ManagedFile {
        file_id: id.clone(),
        id,
        filename: row.get("filename")?,
        content_type: row.get("content_type")?,
        size_bytes: row.get("size_bytes")?,
        sha256_hash: row.get::<_, Option<String>>("sha256_hash")?.unwrap_or_default(),
        scope: text::named(row, "scope")?,
        scope_id: row.get("scope_id")?,
        description: row.get("description")?,
        tags: text::json(row, "tags")?.unwrap_or_default(),
        upload_status: text::named(row, "upload_status")?,
        created_at: text::time(row, "created_at")?,
        updated_at: text::time(row, "updated_at")?,
    })
}

/// A user's file.
///
/// # Errors
/// When the query fails.
pub fn by_id(read: &Read<'_>, user_id: &str, id: &str) -> QueryResult<Option<ManagedFile>> {
    read.optional(
        "SELECT * FROM files WHERE id = ?1 AND user_id = ?2",
        [id, user_id],
        file,
    )
}

/// A file, whosever it is.
///
/// # Errors
/// When the query fails.
pub fn of_anybody(read: &Read<'_>, id: &str) -> QueryResult<Option<Owned>> {
    read.optional("SELECT * FROM files WHERE id = ?1", [id], owned)
}

/// The pending files that are to go.
///
/// # Errors
/// When the query fails.
pub fn expired(read: &Read<'_>, now: Timestamp) -> QueryResult<Vec<Owned>> {
    let sql = "SELECT * FROM files WHERE expires_at <= ?1";
    read.all(sql, [text::micros(now)], owned)
}

fn owned(row: &Row<'_>) -> QueryResult<Owned> {
    Ok(Owned {
        user_id: row.get("user_id")?,
        file: file(row)?,
    })
}

/// A page of a user's files that have all of `tags`, newest first, and how many there are in all.
///
/// # Errors
/// When the query fails.
pub fn list(
    read: &Read<'_>,
    user_id: &str,
    filter: &FileFilter,
    tags: &[String],
    page: Page,
) -> QueryResult<(Vec<ManagedFile>, u64)> {
    let scope = filter.scope.as_ref().map(text::name).transpose()?;
    let search = filter.search.as_ref().map(|search| search.to_ascii_lowercase());
    let tags = serde_json::json!(tags).to_string();
    let sql = format!("SELECT count(*) FROM files WHERE {MATCHES}");
    let params = named_params! {":user_id": user_id, ":scope": scope, ":tags": tags, ":search": search};
    let total = read.one(&sql, params, |row| row.get(0))?;
    let sql =
        format!("SELECT * FROM files WHERE {MATCHES} ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset");
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let params = named_params! {
        ":user_id": user_id, ":scope": scope, ":tags": tags, ":search": search, ":limit": page.limit, ":offset": offset,
    };
    Ok((read.all(&sql, params, file)?, total))
}

/// How many files a user has, and how large they are together, with what pending ones reserve.
///
/// # Errors
/// When the query fails.
pub fn usage(read: &Read<'_>, user_id: &str) -> QueryResult<(u64, u64)> {
    let sql = "SELECT count(*), ifnull(sum(size_bytes), 0) FROM files WHERE user_id = ?1";
    read.one(sql, [user_id], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Adds a file; one that is pending, until `expires_at`.
///
/// # Errors
/// When the query fails.
pub fn insert(write: &Write<'_>, user_id: &str, file: &ManagedFile, expires_at: Option<Timestamp>) -> QueryResult<()> {
    let sql = "INSERT INTO files (id, user_id, filename, content_type, size_bytes, sha256_hash, scope, scope_id,
            description, tags, upload_status, expires_at, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let hash = Some(&file.sha256_hash).filter(|hash| !hash.is_empty());
    let params = params![
        file.id,
        user_id,
        file.filename,
        file.content_type,
        file.size_bytes,
        hash,
        text::name(&file.scope)?,
        file.scope_id,
        file.description,
        serde_json::json!(file.tags).to_string(),
        text::name(&file.upload_status)?,
        expires_at.map(text::micros),
        text::micros(file.created_at),
        text::micros(file.updated_at),
    ];
    write.execute(sql, params).map(drop)
}

/// Changes what `change` names; `tags` are those that the change comes to.
///
/// # Errors
/// When the query fails.
pub fn update(
    write: &Write<'_>,
    id: &str,
    change: &UpdateFile,
    tags: Option<&[String]>,
    now: Timestamp,
) -> QueryResult<()> {
    let sql = "UPDATE files SET
            description = iif(:has_description, :description, description),
            tags = ifnull(:tags, tags),
            updated_at = :now
        WHERE id = :id";
    let params = named_params! {
        ":id": id,
        ":has_description": change.description.is_some(),
        ":description": change.description.clone().flatten(),
        ":tags": tags.map(|tags| serde_json::json!(tags).to_string()),
        ":now": text::micros(now),
    };
    write.execute(sql, params).map(drop)
}

/// Notes the content of a pending file.
///
/// # Errors
/// When the query fails.
pub fn set_content(write: &Write<'_>, id: &str, hash: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE files SET sha256_hash = ?2, updated_at = ?3 WHERE id = ?1";
    write.execute(sql, params![id, hash, text::micros(now)]).map(drop)
}

/// Makes a pending file a confirmed one.
///
/// # Errors
/// When the query fails.
pub fn confirm(write: &Write<'_>, id: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE files SET upload_status = ?2, expires_at = NULL, updated_at = ?3 WHERE id = ?1";
    let confirmed = text::name(&UploadStatus::Confirmed)?;
    write.execute(sql, params![id, confirmed, text::micros(now)]).map(drop)
}

/// Deletes a file and its attachments.
///
/// # Errors
/// When the query fails.
pub fn delete(write: &Write<'_>, id: &str) -> QueryResult<()> {
    write.execute("DELETE FROM files WHERE id = ?1", [id]).map(drop)
}

/// Whether any file has this content.
///
/// # Errors
/// When the query fails.
pub fn is_content(read: &Read<'_>, hash: &str) -> QueryResult<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM files WHERE sha256_hash = ?1)";
    read.one(sql, [hash], |row| row.get(0))
}

/// The contents of all files.
///
/// # Errors
/// When the query fails.
pub fn contents(read: &Read<'_>) -> QueryResult<Vec<String>> {
    let sql = "SELECT DISTINCT sha256_hash FROM files WHERE sha256_hash IS NOT NULL";
    read.all(sql, [], |row| row.get(0))
}
