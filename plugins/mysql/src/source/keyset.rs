//! Rows since last time, ordered by `(cursor, tie…)`: what is new, what must be looked at again, and where the next run starts.
//!
//! All comparisons happen at the server, in the column's own collation, with typed values. One statement per step, however sparse the values are.
//!
//! 0. *Nothing new?* In a snapshot of its own: an index probe, and the digest of what is looked at again. Most runs end here.
//! 1. The snapshot of the read, and what is known of transactions in progress (`settle.rs`).
//! 2. *Again*: the rows from the lower bound (low watermark, watermark less lookback) up to the position. Their digest equals the one that the
//!    position remembers: nothing changed there, they are skipped. Otherwise they are delivered again, without moving the position.
//! 3. *Beyond*: the rows after the position. Each batch carries the tuple of its last row, so that a later run can resume inside a group of equal
//!    cursors. Rows dated after the server's clock are delivered, and leave the position where it is.
//! 4. Rows without a cursor, if they are wanted.
//! 5. The digest that the next run compares: everything from the new lower bound on.

use super::catalogue::Described;
use super::collect::Collector;
use super::comparison::{Condition, Side};
use super::instant::Stored;
use super::lookback::{before, earlier};
use super::reader::{Halt, Link, Out, Query, SNAPSHOT, collector};
use super::settle::UNLISTED;
use super::value::{Held, cursor_value, parameter};
use crate::client::quote;
use crate::wire::{ColumnDefinition, kind};
use arrow::datatypes::DataType;
use karat_plugin_api::{ConnectorError, CursorExpr, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, Tail, TailDigest, Unsettled};
use karat_spec::model::NullCursor;
use std::time::Duration;

/// Cursor values further ahead of the server's clock than this do not move the watermark.
const FUTURE_MICROS: i64 = 300_000_000;

/// Refuses positions of other strategies before anything is opened.
pub(crate) fn check_position(after: &Position) -> Result<(), ConnectorError> {
    match after {
        Position::Start => Ok(()),
        Position::Cursor { values, .. } if !values.is_empty() => values.iter().filter(|value| **value != CursorValue::Null).try_for_each(|value| parameter(value).map(|_| ())),
        Position::Cursor { .. } | Position::Snapshot { .. } | Position::Windows { .. } | Position::Files { .. } | Position::Inputs { .. } => Err(after.of_another_strategy()),
    }
}

/// Reads what is new.
pub(crate) fn read(link: &mut Link<'_>, described: &Described, request: &ReadRequest, out: &mut Out) -> Result<(), Halt> {
    let mut keyset = Keyset::new(link, described, request)?;
    let mut collector = collector(link, described, request)?;
    link.run(SNAPSHOT)?;
    keyset.refuse_a_source_that_went_back(link)?;
    let null_rows = keyset.null_rows(link)?;
    if keyset.low.is_none()
        && let Some(skipped) = keyset.nothing_new(link, null_rows)?
    {
        let position = keyset.after.clone();
        return out.end(position, 0, skipped);
    }
    keyset.settle(link)?;
    let skipped = keyset.review(link, &mut collector, out)?;
    keyset.beyond(link, &mut collector, out)?;
    if null_rows && skipped.is_none() {
        let query = keyset.query(&Condition::plain(format!("{} IS NULL", keyset.cursor)), false);
        keyset.deliver_again(link, &query, &mut collector, out)?;
    }
    keyset.warn_of_a_source_that_may_have_gone_back(link, out.rows, skipped)?;
    let position = keyset.end_position(link, out.rows, skipped)?;
    out.end(position, keyset.future_rows, skipped.unwrap_or(0))
}

/// How far rows can be relied on while a read goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Settlement {
    /// Nothing can appear at or below this tuple any more; `None` when that holds for every row of the snapshot. Empty: anything can.
    pub(super) low: Option<Vec<CursorValue>>,
    /// What was in progress when the position we start from was made may still be; its list stays valid.
    pub(super) keeps_open: bool,
}

