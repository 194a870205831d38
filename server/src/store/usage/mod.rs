//! What invocations add up to, by UTC day. Triggers keep the sums, in the transaction that changes the invocations.

use castari_common::Usd;
use castari_common::invocations::InvocationStatus;
use jiff::Timestamp;
use rusqlite::params;

use super::invocations::Owner;
use super::{QueryResult, Read, text};

const MICROS_A_DAY: i64 = 86_400_000_000;

/// A UTC day, by its distance from the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Day(i64);

impl Day {
    /// The day that a time is in.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_microsecond().div_euclid(MICROS_A_DAY))
    }

    /// The day so many days later.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self(self.0 + days)
    }

    /// Its first moment.
    #[must_use]
    pub fn midnight(self) -> Timestamp {
        Timestamp::from_microsecond(self.micros()).unwrap_or(Timestamp::MAX)
    }

    /// The first moment, as it is stored.
    pub(super) fn micros(self) -> i64 {
        self.0.saturating_mul(MICROS_A_DAY)
    }
}

/// What the invocations of one day add up to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// How many there are, in whatever status.
    pub invocations: u64,
    /// Tokens that went to models.
    pub input_tokens: u64,
    /// Tokens that came from models.
    pub output_tokens: u64,
    /// What the model calls cost.
    pub cost: Usd,
}

/// The table that sums up an owner's invocations, and the column that names the owner.
fn table(owner: &Owner) -> (&'static str, &'static str) {
    match owner {
        Owner::User(_) => ("user_days", "user_id"),
        Owner::Agent(_) => ("agent_days", "agent_id"),
    }
}

/// The sums of the days from `first` to `last` that have invocations, oldest first.
///
/// # Errors
/// When the query fails.
pub fn by_day(read: &Read<'_>, owner: &Owner, first: Day, last: Day) -> QueryResult<Vec<(Day, Sums)>> {
    let params = params![owner.id(), first.0, last.0];
    read.all(&by_day_sql(owner), params, |row| {
        let sums = Sums {
            invocations: row.get("invocations")?,
            input_tokens: row.get("input_tokens")?,
            output_tokens: row.get("output_tokens")?,
            cost: text::money(row, "cost_picodollars")?,
        };
        Ok((Day(row.get("day")?), sums))
    })
}

fn by_day_sql(owner: &Owner) -> String {
    let (table, column) = table(owner);
    format!(
        "SELECT day, running + completed + failed AS invocations, input_tokens, output_tokens, cost_picodollars
        FROM {table} WHERE {column} = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day"
    )
}

/// How many invocations each day has, in a status or in any, newest first.
///
/// # Errors
/// When the query fails.
pub(super) fn counts(read: &Read<'_>, owner: &Owner, status: Option<InvocationStatus>) -> QueryResult<Vec<(Day, u64)>> {
    read.all(&counts_sql(owner, status), [owner.id()], |row| {
        Ok((Day(row.get(0)?), row.get(1)?))
    })
}

fn counts_sql(owner: &Owner, status: Option<InvocationStatus>) -> String {
    let (table, column) = table(owner);
    let count = match status {
        None => "running + completed + failed",
        Some(InvocationStatus::Running) => "running",
        Some(InvocationStatus::Completed) => "completed",
        Some(InvocationStatus::Failed) => "failed",
    };
    format!("SELECT day, {count} FROM {table} WHERE {column} = ?1 ORDER BY day DESC")
}

#[cfg(test)]
mod tests;
