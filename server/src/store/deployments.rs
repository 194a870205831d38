//! Deployments.

use castari_common::Page;
use castari_common::deployments::Deployment;
use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{QueryResult, Read, Write, text};

/// Built code and how to run it.
#[derive(Clone, Debug)]
pub struct Build {
    /// The uploaded archive's SHA-256 or the cloned commit.
    pub source_hash: Option<String>,
    /// The hash of the built tree.
    pub code_hash: String,
    /// Node's arguments, from `/workspace`.
    pub node_args: Vec<String>,
}

fn deployment(row: &Row<'_>) -> QueryResult<Deployment> {
    Ok(Deployment {
        id: row.get("id")?,
        status: text::named(row, "status")?,
        source_hash: row.get("source_hash")?,
        started_at: text::time(row, "started_at")?,
        finished_at: text::optional_time(row, "finished_at")?,
        error: row.get("error")?,
    })
}

/// A page of an agent's deployments, newest first, and how many there are in all.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, agent_id: &str, page: Page) -> QueryResult<(Vec<Deployment>, u64)> {
    let total = read.one(
        "SELECT count(*) FROM deployments WHERE agent_id = ?1",
        [agent_id],
        |row| row.get(0),
    )?;
    let sql = "SELECT * FROM deployments WHERE agent_id = ?1 ORDER BY started_at DESC, id DESC LIMIT ?2 OFFSET ?3";
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    Ok((read.all(sql, params![agent_id, page.limit, offset], deployment)?, total))
}

/// An agent's deployment.
///
/// # Errors
/// When the query fails.
pub fn by_id(read: &Read<'_>, agent_id: &str, id: &str) -> QueryResult<Option<Deployment>> {
    read.optional(
        "SELECT * FROM deployments WHERE agent_id = ?1 AND id = ?2",
        [agent_id, id],
        deployment,
    )
}

/// Adds a deployment that runs; from an archive, with that archive's hash.
///
/// # Errors
/// When the query fails.
pub fn insert(write: &Write<'_>, agent_id: &str, id: &str, archive: Option<&str>, now: Timestamp) -> QueryResult<()> {
    let sql =
        "INSERT INTO deployments (id, agent_id, status, source_hash, started_at) VALUES (?1, ?2, 'running', ?3, ?4)";
    write
        .execute(sql, params![id, agent_id, archive, text::micros(now)])
        .map(drop)
}

/// Ends a deployment with what it built.
///
/// # Errors
/// When the query fails.
pub fn succeed(write: &Write<'_>, id: &str, build: &Build, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE deployments SET status = 'succeeded', source_hash = ?2, code_hash = ?3, node_args = ?4,
        finished_at = ?5 WHERE id = ?1";
    let args = serde_json::json!(build.node_args).to_string();
    write
        .execute(
            sql,
            params![id, build.source_hash, build.code_hash, args, text::micros(now)],
        )
        .map(drop)
}

/// Ends a deployment with the reason why it failed.
///
/// # Errors
/// When the query fails.
pub fn fail(write: &Write<'_>, id: &str, error: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE deployments SET status = 'failed', error = ?2, finished_at = ?3 WHERE id = ?1";
    write.execute(sql, params![id, error, text::micros(now)]).map(drop)
}

/// The build that serves for an agent.
///
/// # Errors
/// When the query fails.
pub fn serving(read: &Read<'_>, agent_id: &str) -> QueryResult<Option<Build>> {
    let sql = "SELECT deployments.* FROM agents JOIN deployments ON deployments.id = agents.serving_id
        WHERE agents.id = ?1";
    read.optional(sql, [agent_id], |row| {
        Ok(Build {
            source_hash: row.get("source_hash")?,
            code_hash: row.get("code_hash")?,
            node_args: text::json(row, "node_args")?.unwrap_or_default(),
        })
    })
}

/// The hashes of all trees that serve.
///
/// # Errors
/// When the query fails.
pub fn serving_code(read: &Read<'_>) -> QueryResult<Vec<String>> {
    let sql = "SELECT DISTINCT code_hash FROM deployments JOIN agents ON agents.serving_id = deployments.id";
    read.all(sql, [], |row| row.get(0))
}

/// The ids of an agent's deployments.
///
/// # Errors
/// When the query fails.
pub fn ids(read: &Read<'_>, agent_id: &str) -> QueryResult<Vec<String>> {
    read.all("SELECT id FROM deployments WHERE agent_id = ?1", [agent_id], |row| {
        row.get(0)
    })
}

/// The ids of all deployments of all agents.
///
/// # Errors
/// When the query fails.
pub fn all_ids(read: &Read<'_>) -> QueryResult<Vec<String>> {
    read.all("SELECT id FROM deployments", [], |row| row.get(0))
}

/// Ends what an earlier run of the server left running.
///
/// # Errors
/// When the query fails.
pub fn fail_interrupted(write: &Write<'_>, reason: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE deployments SET status = 'failed', error = ?1, finished_at = ?2 WHERE status = 'running'";
    write.execute(sql, params![reason, text::micros(now)]).map(drop)
}
