//! Mounts.

use castari_common::mounts::Mount;
use rusqlite::{Row, named_params};

use super::{QueryResult, Read, Write, buckets, text};

/// A mount and its bucket, up to the condition.
fn select() -> String {
    format!(
        "SELECT mounts.id AS mount_id, mounts.agent_id, mounts.mount_path, mounts.source_prefix,
            mounts.permission_rules, mounts.cache_enabled, mounts.cache_ttl_seconds, mounts.enabled,
            mounts.created_at AS mount_created_at, mounts.updated_at AS mount_updated_at, {}
        FROM mounts JOIN buckets ON buckets.id = mounts.bucket_id",
        buckets::COLUMNS
    )
}

fn mount(row: &Row<'_>) -> QueryResult<Mount> {
    let bucket = buckets::bucket(row)?;
    Ok(Mount {
        id: row.get("mount_id")?,
        bucket_id: bucket.id.clone(),
        agent_id: row.get("agent_id")?,
        bucket,
        mount_path: row.get("mount_path")?,
        source_prefix: row.get("source_prefix")?,
        permission_rules: text::json(row, "permission_rules")?.unwrap_or_default(),
        cache_enabled: row.get("cache_enabled")?,
        cache_ttl_seconds: row.get("cache_ttl_seconds")?,
        enabled: row.get("enabled")?,
        created_at: text::time(row, "mount_created_at")?,
        updated_at: text::time(row, "mount_updated_at")?,
    })
}

/// An agent's mounts, newest first.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, agent_id: &str) -> QueryResult<Vec<Mount>> {
    let sql = format!(
        "{} WHERE mounts.agent_id = ?1 ORDER BY mounts.created_at DESC, mounts.id DESC",
        select()
    );
    read.all(&sql, [agent_id], mount)
}

/// An agent's mount by its id.
///
/// # Errors
/// When the query fails.
pub fn by_id(read: &Read<'_>, agent_id: &str, id: &str) -> QueryResult<Option<Mount>> {
    let sql = format!("{} WHERE mounts.agent_id = ?1 AND mounts.id = ?2", select());
    read.optional(&sql, [agent_id, id], mount)
}

/// Adds a mount, or replaces all of it but what it mounts where.
///
/// # Errors
/// When the query fails, as it does for a path that the agent has a mount at already.
pub fn put(write: &Write<'_>, mount: &Mount) -> QueryResult<()> {
    let sql = "INSERT INTO mounts (id, agent_id, bucket_id, mount_path, source_prefix, permission_rules, cache_enabled,
            cache_ttl_seconds, enabled, created_at, updated_at)
        VALUES (:id, :agent_id, :bucket_id, :mount_path, :source_prefix, :permission_rules, :cache_enabled,
            :cache_ttl_seconds, :enabled, :created_at, :updated_at)
        ON CONFLICT (id) DO UPDATE SET mount_path = :mount_path, source_prefix = :source_prefix,
            permission_rules = :permission_rules, cache_enabled = :cache_enabled,
            cache_ttl_seconds = :cache_ttl_seconds, enabled = :enabled, updated_at = :updated_at";
    let params = named_params! {
        ":id": mount.id,
        ":agent_id": mount.agent_id,
        ":bucket_id": mount.bucket_id,
        ":mount_path": mount.mount_path,
        ":source_prefix": mount.source_prefix,
        ":permission_rules": serde_json::json!(mount.permission_rules).to_string(),
        ":cache_enabled": mount.cache_enabled,
        ":cache_ttl_seconds": mount.cache_ttl_seconds,
        ":enabled": mount.enabled,
        ":created_at": text::micros(mount.created_at),
        ":updated_at": text::micros(mount.updated_at),
    };
    write.execute(sql, params).map(drop)
}

/// Deletes an agent's mount; answers whether there was one.
///
/// # Errors
/// When the query fails.
pub fn delete(write: &Write<'_>, agent_id: &str, id: &str) -> QueryResult<bool> {
    let count = write.execute("DELETE FROM mounts WHERE agent_id = ?1 AND id = ?2", [agent_id, id])?;
    Ok(count > 0)
}
