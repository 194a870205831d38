//! Agents.

use castari_common::Page;
use castari_common::agents::{Agent, AgentFilter, AgentStatus, UpdateAgent};
use jiff::Timestamp;
use rusqlite::{Row, named_params, params};

use super::{QueryResult, Read, Write, text};

const COLUMNS: &str = "agents.*, serving.source_hash
    FROM agents LEFT JOIN deployments AS serving ON serving.id = agents.serving_id";

const MATCHES: &str = "agents.user_id = :user_id AND (:status IS NULL OR agents.status = :status)
    AND (:search IS NULL OR instr(lower(name || char(10) || slug || char(10) || ifnull(description, '')), :search))";

fn agent(row: &Row<'_>) -> QueryResult<Agent> {
    Ok(Agent {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        name: row.get("name")?,
        slug: row.get("slug")?,
        description: row.get("description")?,
        source_type: text::named(row, "source_type")?,
        git_repo_url: row.get("git_repo_url")?,
        git_branch: row.get("git_branch")?,
        source_hash: row.get("source_hash")?,
        default_model: row.get("default_model")?,
        max_turns: row.get("max_turns")?,
        timeout_seconds: row.get("timeout_seconds")?,
        status: text::named(row, "status")?,
        status_message: row.get("status_message")?,
        sandbox_id: None,
        created_at: text::time(row, "created_at")?,
        updated_at: text::time(row, "updated_at")?,
    })
}

/// A user's agent by its slug.
///
/// # Errors
/// When the query fails.
pub fn by_slug(read: &Read<'_>, user_id: &str, slug: &str) -> QueryResult<Option<Agent>> {
    let sql = format!("SELECT {COLUMNS} WHERE agents.user_id = ?1 AND agents.slug = ?2");
    read.optional(&sql, [user_id, slug], agent)
}

/// An agent by its id.
///
/// # Errors
/// When the query fails.
pub fn by_id(read: &Read<'_>, id: &str) -> QueryResult<Option<Agent>> {
    read.optional(&format!("SELECT {COLUMNS} WHERE agents.id = ?1"), [id], agent)
}

/// A page of a user's agents, newest first, and how many there are in all.
///
/// # Errors
/// When the query fails.
pub fn list(read: &Read<'_>, user_id: &str, filter: &AgentFilter, page: Page) -> QueryResult<(Vec<Agent>, u64)> {
    let status = filter.status.as_ref().map(text::name).transpose()?;
    let search = filter.search.as_ref().map(|search| search.to_ascii_lowercase());
    let sql = format!("SELECT count(*) FROM agents WHERE {MATCHES}");
    let params = named_params! {":user_id": user_id, ":status": status, ":search": search};
    let total = read.one(&sql, params, |row| row.get(0))?;
    let sql = format!(
        "SELECT {COLUMNS} WHERE {MATCHES} ORDER BY agents.created_at DESC, agents.id DESC LIMIT :limit OFFSET :offset"
    );
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let params = named_params! {
        ":user_id": user_id, ":status": status, ":search": search, ":limit": page.limit, ":offset": offset,
    };
    Ok((read.all(&sql, params, agent)?, total))
}

/// Adds an agent.
///
/// # Errors
/// When the query fails, as it does for a slug that the user has already.
pub fn insert(write: &Write<'_>, agent: &Agent) -> QueryResult<()> {
    let sql = "INSERT INTO agents (id, user_id, name, slug, description, source_type, git_repo_url, git_branch,
            default_model, max_turns, timeout_seconds, status, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let params = params![
        agent.id,
        agent.user_id,
        agent.name,
        agent.slug,
        agent.description,
        text::name(&agent.source_type)?,
        agent.git_repo_url,
        agent.git_branch,
        agent.default_model,
        agent.max_turns,
        agent.timeout_seconds,
        text::name(&agent.status)?,
        text::micros(agent.created_at),
        text::micros(agent.updated_at),
    ];
    write.execute(sql, params).map(drop)
}

