//! The order of a keyset read: `(cursor, tie…)` as SQL, and how a position is compared with it. All comparisons happen in the database, in each
//! column's own collation.

use super::describe::{ColumnFacts, Described, column_sql, expression, is_instant};
use super::position::written;
use super::selection::Selection;
use super::snapshot::Snapshot;
use karat_plugin_api::{ConnectorError, CursorExpr, CursorValue, ReadRequest};

/// Microseconds by which a cursor value may be ahead of the database's clock and still move the watermark.
const FUTURE_MICROS: i64 = 300_000_000;

/// What orders the rows of one read.
pub(crate) struct Order {
    /// The cursor as SQL.
    pub(crate) cursor: String,
    cursor_type: String,
    pub(crate) cursor_is_nullable: bool,
    /// True for a cursor that says an instant or a day.
    pub(crate) is_instant: bool,
    /// True when the catalogue proves that no two rows share a cursor value.
    pub(crate) is_unique: bool,
    /// Tie columns that comparisons may use: all, or none when one of them may be NULL.
    ties: Vec<(String, String)>,
    /// What stands behind ORDER BY.
    pub(crate) by: String,
    /// The same, greatest first.
    by_descending: String,
    /// What is selected: the request's columns, and what the position needs.
    pub(crate) selection: Selection,
    /// Where cursor and ties stand in the selection.
    pub(crate) cursor_at: usize,
    pub(crate) ties_at: Vec<usize>,
    /// Only cursor and ties.
    pub(crate) tuple: Selection,
    /// Instants after this one do not move the watermark.
    pub(crate) future_from: i64,
}

impl Order {
    /// The order that `request` asks for.
    pub(crate) async fn new(snapshot: &mut Snapshot, request: &ReadRequest, cursor: &CursorExpr, tie: &[String]) -> Result<Self, ConnectorError> {
        let from_expression: ColumnFacts;
        let described = &snapshot.described;
        let (sql, facts, nullable, is_unique) = match cursor {
            CursorExpr::Column(name) => {
                let (column, facts) = described.require(name)?;
                (column_sql(name), facts, column.nullable, described.unique.contains(name))
            }
            CursorExpr::Sql(sql) => {
                // A line of its own, in case the expression ends in a comment.
                let sql = format!("({sql}\n)");
                from_expression = expression(&mut snapshot.session, described, &sql).await?;
                (sql, &from_expression, true, false)
            }
        };
        let mut selection = Selection::new(described, &request.columns)?;
        let mut tuple = Selection { columns: Vec::new(), visible: 0 };
        let cursor_at = selection.place(&sql, facts);
        tuple.place(&sql, facts);
        let mut ties = Vec::new();
        let mut ties_at = Vec::new();
        let mut by = sql.clone();
        let mut by_descending = format!("{sql} DESC");
        let mut are_comparable = true;
        for name in tie {
            let (column, tie_facts) = described.require(name)?;
            let tie_sql = column_sql(name);
            are_comparable &= !column.nullable;
            ties_at.push(selection.place(&tie_sql, tie_facts));
            tuple.place(&tie_sql, tie_facts);
            by.push_str(&format!(", {tie_sql}"));
            by_descending.push_str(&format!(", {tie_sql} DESC"));
            ties.push((tie_sql, tie_facts.type_name.clone()));
        }
        if !are_comparable {
            ties.clear();
            ties_at.clear();
        }
        warn_of_drawn_ahead(described, facts);
        let is_instant = is_instant(&facts.native.data_type);
        Ok(Self {
            cursor_type: facts.type_name.clone(),
            cursor_is_nullable: nullable,
            is_instant,
            is_unique: is_unique && tie.is_empty() && !is_instant,
            cursor: sql,
            ties,
            by,
            by_descending,
            selection,
            cursor_at,
            ties_at,
            tuple,
            future_from: snapshot.now.saturating_add(FUTURE_MICROS),
        })
    }

    /// A cursor value as SQL.
    pub(crate) fn cursor_value(&self, value: &CursorValue) -> Result<String, ConnectorError> {
        written(value, &self.cursor_type)
    }

    /// `(cursor, tie…) <operator> (…)`, comparing ties only where the values have them all.
    pub(crate) fn compared(&self, operator: &str, values: &[CursorValue]) -> Result<String, ConnectorError> {
        let Some(first) = values.first() else { return Ok("true".into()) };
        if values.len() != 1 + self.ties.len() || values.len() == 1 || values.contains(&CursorValue::Null) {
            return Ok(format!("{} {operator} {}", self.cursor, self.cursor_value(first)?));
        }
        let left: Vec<&str> = std::iter::once(self.cursor.as_str()).chain(self.ties.iter().map(|(sql, _)| sql.as_str())).collect();
        let mut right = vec![self.cursor_value(first)?];
        for (value, (_, type_name)) in values[1..].iter().zip(&self.ties) {
            right.push(written(value, type_name)?);
        }
        Ok(format!("({}) {operator} ({})", left.join(", "), right.join(", ")))
    }

    /// The greatest tuple that may move the watermark, as a query.
    pub(crate) fn greatest(&self, from: &str) -> Result<String, ConnectorError> {
        let mut sql = format!("SELECT {} FROM {from} WHERE {} IS NOT NULL", self.tuple.sql(), self.cursor);
        if self.is_instant {
            sql.push_str(&format!(" AND {} <= {}", self.cursor, self.future_bound()?));
        }
        sql.push_str(&format!(" ORDER BY {} LIMIT 1", self.by_descending));
        Ok(sql)
    }

    fn future_bound(&self) -> Result<String, ConnectorError> {
        written(&CursorValue::Timestamp(self.future_from), "timestamptz").map(|bound| format!("({bound} AT TIME ZONE 'UTC')::{}", self.cursor_type))
    }
}

/// A session that draws ids ahead uses small ones late, long after greater ones of others became visible; no list of transactions shows that.
fn warn_of_drawn_ahead(described: &Described, facts: &ColumnFacts) {
    if let Some(sequence) = facts.sequence.as_ref().filter(|sequence| sequence.cached > 1) {
        tracing::warn!(
            source = %described.label,
            cached = sequence.cached,
            "sessions draw this cursor's values ahead (CACHE), so rows may appear below the watermark unseen: set `CACHE 1`, or reload with strategy `full` from time to time"
        );
    }
}
