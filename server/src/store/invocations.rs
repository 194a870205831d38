//! Invocations.

use castari_common::invocations::{Invocation, InvocationFilter, InvocationStatus};
use castari_common::{Page, Usd};
use jiff::Timestamp;
use rusqlite::{Row, named_params, params};

use super::usage::{self, Day};
use super::{QueryResult, Read, Write, text};

/// How many characters of prompt and response a list shows.
const START_CHARACTERS: usize = 500;

/// An invocation whose agent was deleted is gone, also where its row is still to go.
const FROM: &str = "FROM invocations JOIN agents ON agents.id = invocations.agent_id";

/// With a status the planner would take another.
const OF_SESSION: &str = "invocations INDEXED BY invocations_newest_of_session";

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
    /// What it took of models.
    pub spent: Spent,
}

/// What an invocation took of models.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Tokens that went to them.
    pub input_tokens: u64,
    /// Tokens that came from them.
    pub output_tokens: u64,
    /// What the calls cost.
    pub cost: Usd,
}

/// Whose invocations a list is of.
#[derive(Clone, Debug)]
pub enum Owner {
    /// All of a user's.
    User(String),
    /// One agent's.
    Agent(String),
}

impl Owner {
    /// The user's or the agent's id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Agent(id) => id,
        }
    }

    /// The column of an invocation that names it.
    fn column(&self) -> &'static str {
        match self {
            Self::User(_) => "user_id",
            Self::Agent(_) => "agent_id",
        }
    }
}

fn invocation(row: &Row<'_>, prompt: &str, response: &str) -> QueryResult<Invocation> {
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
        total_cost_usd: text::money(row, "cost_picodollars")?.to_f64(),
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
        sandbox_id = ?6, input_tokens = ?7, output_tokens = ?8, cost_picodollars = ?9 WHERE id = ?1";
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
            outcome.sandbox_id,
            outcome.spent.input_tokens,
            outcome.spent.output_tokens,
            outcome.spent.cost.picodollars()
        ],
    )?;
    let sql = "UPDATE invocation_texts SET response = ?2, log = ?3 WHERE invocation_id = ?1";
    write.execute(sql, [id, &outcome.response, &outcome.log]).map(drop)
}

/// A page of invocations, newest first, and how many there are in all. Prompts and responses are cut. The agent that the
/// filter names is the owner's matter.
///
/// # Errors
/// When the query fails.
pub fn list(
    read: &Read<'_>,
    owner: &Owner,
    filter: &InvocationFilter,
    page: Page,
) -> QueryResult<(Vec<Invocation>, u64)> {
    match &filter.session_id {
        None => newest(read, owner, filter.status, page),
        Some(session_id) => of_session(read, owner, session_id, filter.status, page),
    }
}

/// The sums of the days say how many there are, and in which day the page begins, so that no more of the rows before it
/// have to be passed over than that day has.
fn newest(
    read: &Read<'_>,
    owner: &Owner,
    status: Option<InvocationStatus>,
    page: Page,
) -> QueryResult<(Vec<Invocation>, u64)> {
    let days = usage::counts(read, owner, status)?;
    let total = days.iter().map(|(_, count)| count).sum();
    let Some((day, offset)) = seek(&days, page.offset) else {
        return Ok((Vec::new(), total));
    };
    let sql = page_sql(
        "invocations",
        &newest_matches(owner, status, is_departing(read, owner)?),
    );
    let status = status.as_ref().map(text::name).transpose()?;
    let params = named_params! {
        ":owner": owner.id(),
        ":status": status,
        ":before": day.plus(1).micros(),
        ":limit": page.limit,
        ":offset": offset,
    };
    Ok((read.all(&sql, params, listed)?, total))
}

/// The day that a place in the list falls in, and its place in that day; `None` behind the end.
fn seek(days: &[(Day, u64)], offset: u64) -> Option<(Day, u64)> {
    let mut left = offset;
    for (day, count) in days {
        if left < *count {
            return Some((*day, left));
        }
        left -= count;
    }
    None
}

/// Whether a user has invocations that are to be passed over, as their agent was deleted and they are about to go.
fn is_departing(read: &Read<'_>, owner: &Owner) -> QueryResult<bool> {
    match owner {
        Owner::Agent(_) => Ok(false),
        Owner::User(id) => {
            let sql = "SELECT EXISTS (SELECT 1 FROM departed WHERE user_id = ?1)";
            read.one(sql, [id], |row| row.get(0))
        }
    }
}