/// Changes what `change` names. Who names a repository wants it deployed from now on.
///
/// # Errors
/// When the query fails.
pub fn update(write: &Write<'_>, id: &str, change: &UpdateAgent, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE agents SET
            name = ifnull(:name, name),
            description = iif(:has_description, :description, description),
            git_repo_url = iif(:has_git_repo_url, :git_repo_url, git_repo_url),
            source_type = iif(:git_repo_url IS NULL, source_type, 'git'),
            git_branch = ifnull(:git_branch, git_branch),
            default_model = ifnull(:default_model, default_model),
            max_turns = ifnull(:max_turns, max_turns),
            timeout_seconds = ifnull(:timeout_seconds, timeout_seconds),
            updated_at = :now
        WHERE id = :id";
    let params = named_params! {
        ":id": id,
        ":name": change.name,
        ":has_description": change.description.is_some(),
        ":description": change.description.clone().flatten(),
        ":has_git_repo_url": change.git_repo_url.is_some(),
        ":git_repo_url": change.git_repo_url.clone().flatten(),
        ":git_branch": change.git_branch,
        ":default_model": change.default_model,
        ":max_turns": change.max_turns,
        ":timeout_seconds": change.timeout_seconds,
        ":now": text::micros(now),
    };
    write.execute(sql, params).map(drop)
}

/// Sets the status and what there is to say about it, once no deployment goes on.
///
/// # Errors
/// When the query fails.
pub fn set_status(
    write: &Write<'_>,
    id: &str,
    status: AgentStatus,
    message: Option<&str>,
    now: Timestamp,
) -> QueryResult<()> {
    let sql = "UPDATE agents SET status = ?2, status_message = ?3, deploying_id = NULL, updated_at = ?4 WHERE id = ?1";
    write
        .execute(sql, params![id, text::name(&status)?, message, text::micros(now)])
        .map(drop)
}

/// Notes that a deployment goes on.
///
/// # Errors
/// When the query fails.
pub fn set_deploying(write: &Write<'_>, id: &str, deployment_id: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE agents SET status = 'deploying', status_message = NULL, deploying_id = ?2, updated_at = ?3
        WHERE id = ?1";
    write
        .execute(sql, params![id, deployment_id, text::micros(now)])
        .map(drop)
}

/// Whether this deployment is the one that goes on.
///
/// # Errors
/// When the query fails.
pub fn is_deploying(read: &Read<'_>, id: &str, deployment_id: &str) -> QueryResult<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM agents WHERE id = ?1 AND deploying_id = ?2)";
    read.one(sql, [id, deployment_id], |row| row.get(0))
}

/// Sets which deployment serves.
///
/// # Errors
/// When the query fails.
pub fn set_serving(write: &Write<'_>, id: &str, deployment_id: Option<&str>) -> QueryResult<()> {
    write
        .execute(
            "UPDATE agents SET serving_id = ?2 WHERE id = ?1",
            params![id, deployment_id],
        )
        .map(drop)
}

/// Whether a deployment serves.
///
/// # Errors
/// When the query fails.
pub fn is_serving(read: &Read<'_>, id: &str) -> QueryResult<bool> {
    read.one("SELECT serving_id IS NOT NULL FROM agents WHERE id = ?1", [id], |row| {
        row.get(0)
    })
}

/// Makes an uploaded archive the agent's code from now on.
///
/// # Errors
/// When the query fails.
pub fn set_upload(write: &Write<'_>, id: &str, hash: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE agents SET upload_hash = ?2, source_type = 'local', updated_at = ?3 WHERE id = ?1";
    write.execute(sql, params![id, hash, text::micros(now)]).map(drop)
}

/// The archive that was uploaded last.
///
/// # Errors
/// When the query fails.
pub fn upload(read: &Read<'_>, id: &str) -> QueryResult<Option<String>> {
    read.one("SELECT upload_hash FROM agents WHERE id = ?1", [id], |row| row.get(0))
}

/// The archives that any agent would deploy, or is being deployed from.
///
/// # Errors
/// When the query fails.
pub fn uploads(read: &Read<'_>) -> QueryResult<Vec<String>> {
    let sql = "SELECT upload_hash FROM agents WHERE upload_hash IS NOT NULL
        UNION SELECT source_hash FROM deployments WHERE status = 'running' AND source_hash IS NOT NULL";
    read.all(sql, [], |row| row.get(0))
}

/// Deletes an agent with all that belongs to it.
///
/// # Errors
/// When the query fails.
pub fn delete(write: &Write<'_>, id: &str) -> QueryResult<()> {
    write.execute("DELETE FROM agents WHERE id = ?1", [id]).map(drop)
}

/// Agents that an earlier run of the server left deploying go back to what they can be: `active` where one of their
/// deployments serves, else `error`.
///
/// # Errors
/// When the query fails.
pub fn settle_interrupted(write: &Write<'_>, reason: &str, now: Timestamp) -> QueryResult<()> {
    let sql = "UPDATE agents SET status = iif(serving_id IS NULL, 'error', 'active'), status_message = ?1,
        deploying_id = NULL, updated_at = ?2
        WHERE status = 'deploying'";
    write.execute(sql, params![reason, text::micros(now)]).map(drop)
}