pub(super) struct Keyset<'a> {
    pub(super) described: &'a Described,
    pub(super) request: &'a ReadRequest,
    pub(super) after: Position,
    pub(super) lookback: Option<Duration>,
    pub(super) null_cursor: NullCursor,
    /// The cursor as SQL.
    pub(super) cursor: String,
    pub(super) cursor_nullable: bool,
    /// Tie columns as SQL that comparisons may use: all, or none when one of them may be NULL.
    pub(super) ties: Vec<String>,
    pub(super) order: String,
    pub(super) select: String,
    pub(super) from: String,
    /// Where the cursor and the ties stand in a result.
    pub(super) watch: Vec<usize>,
    pub(super) is_unique: bool,
    pub(super) future_from: i64,
    pub(super) future_rows: u64,
    /// The low watermark that the position remembers.
    pub(super) low: Option<Vec<CursorValue>>,
    pub(super) settlement: Settlement,
    /// The tuple of the last row that moved the position.
    pub(super) held: Vec<Held>,
    pub(super) definitions: Vec<ColumnDefinition>,
    pub(super) moved: bool,
    /// First row of the current batch that does not move the position.
    pub(super) future_at: Option<usize>,
}

impl<'a> Keyset<'a> {
    fn new(link: &mut Link<'_>, described: &'a Described, request: &'a ReadRequest) -> Result<Self, ConnectorError> {
        let ReadStrategy::Keyset { cursor, tie, after, lookback, null_cursor } = &request.strategy else {
            return Err(ConnectorError::new(ErrorKind::Bug, "a keyset read without a cursor"));
        };
        let mut selected: Vec<String> = request.columns.iter().map(|choice| quote(&choice.name)).collect();
        // Members of `ENUM` and `SET` are sorted by number and compared as text, unless their number is asked for.
        let spelled = |name: &String| if described.numbered.contains(name) { format!("({} + 0)", quote(name)) } else { quote(name) };
        let (cursor_sql, column) = match cursor {
            CursorExpr::Column(name) => {
                super::catalogue::require_column(described, name)?;
                (spelled(name), described.schema.column(name))
            }
            // A line of its own, in case the expression ends in a comment.
            CursorExpr::Sql(sql) => (format!("({sql}\n)"), None),
        };
        for name in tie {
            super::catalogue::require_column(described, name)?;
        }
        let all: Vec<String> = std::iter::once(cursor_sql.clone()).chain(tie.iter().map(spelled)).collect();
        let mut place = |sql: &String| {
            selected.iter().position(|known| known == sql).unwrap_or_else(|| {
                selected.push(sql.clone());
                selected.len() - 1
            })
        };
        let watch: Vec<usize> = all.iter().map(&mut place).collect();
        let may_be_null = |name: &String| described.schema.column(name).is_none_or(|column| column.nullable);
        let ties = if tie.iter().any(may_be_null) { Vec::new() } else { all[1..].to_vec() };
        let is_instant = column.is_some_and(|column| matches!(column.data_type, DataType::Timestamp(..) | DataType::Date32));
        let is_unique = tie.is_empty() && !is_instant && column.is_some_and(|column| described.is_unique(&column.name));
        let in_order: Vec<String> = column.map(|column| column.name.clone()).into_iter().chain(tie.iter().cloned()).collect();
        let is_plain = column.is_some() && !in_order.iter().any(|name| described.numbered.contains(name));
        // Without being told, the server may sort the whole table on its disk before it gives the first row.
        let index = if is_plain { described.index_for(&in_order) } else { None };
        let from = index.map_or_else(|| described.from.clone(), |index| format!("{} FORCE INDEX ({})", described.from, quote(index)));
        let now = link.session.text("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)").map_err(|fault| link.failed(fault))?;
        let now: i64 = now.and_then(|text| text.parse().ok()).ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "the server does not say what time it is"))?;
        let low = match after {
            Position::Cursor { unsettled: Some(unsettled), .. } => Some(unsettled.low.clone()),
            _ => None,
        };
        Ok(Self {
            described,
            request,
            after: after.clone(),
            lookback: *lookback,
            null_cursor: *null_cursor,
            cursor: cursor_sql,
            cursor_nullable: column.is_none_or(|column| column.nullable),
            ties,
            order: all.join(", "),
            select: selected.join(", "),
            from,
            held: vec![Held::default(); watch.len()],
            watch,
            is_unique,
            future_from: now + FUTURE_MICROS,
            future_rows: 0,
            low,
            settlement: Settlement::default(),
            definitions: Vec::new(),
            moved: false,
            future_at: None,
        })
    }

    pub(super) fn values(&self) -> &[CursorValue] {
        match &self.after {
            Position::Cursor { values, .. } => values,
            _ => &[],
        }
    }

    fn tail(&self) -> Option<&Tail> {
        match &self.after {
            Position::Cursor { tail, .. } => tail.as_ref(),
            _ => None,
        }
    }

    /// The cursor of the position; `None` at the start, and when nothing has moved it yet.
    pub(super) fn watermark(&self) -> Option<&CursorValue> {
        self.values().first().filter(|value| **value != CursorValue::Null)
    }

    /// A statement over rows that meet a condition.
    pub(super) fn query(&self, condition: &Condition, ordered: bool) -> Query {
        let order = if ordered { format!(" ORDER BY {}", self.order) } else { String::new() };
        Query { sql: format!("SELECT {} FROM {} WHERE {}{order}", self.select, self.from, condition.sql), parameters: condition.parameters.clone(), watch: self.watch.clone() }
    }

    /// Rows on one side of a tuple, comparing ties only where the tuple has them all.
    pub(super) fn tuple(&self, values: &[CursorValue], side: Side) -> Result<Condition, ConnectorError> {
        let has_ties = values.len() == 1 + self.ties.len() && !values.contains(&CursorValue::Null);
        let width = if has_ties { values.len() } else { 1 };
        let parameters = values[..width].iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<&str> = std::iter::once(&self.cursor).chain(&self.ties).map(String::as_str).collect();
        Ok(Condition::tuple(&columns[..width], &parameters, side))
    }

    /// Rows that a run which starts at `values` and `low` looks at again, as far as the lower bound goes.
    fn at_or_above(&self, values: &[CursorValue], low: Option<&[CursorValue]>) -> Result<Condition, ConnectorError> {
        let everything = || Condition::plain(format!("{} IS NOT NULL", self.cursor));
        let cursor = |tuple: &[CursorValue]| tuple.first().filter(|value| **value != CursorValue::Null).cloned();
        let Some(watermark) = cursor(values) else { return Ok(everything()) };
        let Some(mut bound) = low.map_or(Some(watermark.clone()), cursor) else { return Ok(everything()) };
        if let Some(lookback) = self.lookback {
            bound = earlier(bound, before(&watermark, lookback)?);
        }
        Ok(Condition::from(&self.cursor, parameter(&bound)?))
    }

    /// Whether not a single row is new or changed; if so, how many were compared.
    fn nothing_new(&self, link: &mut Link<'_>, null_rows: bool) -> Result<Option<u64>, Halt> {
        if self.watermark().is_none() {
            return Ok(None);
        }
        if self.is_unique && self.lookback.is_none() {
            let beyond = self.tuple(self.values(), Side::After)?;
            return Ok(if null_rows || self.exists(link, &beyond)? { None } else { Some(0) });
        }
        let Some(known) = self.known()? else { return Ok(None) };
        let seen = self.hash_at_or_above(link, self.values(), None, known.rows)?;
        Ok((seen == known).then_some(known.rows))
    }

    fn known(&self) -> Result<Option<TailDigest>, ConnectorError> {
        let damaged = || ConnectorError::new(ErrorKind::Corrupt, "the digest in the stored position is damaged");
        self.tail().map(|tail| TailDigest::of_tail(tail).ok_or_else(damaged)).transpose()
    }

    /// Looks at what stands at or before the position, and delivers it again unless nothing changed; then says how many rows that were.
    fn review(&mut self, link: &mut Link<'_>, collector: &mut Collector, out: &mut Out) -> Result<Option<u64>, Halt> {
        let Position::Cursor { values, .. } = self.after.clone() else { return Ok(None) };
        if self.is_unique && self.lookback.is_none() && self.low.is_none() && self.watermark().is_some() {
            return Ok(Some(0));
        }
        let known = self.known()?;
        let again = match self.watermark() {
            Some(_) => Some(self.at_or_above(&values, self.low.as_deref())?.and(self.tuple(&values, Side::UpTo)?)),
            None => None,
        };
        if let Some(known) = known {
            let mut seen = TailDigest::default();
            if let Some(again) = &again {
                self.hash(link, again, known.rows, &mut seen)?;
            }
            self.hash_null_rows(link, known.rows, &mut seen)?;
            if seen == known {
                return Ok(Some(known.rows));
            }
        }
        let Some(again) = again else { return Ok(None) };
        let query = self.query(&again, true);
        self.deliver_again(link, &query, collector, out)?;
        Ok(None)
    }

    /// Delivers rows that do not move the position.
    fn deliver_again(&self, link: &mut Link<'_>, query: &Query, collector: &mut Collector, out: &mut Out) -> Result<(), Halt> {
        let position = if self.moved {
            self.position(self.held_values()?, None, true)
        } else {
            match &self.after {
                Position::Cursor { values, unsettled, .. } => Position::Cursor { values: values.clone(), tail: None, unsettled: unsettled.clone() },
                other => other.clone(),
            }
        };
        let send = |collector: &mut Collector, out: &mut Out| match collector.take()? {
            Some(batch) => out.rows(batch, Some(position.clone())),
            None => Ok(()),
        };
        link.scan(query, collector, |collector| if collector.is_full() { send(collector, out) } else { Ok(()) })?;
        send(collector, out)
    }

    /// Delivers the rows after the position: first those that nothing can come before any more, then the others.
    fn beyond(&mut self, link: &mut Link<'_>, collector: &mut Collector, out: &mut Out) -> Result<(), Halt> {
        let after = |keyset: &Self, values: &[CursorValue]| match values.first() {
            None | Some(CursorValue::Null) => Ok(Condition::plain(format!("{} IS NOT NULL", keyset.cursor))),
            Some(_) => keyset.tuple(values, Side::After),
        };
        let start = after(self, self.values())?;
        let low = self.settlement.low.clone();
        match low.filter(|low| self.low.is_none() && low.first().is_some_and(|value| *value != CursorValue::Null) && low != self.values()) {
            Some(low) => {
                let settled = start.clone().and(self.tuple(&low, Side::UpTo)?);
                self.deliver(link, &settled, collector, out, Reliance::Settled)?;
                let rest = after(self, &low)?;
                self.deliver(link, &rest, collector, out, Reliance::Unsettled)
            }
            None => self.deliver(link, &start, collector, out, Reliance::Unsettled),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what is read, where it goes and how far it counts are all known only to the caller")]
    fn deliver(&mut self, link: &mut Link<'_>, condition: &Condition, collector: &mut Collector, out: &mut Out, reliance: Reliance) -> Result<(), Halt> {
        let query = self.query(condition, true);
        let mut is_dated = None;
        link.scan(&query, collector, |collector| {
            let added = collector.rows() - 1;
            let is_dated = *is_dated.get_or_insert_with(|| collector.definition(self.watch[0]).is_some_and(is_instant));
            if is_dated && collector.watched.first().is_some_and(|(_, held)| self.is_future(held)) {
                self.future_rows += 1;
                self.future_at.get_or_insert(added);
            } else {
                for (held, (_, seen)) in self.held.iter_mut().zip(&collector.watched) {
                    held.set(seen.wire());
                }
                self.moved = true;
            }
            if collector.is_full() { self.flush(collector, out, reliance) } else { Ok(()) }
        })?;
        self.flush(collector, out, reliance)
    }

    fn flush(&mut self, collector: &mut Collector, out: &mut Out, reliance: Reliance) -> Result<(), Halt> {
        if self.definitions.is_empty() {
            self.definitions = self.watch.iter().filter_map(|at| collector.definition(*at)).cloned().collect();
        }
        let Some(batch) = collector.take()? else { return Ok(()) };
        self.future_at = None;
        let position = if self.moved {
            self.position(self.held_values()?, None, reliance == Reliance::Unsettled)
        } else {
            match &self.after {
                Position::Cursor { values, unsettled, .. } => Position::Cursor { values: values.clone(), tail: None, unsettled: unsettled.clone() },
                other => other.clone(),
            }
        };
        out.rows(batch, Some(position))
    }

    /// A position inside a read: who is in progress is not listed yet.
    fn position(&self, values: Vec<CursorValue>, tail: Option<Tail>, is_unsettled: bool) -> Position {
        let low = self.settlement.low.clone().filter(|_| is_unsettled);
        Position::Cursor { values, tail, unsettled: low.map(|low| Unsettled { low, open: vec![UNLISTED.into()] }) }
    }

    fn held_values(&self) -> Result<Vec<CursorValue>, ConnectorError> {
        self.definitions.iter().zip(&self.held).map(|(definition, held)| cursor_value(definition, held.wire())).collect()
    }

    #[inline]
    fn is_future(&self, cursor: &Held) -> bool {
        cursor.wire().and_then(Stored::read).and_then(Stored::micros).is_some_and(|micros| micros > self.future_from)
    }

    /// Where the next run starts, with what it will compare.
    fn end_position(&self, link: &mut Link<'_>, delivered: u64, skipped: Option<u64>) -> Result<Position, Halt> {
        let values = if self.moved { self.held_values()? } else { self.values().to_vec() };
        if delivered == 0 && self.after == Position::Start {
            return Ok(Position::Start);
        }
        let values = if values.is_empty() { vec![CursorValue::Null] } else { values };
        let unsettled = self.unsettled(link, &values)?;
        if delivered == 0
            && skipped.is_some()
            && let Position::Cursor { unsettled: old, .. } = &self.after
            && *old == unsettled
        {
            return Ok(self.after.clone());
        }
        if self.is_unique && self.lookback.is_none() && unsettled.is_none() {
            return Ok(Position::Cursor { values, tail: None, unsettled });
        }
        let digest = self.hash_at_or_above(link, &values, unsettled.as_ref().map(|unsettled| unsettled.low.as_slice()), u64::MAX)?;
        Ok(Position::Cursor { values, tail: Some(digest.tail()), unsettled })
    }

    /// Everything that the next run looks at again: from its lower bound on, and the rows without a cursor.
    fn hash_at_or_above(&self, link: &mut Link<'_>, values: &[CursorValue], low: Option<&[CursorValue]>, at_most: u64) -> Result<TailDigest, Halt> {
        let mut digest = TailDigest::default();
        self.hash(link, &self.at_or_above(values, low)?, at_most, &mut digest)?;
        self.hash_null_rows(link, at_most, &mut digest)?;
        Ok(digest)
    }

    fn hash_null_rows(&self, link: &mut Link<'_>, at_most: u64, digest: &mut TailDigest) -> Result<(), Halt> {
        if !self.cursor_nullable || self.null_cursor == NullCursor::Error {
            return Ok(());
        }
        self.hash(link, &Condition::plain(format!("{} IS NULL", self.cursor)), at_most, digest)
    }

    /// Adds the rows that meet a condition to a digest; stops soon after there are more than `at_most`, which makes it differ from any with so many.
    fn hash(&self, link: &mut Link<'_>, condition: &Condition, at_most: u64, digest: &mut TailDigest) -> Result<(), Halt> {
        let mut rows = collector(link, self.described, self.request)?;
        let limit = at_most.saturating_sub(digest.rows).saturating_add(1);
        let mut query = self.query(condition, false);
        query.sql.push_str(&format!(" LIMIT {limit}"));
        link.scan(&query, &mut rows, |rows| {
            if rows.is_full()
                && let Some(batch) = rows.take()?
            {
                digest.add(&batch)?;
            }
            Ok(())
        })?;
        if let Some(batch) = rows.take()? {
            digest.add(&batch)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reliance {
    Settled,
    Unsettled,
}

pub(super) fn is_instant(column: &ColumnDefinition) -> bool {
    matches!(column.kind, kind::DATE | kind::DATETIME | kind::TIMESTAMP)
}
