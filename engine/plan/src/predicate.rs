//! Which rows a run reads, as people read it.

use karat_plugin_api::{CursorExpr, CursorValue, Position, window_start, windows_before};
use karat_spec::model::{Duration, NullCursor, Strategy, Window};

/// What decides which rows are read.
pub(crate) struct ReadFacts<'a> {
    pub(crate) strategy: Strategy,
    pub(crate) cursor: Option<&'a CursorExpr>,
    pub(crate) tie: &'a [String],
    pub(crate) lookback: Option<Duration>,
    pub(crate) null_cursor: NullCursor,
    /// What a window spans, and how many of the newest are read again.
    pub(crate) window: Option<(Window, u64)>,
    pub(crate) after: Option<&'a Position>,
}

/// The predicate of a read of a table or query.
pub(crate) fn of_rows(facts: &ReadFacts<'_>) -> String {
    if let (Some((unit, again)), Some(cursor)) = (facts.window, facts.cursor) {
        return of_windows(facts, cursor_text(cursor), unit, again);
    }
    if facts.strategy == Strategy::Diff {
        return "all rows, in one snapshot, compared with the target by key".into();
    }
    let Some(cursor) = facts.cursor.filter(|_| matches!(facts.strategy, Strategy::Id | Strategy::Timestamp | Strategy::Hybrid)) else {
        return "all rows, in one snapshot".into();
    };
    let cursor = cursor_text(cursor);
    let columns: Vec<&str> = std::iter::once(cursor).chain(facts.tie.iter().map(String::as_str)).collect();
    let values = match facts.after {
        // Transactions in progress may still add rows above the low watermark.
        Some(Position::Cursor { unsettled: Some(unsettled), .. }) => unsettled.low.as_slice(),
        Some(Position::Cursor { values, .. }) => values,
        _ => &[],
    };
    if values.is_empty() {
        let key = if facts.strategy == Strategy::Hybrid && facts.tie.is_empty() { ", then the key" } else { "" };
        return format!("all rows, ordered by {}{key}", columns.join(", "));
    }
    let bound = bound(cursor, &columns, values, facts);
    match facts.null_cursor {
        NullCursor::AlwaysReread => format!("{bound} OR {cursor} IS NULL"),
        NullCursor::Error => bound,
    }
}

/// The windows from the oldest that is read again, all of one snapshot.
fn of_windows(facts: &ReadFacts<'_>, cursor: &str, unit: Window, again: u64) -> String {
    let unit_text = match unit {
        Window::Day => "day",
        Window::Week => "week",
        Window::Month => "month",
    };
    let from = match facts.after {
        Some(Position::Windows { through }) => window_start(through, unit).and_then(|start| windows_before(&start, unit, again.saturating_sub(1))),
        _ => None,
    };
    let Some(from) = from else { return format!("all rows, {unit_text} by {unit_text} of {cursor}") };
    let null = if facts.null_cursor == NullCursor::AlwaysReread { format!(" OR {cursor} IS NULL") } else { String::new() };
    let newest = if again > 1 { format!("the newest {again} again") } else { "the newest again".to_owned() };
    format!("{cursor} >= {}{null}, {unit_text} by {unit_text}, {newest}", literal(&from))
}

fn bound(cursor: &str, columns: &[&str], values: &[CursorValue], facts: &ReadFacts<'_>) -> String {
    let first = values.first().map(literal).unwrap_or_default();
    match (facts.strategy, facts.lookback) {
        (_, Some(lookback)) => format!("{cursor} >= {first} - {lookback}"),
        (Strategy::Timestamp, None) => format!("{cursor} >= {first}"),
        _ if columns.len() > 1 && values.len() == columns.len() => {
            let values: Vec<String> = values.iter().map(literal).collect();
            format!("({}) > ({})", columns.join(", "), values.join(", "))
        }
        _ => format!("{cursor} > {first}"),
    }
}

/// A value as SQL would write it.
fn literal(value: &CursorValue) -> String {
    match value {
        CursorValue::Date(_) | CursorValue::Timestamp(_) => format!("'{value}'"),
        _ => value.to_string(),
    }
}

/// The predicate of a read of files. `ledger` tells whether files that were read before are left out.
pub(crate) fn of_files(glob: &str, is_ledger: bool, after: Option<&Position>) -> String {
    match after {
        Some(Position::Files { files }) if is_ledger => format!("files `{glob}` that are not among the {} read before", files.len()),
        Some(Position::Files { .. }) => format!("all files `{glob}`, if one of them changed"),
        _ => format!("all files `{glob}`"),
    }
}

/// The cursor as the user wrote it.
pub(crate) fn cursor_text(cursor: &CursorExpr) -> &str {
    match cursor {
        CursorExpr::Column(text) | CursorExpr::Sql(text) => text,
    }
}
