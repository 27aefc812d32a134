//! One window of the target gives way to the staged rows, in the commit's transaction.
//!
//! Rows without a difference stay as they are where the key is proved unique: a month that is loaded again costs what changed in it.

use super::merge::{Merge, Merged};
use super::relation::{Trouble, updated, written};
use crate::client::Session;
use crate::source::position;
use crate::spelling::quote;
use arrow::datatypes::{DataType, Schema};
use karat_plugin_api::{ConnectorError, CursorValue, DeclaredType, ErrorKind, WindowBounds};

/// The column that windows are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowColumn {
    name: String,
    /// The type that bounds are written in; `None` for texts, which are read as what the bounds are.
    type_name: Option<&'static str>,
}

impl WindowColumn {
    /// The column of a load; the target has one of the same kind.
    pub(crate) fn of(schema: &Schema, name: &str) -> Result<Self, ConnectorError> {
        let field = schema.field_with_name(name).map_err(|_| {
            ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{name}`, which windows are of, is not a column of the load"))
                .with_help("name it in `select`, or change `cdc.cursor`")
        })?;
        let type_name = match field.data_type() {
            DataType::Date32 | DataType::Date64 => Some("date"),
            DataType::Timestamp(_, None) => Some("timestamp"),
            DataType::Timestamp(_, Some(_)) => Some("timestamptz"),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => None,
            other => {
                let found = DeclaredType::name_of(other).unwrap_or_else(|| other.to_string());
                return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{name}` is `{found}`, and windows are of dates or timestamps"))
                    .with_help("name a date or timestamp column in `cdc.cursor`"));
            }
        };
        Ok(Self { name: name.to_owned(), type_name })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// True of the rows of `held` that lie in the window.
    fn covers(&self, bounds: &WindowBounds) -> Result<String, ConnectorError> {
        let column = format!("held.{}", quote(&self.name));
        let mut parts = Vec::new();
        for (operator, bound) in [(">=", &bounds.from), ("<", &bounds.until)] {
            let Some(bound) = bound else { continue };
            let type_name = self.type_name.unwrap_or(if matches!(bound, CursorValue::Date(_)) { "date" } else { "timestamptz" });
            let value = if self.type_name.is_some() { column.clone() } else { format!("CAST({column} AS {type_name})") };
            parts.push(format!("{value} {operator} {}", position::written(bound, type_name)?));
        }
        Ok(match (parts.is_empty(), bounds.with_null) {
            (true, true) => "true".to_owned(),
            (true, false) => format!("{column} IS NOT NULL"),
            (false, true) => format!("({} OR {column} IS NULL)", parts.join(" AND ")),
            (false, false) => parts.join(" AND "),
        })
    }
}

/// One window on its way into the target.
pub(super) struct Exchange<'a> {
    pub(super) column: &'a WindowColumn,
    pub(super) bounds: &'a WindowBounds,
    pub(super) key: &'a [String],
    pub(super) has_unique_key: bool,
    /// Rows that are staged for it; what is staged belongs to an earlier window where there are none.
    pub(super) rows: u64,
    /// The table's number.
    pub(super) oid: u32,
}

/// Replaces the rows of the window, and those of the staged keys that lie elsewhere.
pub(super) async fn exchange(session: &mut Session, merge: &Merge<'_>, window: &Exchange<'_>) -> Result<Merged, Trouble> {
    let covered = window.column.covers(window.bounds)?;
    let delete = format!("DELETE FROM {} AS held", merge.table);
    if window.rows == 0 {
        let removed = written(session, &format!("{delete} WHERE {covered}")).await?;
        return Ok(Merged::new(0, removed));
    }
    let staged = format!("{} AS s", merge.staging);
    if window.has_unique_key {
        let vanished = format!("{delete} WHERE {covered} AND NOT EXISTS (SELECT 1 FROM {staged} WHERE {})", merge.same_key(window.key, "held"));
        let removed = written(session, &vanished).await?;
        let new = written(session, &merge.replace(window.key, &staged)).await?;
        return Ok(Merged::new(new, removed + updated(session, window.oid).await?.min(new)));
    }
    let mut removed = written(session, &format!("{delete} WHERE {covered}")).await?;
    if !window.key.is_empty() {
        removed += written(session, &format!("{delete} USING {staged} WHERE {}", merge.same_key(window.key, "held"))).await?;
    }
    Ok(Merged::new(written(session, &merge.add()).await?, removed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;
    use arrow::datatypes::{Field, TimeUnit};

    fn covers(data_type: DataType, from: Option<CursorValue>, until: Option<CursorValue>, with_null: bool) -> String {
        let schema = Schema::new(vec![Field::new("at", data_type, true)]);
        WindowColumn::of(&schema, "at").unwrap().covers(&WindowBounds { from, until, with_null }).unwrap()
    }

    #[test]
    fn bounds_are_written_as_the_column_holds_them() {
        let (date, instant) = (CursorValue::Date(0), CursorValue::Timestamp(86_400_000_000));
        assert_eq!(covers(DataType::Date32, None, None, true), "true");
        assert_eq!(covers(DataType::Date32, None, None, false), "held.\"at\" IS NOT NULL");
        assert_eq!(covers(DataType::Date32, Some(date.clone()), None, true), "(held.\"at\" >= '1970-01-01'::date OR held.\"at\" IS NULL)");
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(covers(zoned, None, Some(instant.clone()), false), "held.\"at\" < '1970-01-02 00:00:00.000000+00'::timestamptz");
        let text = covers(DataType::Utf8, Some(date), Some(instant), false);
        assert_eq!(text, "CAST(held.\"at\" AS date) >= '1970-01-01'::date AND CAST(held.\"at\" AS timestamptz) < '1970-01-02 00:00:00.000000+00'::timestamptz");
    }

    #[test]
    fn windows_of_other_columns_are_refused() {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        for name in ["n", "at"] {
            assert_eq!(WindowColumn::of(&schema, name).unwrap_err().kind(), ErrorKind::SchemaMismatch);
        }
    }
}
