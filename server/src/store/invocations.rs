//! Invocations.

use castari_common::Page;
use castari_common::invocations::{Invocation, InvocationFilter, InvocationStatus};
use jiff::Timestamp;
use rusqlite::{Row, named_params, params};

use super::{QueryResult, Read, Write, text};

/// How many characters of prompt and response a list shows.
const START_CHARACTERS: usize = 500;

const FROM: &str = "FROM invocations JOIN agents ON agents.id = invocations.agent_id";

/// An invocation that starts.
pub struct NewInvocation {
    /// `inv_…`
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The agent that runs.
    pub agent_id: String,
    /// The session that it runs in.
    pub session_id: String,
    /// What the agent is asked.
    pub prompt: String,
}

/// How an invocation ended.
pub struct Outcome {
    /// `Completed` or `Failed`.
    pub status: InvocationStatus,
    /// The sandbox that it ran in, if it came so far.
    pub sandbox_id: Option<String>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// What the agent wrote to stdout.
    pub response: String,
    /// What the agent wrote to stderr.
    pub log: String,
    /// How long it took.
    pub duration_ms: u64,
}

/// Whose invocations a list is of.
#[derive(Clone, Debug)]
pub enum Owner {
    /// All of a user's.
    User(String),
    /// One agent's.
    Agent(String),
}

fn invocation(row: &Row<'_>, prompt: &str, response: &str) -> QueryResult<Invocation> {
    let cost: String = row.get("cost_usd")?;
    Ok(Invocation {
        id: row.get("id")?,
        agent_id: row.get("agent_id")?,
        agent_slug: row.get("agent_slug")?,
        session_id: row.get("session_id")?,
        sandbox_id: row.get("sandbox_id")?,
        prompt: row.get(prompt)?,
        response_content: row.get(response)?,
        status: text::named(row, "status")?,
        error_message: row.get("error_message")?,
        input_tokens: row.get("input_tokens")?,
        output_tokens: row.get("output_tokens")?,
        total_cost_usd: cost.parse().unwrap_or_default(),
        duration_ms: row.get("duration_ms")?,
        created_at: text::time(row, "created_at")?,
    })
}

fn start_of(text: &str) -> &str {
    text.char_indices()
        .nth(START_CHARACTERS)
        .map_or(text, |(end, _)| &text[..end])
}

/// Adds an invocation that runs.
///
/// # Errors
/// When the query fails.
pub fn insert(write: &Write<'_>, new: &NewInvocation, now: Timestamp) -> QueryResult<()> {
    let sql = "INSERT INTO invocations (id, user_id, agent_id, session_id, status, prompt_start, created_at)
        VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6)";
    let start = start_of(&new.prompt);
    write.execute(
        sql,
        params![
            new.id,
            new.user_id,
            new.agent_id,
            new.session_id,
            start,
            text::micros(now)
        ],
    )?;
    let sql = "INSERT INTO invocation_texts (invocation_id, prompt) VALUES (?1, ?2)";
    write.execute(sql, [&new.id, &new.prompt]).map(drop)
}

/// Ends an invocation. One that went with its agent meanwhile stays gone.
///
/// # Errors
/// When the query fails.
pub fn finish(write: &Write<'_>, id: &str, outcome: &Outcome) -> QueryResult<()> {
    let sql = "UPDATE invocations SET status = ?2, error_message = ?3, response_start = ?4, duration_ms = ?5,
        sandbox_id = ?6 WHERE id = ?1";
    let start = start_of(&outcome.response);
    let status = text::name(&outcome.status)?;
    write.execute(
        sql,
        params![
            id,
            status,
            outcome.error_message,
            start,
            outcome.duration_ms,
            outcome.sandbox_id
        ],
    )?;
    let sql = "UPDATE invocation_texts SET response = ?2, log = ?3 WHERE invocation_id = ?1";
    write.execute(sql, [id, &outcome.response, &outcome.log]).map(drop)
}

/// A page of invocations, newest first, and how many there are in all. Prompts and responses are cut.
///
/// # Errors
/// When the query fails.
pub fn list(
    read: &Read<'_>,
    owner: &Owner,
    filter: InvocationFilter,
    page: Page,
) -> QueryResult<(Vec<Invocation>, u64)> {
    // Each combination has an index of its own that gives the rows in order.
    let (column, owner) = match owner {
        Owner::User(id) => ("user_id", id),
        Owner::Agent(id) => ("agent_id", id),
    };
    let status = filter.status.as_ref().map(text::name).transpose()?;
    let by_status = if status.is_some() {
        "AND invocations.status = :status"
    } else {
        "AND :status IS NULL"
    };
    let matches = format!("invocations.{column} = :owner {by_status}");
    let sql = format!("SELECT count(*) FROM invocations WHERE {matches}");
    let total = read.one(&sql, named_params! {":owner": owner, ":status": status}, |row| {
        row.get(0)
    })?;
    let sql = format!(
        "SELECT invocations.*, agents.slug AS agent_slug {FROM} WHERE {matches}
        ORDER BY invocations.created_at DESC, invocations.id DESC LIMIT :limit OFFSET :offset"
    );
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let params = named_params! {":owner": owner, ":status": status, ":limit": page.limit, ":offset": offset};
    Ok((
        read.all(&sql, params, |row| invocation(row, "prompt_start", "response_start"))?,
        total,
    ))
}

/// A user's invocation, whole.
///
/// # Errors
/// When the query fails.
pub fn by_id(read: &Read<'_>, user_id: &str, id: &str) -> QueryResult<Option<Invocation>> {
    let sql = format!(
        "SELECT invocations.*, agents.slug AS agent_slug, texts.prompt, texts.response {FROM}
        JOIN invocation_texts AS texts ON texts.invocation_id = invocations.id
        WHERE invocations.user_id = ?1 AND invocations.id = ?2"
    );
    read.optional(&sql, [user_id, id], |row| invocation(row, "prompt", "response"))
}

/// What a user's invocation wrote to stderr.
///
/// # Errors
/// When the query fails.
pub fn log(read: &Read<'_>, user_id: &str, id: &str) -> QueryResult<Option<String>> {
    let sql = "SELECT log FROM invocation_texts JOIN invocations ON invocations.id = invocation_id
        WHERE user_id = ?1 AND id = ?2";
    read.optional(sql, [user_id, id], |row| row.get(0))
}

/// Ends what an earlier run of the server left running.
///
/// # Errors
/// When the query fails.
pub fn fail_interrupted(write: &Write<'_>, reason: &str) -> QueryResult<usize> {
    write.execute(
        "UPDATE invocations SET status = 'failed', error_message = ?1 WHERE status = 'running'",
        [reason],
    )
}
