//! Managed files that are attached to agents.

use castari_common::attachments::Attachment;
use rusqlite::{Row, params};

use super::{QueryResult, Read, Write, text};

const ATTACHED: &str = "SELECT attachments.*, files.filename, files.size_bytes
    FROM attachments JOIN files ON files.id = attachments.file_id WHERE attachments.agent_id = ?1";

fn attachment(row: &Row<'_>) -> QueryResult<Attachment> {
    Ok(Attachment {
        id: row.get("id")?,
        file_id: row.get("file_id")?,
        filename: row.get("filename")?,
        mount_path: row.get("mount_path")?,
        read_only: row.get("read_only")?,
        size_bytes: row.get("size_bytes")?,
        created_at: text::time(row, "created_at")?,
    })
}

/// All that is attached to an agent, newest first.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, agent_id: &str) -> QueryResult<Vec<Attachment>> {
    let sql = format!("{ATTACHED} ORDER BY attachments.created_at DESC, attachments.id DESC");
    read.all(&sql, [agent_id], attachment)
}

/// Whether a file is attached to an agent.
///
/// # Errors
/// When the query fails.
pub fn is_attached(read: &Read<'_>, agent_id: &str, file_id: &str) -> QueryResult<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM attachments WHERE agent_id = ?1 AND file_id = ?2)";
    read.one(sql, [agent_id, file_id], |row| row.get(0))
}

/// Whether something is attached to an agent at a path, above it or below it.
///
/// # Errors
/// When the query fails.
pub fn is_taken(read: &Read<'_>, agent_id: &str, mount_path: &str) -> QueryResult<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM attachments WHERE agent_id = ?1 AND (
        mount_path = ?2
        OR substr(mount_path, 1, length(?2) + 1) = ?2 || '/'
        OR substr(?2, 1, length(mount_path) + 1) = mount_path || '/'
    ))";
    read.one(sql, [agent_id, mount_path], |row| row.get(0))
}

/// Attaches a file.
///
/// # Errors
/// When the query fails.
pub fn insert(write: &Write<'_>, agent_id: &str, attachment: &Attachment) -> QueryResult<()> {
    let sql = "INSERT INTO attachments (id, agent_id, file_id, mount_path, read_only, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let params = params![
        attachment.id,
        agent_id,
        attachment.file_id,
        attachment.mount_path,
        attachment.read_only,
        text::micros(attachment.created_at),
    ];
    write.execute(sql, params).map(drop)
}

/// Detaches a file; answers whether it was attached.
///
/// # Errors
/// When the query fails.
pub fn delete(write: &Write<'_>, agent_id: &str, file_id: &str) -> QueryResult<bool> {
    let sql = "DELETE FROM attachments WHERE agent_id = ?1 AND file_id = ?2";
    Ok(write.execute(sql, [agent_id, file_id])? > 0)
}
