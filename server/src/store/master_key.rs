//! Which master key everything sealed is sealed with.

use super::{QueryResult, Read, Write};

/// The fingerprint of the master key; `None` in a database that nothing was sealed in yet.
///
/// # Errors
/// When the query fails.
pub fn fingerprint(read: &Read<'_>) -> QueryResult<Option<String>> {
    read.optional("SELECT fingerprint FROM master_key", [], |row| row.get(0))
}

/// Notes which master key everything is sealed with from now on.
///
/// # Errors
/// When the query fails.
pub fn set_fingerprint(write: &Write<'_>, fingerprint: &str) -> QueryResult<()> {
    let sql = "INSERT INTO master_key (id, fingerprint) VALUES (1, ?1)
        ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint";
    write.execute(sql, [fingerprint]).map(drop)
}
