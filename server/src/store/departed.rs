//! Agents that were deleted, until the last of their invocations has gone too.

use super::{QueryResult, Write};

/// How many invocations go in one transaction: few enough that other writes hardly wait for it.
const PORTION: u32 = 50;

/// Notes that an agent goes and its invocations have to follow.
///
/// # Errors
/// When the query fails.
pub fn add(write: &Write<'_>, agent_id: &str, user_id: &str) -> QueryResult<()> {
    let sql = "INSERT INTO departed (agent_id, user_id) VALUES (?1, ?2)";
    write.execute(sql, [agent_id, user_id]).map(drop)
}

/// Deletes a portion of the invocations of an agent that went; answers whether some may be left, of any.
///
/// # Errors
/// When the query fails.
pub fn sweep(write: &Write<'_>) -> QueryResult<bool> {
    let sql = "SELECT agent_id FROM departed LIMIT 1";
    let Some(agent_id) = write.optional(sql, [], |row| row.get::<_, String>(0))? else {
        return Ok(false);
    };
    // By age, as neighbours in that are neighbours on most of the pages that change.
    let sql = "DELETE FROM invocations WHERE id IN (SELECT id FROM invocations INDEXED BY invocations_newest_of_agent
        WHERE agent_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2)";
    if write.execute(sql, rusqlite::params![agent_id, PORTION])? == 0 {
        write.execute("DELETE FROM departed WHERE agent_id = ?1", [agent_id])?;
    }
    Ok(true)
}
