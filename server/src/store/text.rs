//! How the wire's types stand in columns.

use castari_common::Usd;
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::QueryResult;

/// A time as it is stored.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A time from its column.
pub(super) fn time(row: &Row<'_>, column: &str) -> QueryResult<Timestamp> {
    from_micros(row.get(column)?)
}

/// A time that may be missing, from its column.
pub(super) fn optional_time(row: &Row<'_>, column: &str) -> QueryResult<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(from_micros).transpose()
}

fn from_micros(micros: i64) -> QueryResult<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|error| unreadable(Type::Integer, error))
}

/// Money from the column that holds its picodollars.
pub(super) fn money(row: &Row<'_>, column: &str) -> QueryResult<Usd> {
    row.get(column).map(Usd::from_picodollars)
}

/// An enum's name on the wire, which is also its name in the store.
pub(super) fn name<T: Serialize>(value: &T) -> QueryResult<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}

/// An enum from the column that holds its name.
pub(super) fn named<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> QueryResult<T> {
    let name: String = row.get(column)?;
    serde_json::from_value(name.into()).map_err(|error| unreadable(Type::Text, error))
}

/// A value from the column that holds its JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> QueryResult<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| unreadable(Type::Text, error)))
        .transpose()
}

fn unreadable(kind: Type, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error))
}
