//! The rows of a table that lie in a window.

use crate::client::{literal, quote};
use crate::sink::column::Kind;
use crate::sink::define::Fit;
use crate::sink::live::{LiveTable, TableName};
use crate::sink::session::Session;
use chrono::{DateTime, Datelike};
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind, WindowBounds};

/// How long a window waits for another one of the same table.
const LOCK_SECONDS: u32 = 30;
const DAY_SECONDS: i64 = 86_400;

/// Refuses a window column that is not among those of the load, or is no date.
pub(crate) fn expect_column(name: &str, fit: &Fit) -> Result<(), ConnectorError> {
    let Some(column) = fit.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)) else {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{name}`, which windows are of, is not a column of the load"))
            .with_help("name it in `select`, or change `cdc.cursor`"));
    };
    if matches!(column.kind, Kind::Date | Kind::DateTime { .. } | Kind::Timestamp { .. }) {
        return Ok(());
    }
    Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{name}` is `{}` in the target, and windows are of dates or timestamps", column.declaration))
        .with_help("name a date or timestamp column in `cdc.cursor`, or load the table anew with `--full-refresh`"))
}

/// Says what it costs that no index finds the rows of a window.
pub(crate) fn warn_without_index(name: &str, live: &LiveTable) {
    if !live.indexes.iter().any(|index| index.columns.first().is_some_and(|first| first.eq_ignore_ascii_case(name))) {
        tracing::warn!(table = %live.name, column = name, "no index begins with the column that windows are of, so each window reads the whole table");
    }
}

/// True of the rows in these bounds; `side` is the table's name in the statement.
pub(crate) fn condition(side: &str, column: &str, bounds: &WindowBounds) -> Result<String, ConnectorError> {
    let column = format!("{side}{}", quote(column));
    let mut parts = Vec::new();
    if let Some(from) = &bounds.from {
        parts.push(match instant(from)? {
            Instant::Within(text) => format!("{column} >= {text}"),
            Instant::Before => format!("{column} IS NOT NULL"),
            Instant::After => "FALSE".to_owned(),
        });
    }
    if let Some(until) = &bounds.until {
        parts.push(match instant(until)? {
            Instant::Within(text) => format!("{column} < {text}"),
            Instant::Before => "FALSE".to_owned(),
            Instant::After => format!("{column} IS NOT NULL"),
        });
    }
    Ok(match (parts.is_empty(), bounds.with_null) {
        (true, true) => "TRUE".to_owned(),
        (true, false) => format!("{column} IS NOT NULL"),
        (false, true) => format!("({}) OR {column} IS NULL", parts.join(" AND ")),
        (false, false) => parts.join(" AND "),
    })
}

/// A bound, as far as the server knows such days.
enum Instant {
    Within(String),
    Before,
    After,
}

fn instant(value: &CursorValue) -> Result<Instant, ConnectorError> {
    let at = match value {
        CursorValue::Date(days) => DateTime::from_timestamp(i64::from(*days) * DAY_SECONDS, 0),
        CursorValue::Timestamp(micros) => DateTime::from_timestamp_micros(*micros),
        _ => None,
    };
    let at = at.ok_or_else(|| ConnectorError::new(ErrorKind::Bug, format!("a window is bounded by {value}, which is no date")))?;
    Ok(match at.year() {
        ..0 => Instant::Before,
        0..=9999 => Instant::Within(literal(&format!("{:04}{}", at.year(), at.format("-%m-%d %H:%M:%S%.6f")))),
        _ => Instant::After,
    })
}

/// Takes the named lock of a table's windows, so that they do not meet in a deadlock; it ends with the connection.
pub(crate) async fn lock(session: &mut Session, name: &TableName) -> Result<(), ConnectorError> {
    let sql = format!("SELECT GET_LOCK({}, {LOCK_SECONDS})", lock_name(name));
    if session.row::<Option<i64>>("lock the windows of a table", &sql).await?.flatten() == Some(1) {
        return Ok(());
    }
    Err(ConnectorError::new(ErrorKind::Busy, format!("another load is replacing a window of `{name}`")).with_help("wait for it, or end its session at the server"))
}

/// Lets go of it.
pub(crate) async fn unlock(session: &mut Session, name: &TableName) -> Result<(), ConnectorError> {
    let sql = format!("SELECT RELEASE_LOCK({})", lock_name(name));
    session.row::<Option<i64>>("unlock the windows of a table", &sql).await.map(|_| ())
}

/// Locks are the server's, not a database's, and their names are short.
fn lock_name(name: &TableName) -> String {
    let database = name.database.as_deref().map_or_else(|| "DATABASE()".to_owned(), literal);
    format!("CONCAT('karat:w:', LEFT(SHA2(CONCAT({database}, '.', {}), 256), 40))", literal(&name.table))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]
    use super::*;

    #[test]
    fn bounds_become_a_range_of_the_column() {
        let day = |day| Some(CursorValue::Date(day));
        let check = |from, until, with_null| condition("t.", "at", &WindowBounds { from, until, with_null }).unwrap();

        assert_eq!(check(day(19_723), day(19_754), false), "t.`at` >= '2024-01-01 00:00:00.000000' AND t.`at` < '2024-02-01 00:00:00.000000'");
        assert_eq!(check(None, Some(CursorValue::Timestamp(-1)), true), "(t.`at` < '1969-12-31 23:59:59.999999') OR t.`at` IS NULL");
        assert_eq!(check(None, None, false), "t.`at` IS NOT NULL");
        assert_eq!(check(None, None, true), "TRUE");
        assert_eq!(check(day(-800_000), day(3_000_000), false), "t.`at` IS NOT NULL AND t.`at` IS NOT NULL");
        assert_eq!(check(day(3_000_000), None, false), "FALSE");
        assert!(condition("", "at", &WindowBounds { from: Some(CursorValue::Int(1)), until: None, with_null: false }).is_err());
    }
}
