//! The windows of a column that holds dates or timestamps, in SQL: where they start, and which rows lie in them.

use super::describe::{Described, column_sql};
use super::position::written;
use super::snapshot::Snapshot;
use crate::error::wrap;
use arrow::datatypes::DataType;
use karat_plugin_api::{ConnectorError, CursorValue, DeclaredType, ErrorKind, WindowBounds, next_window, window_start};
use karat_spec::model::Window;

const DAY_MICROS: i64 = 86_400_000_000;

/// The days since 1970-01-01 of a date or timestamp; `None` for other values.
pub(crate) fn day_of(value: &CursorValue) -> Option<i64> {
    match value {
        CursorValue::Date(days) => Some(i64::from(*days)),
        CursorValue::Timestamp(micros) => Some(micros.div_euclid(DAY_MICROS)),
        _ => None,
    }
}

/// A column and the windows that its values lie in.
pub(crate) struct Calendar {
    /// The column.
    pub(crate) sql: String,
    kind: Kind,
    unit: Window,
    /// True when each look at the column's least value behind another one is a look at an index.
    is_indexed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    /// Its days are those of the clock that wrote it.
    Timestamp,
    /// Its days are those of UTC.
    Instant,
}

impl Calendar {
    /// The windows of one column.
    pub(crate) fn new(described: &Described, name: &str, unit: Window) -> Result<Self, ConnectorError> {
        let (column, facts) = described.require(name)?;
        let kind = match &facts.native.data_type {
            DataType::Date32 => Kind::Date,
            DataType::Timestamp(_, None) => Kind::Timestamp,
            DataType::Timestamp(_, Some(_)) => Kind::Instant,
            other => {
                let found = DeclaredType::name_of(other).unwrap_or_else(|| column.declared.clone());
                return Err(ConnectorError::new(
                    ErrorKind::BadConfiguration,
                    format!("column `{name}` of {} is `{found}`, and windows are of dates or timestamps", described.label),
                )
                .with_help("name a `date`, `timestamp` or `timestamptz` column in `cdc.cursor`"));
            }
        };
        let is_indexed = described.schema.indexes.iter().any(|columns| columns.first().is_some_and(|first| first == name));
        if !is_indexed && described.heap.is_some() {
            tracing::warn!(source = %described.label, column = name, "no index begins with the column that windows are of: each window reads the whole table");
        }
        Ok(Self { sql: column_sql(name), kind, unit, is_indexed })
    }

    /// The start of the window in which a day lies; `None` outside of the calendar.
    pub(crate) fn window_of(&self, day: i64) -> Option<CursorValue> {
        let value = match self.kind {
            Kind::Date => CursorValue::Date(i32::try_from(day).ok()?),
            Kind::Timestamp | Kind::Instant => CursorValue::Timestamp(day.checked_mul(DAY_MICROS)?),
        };
        window_start(&value, self.unit)
    }

    fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Date => "date",
            Kind::Timestamp => "timestamp",
            Kind::Instant => "timestamptz",
        }
    }

    fn value(&self, value: &CursorValue) -> Result<String, ConnectorError> {
        written(value, self.type_name())
    }

    /// The day of an expression of the column's type, which is NULL for infinite values.
    fn day(&self, expression: &str) -> String {
        let day = match self.kind {
            Kind::Date => expression.to_owned(),
            Kind::Timestamp => format!("{expression}::date"),
            Kind::Instant => format!("({expression} AT TIME ZONE 'UTC')::date"),
        };
        format!("CASE WHEN pg_catalog.isfinite({expression}) THEN {day} - '1970-01-01'::date END")
    }

    /// Where the windows start that have rows at or after `lower`, in order. Values outside of the calendar have none.
    pub(crate) async fn starts(&self, snapshot: &mut Snapshot, lower: Option<&CursorValue>) -> Result<Vec<CursorValue>, ConnectorError> {
        let mut condition = match lower {
            Some(lower) => format!("{} >= {}", self.sql, self.value(lower)?),
            None => format!("{} > '-infinity'", self.sql),
        };
        if !self.is_indexed {
            return self.starts_by_one_scan(snapshot, &condition).await;
        }
        let mut starts = Vec::new();
        loop {
            let least = format!("(SELECT {} FROM (SELECT min({}) AS least FROM {} WHERE {condition}) AS found)", self.day("least"), self.sql, snapshot.described.from);
            let Some(start) = snapshot.number(&least).await?.and_then(|day| self.window_of(day)) else { return Ok(starts) };
            let next = next_window(&start, self.unit);
            starts.push(start);
            let Some(next) = next else { return Ok(starts) };
            condition = format!("{} >= {}", self.sql, self.value(&next)?);
        }
    }

    async fn starts_by_one_scan(&self, snapshot: &mut Snapshot, condition: &str) -> Result<Vec<CursorValue>, ConnectorError> {
        let sql = format!("SELECT DISTINCT {} AS day FROM {} WHERE {condition} ORDER BY day", self.day(&self.sql), snapshot.described.from);
        let days = snapshot.session.rows(&sql).await.map_err(|error| wrap(&format!("read {}", snapshot.described.label), error))?;
        let mut starts: Vec<CursorValue> = days.iter().filter_map(|row| self.window_of(row.number(0)?)).collect();
        starts.dedup();
        Ok(starts)
    }

    /// True of the rows inside of the bounds, and of those without a value when they are to be read.
    pub(crate) fn condition(&self, bounds: &WindowBounds, with_null: bool) -> Result<String, ConnectorError> {
        let mut parts = Vec::new();
        for (operator, bound) in [(">=", &bounds.from), ("<", &bounds.until)] {
            if let Some(bound) = bound {
                parts.push(format!("{} {operator} {}", self.sql, self.value(bound)?));
            }
        }
        Ok(match (parts.is_empty(), with_null) {
            (true, true) => "true".to_owned(),
            (true, false) => format!("{} IS NOT NULL", self.sql),
            (false, true) => format!("({} OR {} IS NULL)", parts.join(" AND "), self.sql),
            (false, false) => parts.join(" AND "),
        })
    }
}
