//! The schema, as the steps that lead to it. A step that was released is never changed.

use rusqlite::Connection;
use rusqlite_migration::{Error, M, Migrations};

const STEPS: &[M<'static>] = &[
    M::up(include_str!("migrations/001-agents.sql")),
    M::up(include_str!("migrations/002-accounts.sql")),
    M::up(include_str!("migrations/003-secrets.sql")),
    M::up(include_str!("migrations/004-usage.sql")),
    M::up(include_str!("migrations/005-files.sql")),
    M::up(include_str!("migrations/006-buckets.sql")),
];

/// Brings a database to the newest schema. One that is newer already is refused.
pub(super) fn run(connection: &mut Connection) -> Result<(), Error> {
    Migrations::from_slice(STEPS).to_latest(connection)
}

/// Brings a new database only as far as an earlier release did.
#[cfg(test)]
pub(super) fn run_first(connection: &mut Connection, steps: usize) {
    Migrations::from_slice(STEPS).to_version(connection, steps).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_valid() {
        Migrations::from_slice(STEPS).validate().unwrap();
    }

    #[test]
    fn a_newer_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", STEPS.len() + 1).unwrap();
        run(&mut connection).unwrap_err();
    }
}