/// Each combination has an index of its own that gives the ids in order, without a look at the rows.
fn newest_matches(owner: &Owner, status: Option<InvocationStatus>, is_departing: bool) -> String {
    let (column, by_status) = (owner.column(), by_status(status));
    let present = if is_departing {
        "AND NOT EXISTS (SELECT 1 FROM departed WHERE departed.agent_id = invocations.agent_id)"
    } else {
        ""
    };
    format!("{column} = :owner AND {by_status} AND created_at < :before {present}")
}

fn by_status(status: Option<InvocationStatus>) -> &'static str {
    // One text for both would keep SQLite from the index.
    match status {
        Some(_) => "status = :status",
        None => ":status IS NULL",
    }
}

fn of_session(
    read: &Read<'_>,
    owner: &Owner,
    session_id: &str,
    status: Option<InvocationStatus>,
    page: Page,
) -> QueryResult<(Vec<Invocation>, u64)> {
    let matches = session_matches(owner, status);
    let status = status.as_ref().map(text::name).transpose()?;
    let sql = session_count_sql(&matches);
    let params = named_params! {":owner": owner.id(), ":session_id": session_id, ":status": status};
    let total = read.one(&sql, params, |row| row.get(0))?;
    let params = named_params! {
        ":owner": owner.id(),
        ":session_id": session_id,
        ":status": status,
        ":limit": page.limit,
        ":offset": i64::try_from(page.offset).unwrap_or(i64::MAX),
    };
    Ok((read.all(&page_sql(OF_SESSION, &matches), params, listed)?, total))
}

/// Agents name their sessions alike or not: each of the owner's is looked at.
fn session_matches(owner: &Owner, status: Option<InvocationStatus>) -> String {
    let agents = match owner {
        Owner::User(_) => "IN (SELECT id FROM agents WHERE user_id = :owner)",
        Owner::Agent(_) => "= :owner",
    };
    format!(
        "agent_id {agents} AND session_id = :session_id AND {}",
        by_status(status)
    )
}

fn session_count_sql(matches: &str) -> String {
    format!("SELECT count(*) FROM {OF_SESSION} WHERE {matches}")
}

/// First the ids of the page, from an index; only then the rows.
fn page_sql(source: &str, matches: &str) -> String {
    format!(
        "SELECT invocations.*, agents.slug AS agent_slug
        FROM (SELECT id FROM {source} WHERE {matches}
            ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset) AS page
        CROSS JOIN invocations ON invocations.id = page.id
        CROSS JOIN agents ON agents.id = invocations.agent_id
        ORDER BY invocations.created_at DESC, invocations.id DESC"
    )
}

fn listed(row: &Row<'_>) -> QueryResult<Invocation> {
    invocation(row, "prompt_start", "response_start")
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
    let sql = format!(
        "SELECT texts.log {FROM}
        JOIN invocation_texts AS texts ON texts.invocation_id = invocations.id
        WHERE invocations.user_id = ?1 AND invocations.id = ?2"
    );
    read.optional(&sql, [user_id, id], |row| row.get(0))
}

/// Ends what an earlier run of the server left running. How long it ran nobody knows.
///
/// # Errors
/// When the query fails.
pub fn fail_interrupted(write: &Write<'_>, reason: &str) -> QueryResult<usize> {
    write.execute(
        "UPDATE invocations SET status = 'failed', error_message = ?1 WHERE status = 'running'",
        [reason],
    )
}

/// The queries of an owner's lists, and how each is to go about it.
#[cfg(test)]
pub(super) fn list_sqls(owner: &Owner, status: Option<InvocationStatus>) -> Vec<(String, &'static str)> {
    let page = |is_departing| page_sql("invocations", &newest_matches(owner, status, is_departing));
    let matches = session_matches(owner, status);
    let of_session = [page_sql(OF_SESSION, &matches), session_count_sql(&matches)];
    let (newest, session) = match (owner, status) {
        (Owner::User(_), None) => ("COVERING INDEX invocations_newest ", "COVERING INDEX"),
        (Owner::User(_), Some(_)) => ("COVERING INDEX invocations_newest_by_status ", "INDEX"),
        (Owner::Agent(_), None) => ("COVERING INDEX invocations_newest_of_agent ", "COVERING INDEX"),
        (Owner::Agent(_), Some(_)) => ("COVERING INDEX invocations_newest_of_agent_by_status ", "INDEX"),
    };
    let mut sqls = vec![(page(false), newest)];
    if matches!(owner, Owner::User(_)) {
        sqls.push((page(true), newest.trim_start_matches("COVERING ")));
    }
    sqls.extend(of_session.map(|sql| (sql, session)));
    sqls
}
