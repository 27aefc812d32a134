//! Rows since last time, ordered by `(cursor, tie…)`: what is new, what must be looked at again, and where the next run starts.
//!
//! All comparisons happen in SQLite, in the column's own collation, with bound values exactly as they are stored. One statement per step, however
//! sparse the values are. All steps see one snapshot:
//!
//! 1. *Again*: the rows from the lower bound (watermark less lookback) up to the position. Their digest equals the one that the position
//!    remembers: nothing changed there, they are skipped. Otherwise they are delivered again, without moving the position.
//! 2. *Beyond*: the rows after the position. Each batch carries the tuple of its last row, and the digest of what was delivered of that row's
//!    cursor value, so that a later run can resume inside a group of equal cursors and still notice rows that were put in before that point.
//!    Rows dated after the database's clock are delivered, and leave the position where it is.
//! 3. Rows without a cursor, if they are wanted.
//! 4. The digest that the next run compares: everything from the new lower bound on.

use crate::client::quote;
use crate::reader::{Halt, Out, Query, require_column};
use crate::snapshot::Session;
use crate::spelling;
use crate::stored::{Held, bound};
use arrow::datatypes::{DataType, TimeUnit};
use karat_plugin_api::cells::{Batcher, parse_instant};
use karat_plugin_api::{ConnectorError, CursorExpr, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, TailDigest};
use karat_spec::model::NullCursor;
use rusqlite::OptionalExtension;
use rusqlite::types::{Value, ValueRef};
use std::time::Duration;

/// Cursor values further ahead of the database's clock than this do not move the watermark.
const FUTURE_SECONDS: i64 = 300;

/// Rows per batch where rows are only hashed.
const HASHED_ROWS: usize = 8_192;

/// Refuses positions of other strategies before anything is opened.
pub(crate) fn check_position(after: &Position) -> Result<(), ConnectorError> {
    match after {
        Position::Start => Ok(()),
        Position::Cursor { values, .. } if !values.is_empty() => values.iter().try_for_each(|value| bound(value).map(|_| ())),
        Position::Cursor { .. } | Position::Snapshot { .. } | Position::Windows { .. } | Position::Files { .. } | Position::Inputs { .. } => Err(after.of_another_strategy()),
    }
}

/// Reads what is new.
pub(crate) fn read(session: &Session, request: &ReadRequest, out: &mut Out) -> Result<(), Halt> {
    let mut keyset = Keyset::new(session, request)?;
    keyset.refuse_a_source_that_went_back()?;
    let null_rows = refused_null_rows(session, &keyset.cursor, keyset.cursor_nullable, keyset.null_cursor)?;
    let mut batcher = Batcher::new(&session.described.label, &request.columns, request.batch_rows, request.batch_bytes)?;
    let skipped = match keyset.review(&mut batcher, out)? {
        Review::NothingNew { skipped } => {
            let position = keyset.after.clone();
            return out.end(position, 0, skipped);
        }
        Review::Same { skipped } => Some(skipped),
        Review::Delivered => None,
    };
    keyset.beyond(&mut batcher, out)?;
    if null_rows && skipped.is_none() {
        let query = Query { select: keyset.select.clone(), from: format!("FROM {} WHERE {} IS NULL", session.described.from, keyset.cursor), values: Vec::new() };
        keyset.deliver_again(&query, &mut batcher, out)?;
    }
    keyset.flush(&mut batcher, out)?;
    keyset.warn_of_a_source_that_may_have_gone_back(out.rows, skipped)?;
    let position = keyset.end_position(out.rows, skipped)?;
    out.end(position, keyset.future_rows, skipped.unwrap_or(0))
}

/// True when there are rows without a cursor, and they are wanted; an error when they are there and not wanted.
pub(crate) fn refused_null_rows(session: &Session, cursor: &str, is_nullable: bool, wanted: NullCursor) -> Result<bool, Halt> {
    if !is_nullable {
        return Ok(false);
    }
    let sql = format!("SELECT count(*) FROM {} WHERE {cursor} IS NULL", session.described.from);
    let rows: i64 = session.connection.query_row(&sql, [], |row| row.get(0)).map_err(|error| session.failed(error))?;
    if rows > 0 && wanted == NullCursor::Error {
        let help = "choose a cursor that is never NULL, combine columns in `cursor_sql` (`COALESCE(updated_at, created_at)`), or set `null_cursor: always_reread`";
        return Err(Halt::Failed(ConnectorError::new(ErrorKind::BadData, format!("{rows} rows of {} have no cursor value", session.described.label)).with_help(help)));
    }
    Ok(rows > 0)
}

enum Review {
    /// Not a single row is new or changed.
    NothingNew { skipped: u64 },
    /// Up to the position nothing changed.
    Same { skipped: u64 },
    /// Rows up to the position were delivered again, if there are any.
    Delivered,
}

struct Keyset<'a> {
    session: &'a Session,
    request: &'a ReadRequest,
    after: Position,
    lookback: Option<Duration>,
    null_cursor: NullCursor,
    /// The cursor as SQL.
    cursor: String,
    cursor_type: Option<DataType>,
    cursor_nullable: bool,
    /// Tie columns as SQL that comparisons may use: all, or none when one of them may be NULL.
    ties: Vec<String>,
    order: String,
    select: String,
    /// Where the cursor and the ties stand in a result.
    cursor_at: usize,
    ties_at: Vec<usize>,
    is_unique: bool,
    future_from: i64,
    future_rows: u64,
    /// The tuple of the last row that moved the position.
    held_cursor: Held,
    held_ties: Vec<Held>,
    moved: bool,
    /// Delivered rows of the held cursor value, in batches before the current one.
    group: TailDigest,
    /// First row of the current batch that belongs to the held cursor value.
    group_from: usize,
    /// First row of the current batch that does not move the position.
    future_at: Option<usize>,
}

impl<'a> Keyset<'a> {
    fn new(session: &'a Session, request: &'a ReadRequest) -> Result<Self, Halt> {
        let ReadStrategy::Keyset { cursor, tie, after, lookback, null_cursor } = &request.strategy else {
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, "a keyset read without a cursor")));
        };
        let described = &session.described;
        let mut selected: Vec<String> = request.columns.iter().map(|choice| quote(&choice.name)).collect();
        let mut place = |sql: String| {
            selected.iter().position(|known| *known == sql).unwrap_or_else(|| {
                selected.push(sql);
                selected.len() - 1
            })
        };
        let (cursor_sql, column) = match cursor {
            CursorExpr::Column(name) => {
                require_column(described, name)?;
                (quote(name), described.schema.column(name))
            }
            // A line of its own, in case the expression ends in a comment.
            CursorExpr::Sql(sql) => (format!("({sql}\n)"), None),
        };
        let cursor_at = place(cursor_sql.clone());
        let mut ties_at = Vec::new();
        for name in tie {
            require_column(described, name)?;
            ties_at.push(place(quote(name)));
        }
        let may_be_null = |name: &String| described.schema.column(name).is_none_or(|column| column.nullable);
        let ties: Vec<String> = if tie.iter().any(may_be_null) { Vec::new() } else { tie.iter().map(|name| quote(name)).collect() };
        let cursor_type = column.map(|column| request.columns.iter().find(|choice| choice.name == column.name).map_or(&column.data_type, |choice| &choice.data_type).clone());
        let is_instant = matches!(cursor_type, Some(DataType::Timestamp(..) | DataType::Date32));
        let is_unique = tie.is_empty() && !is_instant && column.is_some_and(|column| described.unique.contains(&column.name));
        let order = std::iter::once(&cursor_sql).cloned().chain(tie.iter().map(|name| quote(name))).collect::<Vec<_>>().join(", ");
        let now: i64 = session.connection.query_row("SELECT CAST(strftime('%s', 'now') AS INTEGER)", [], |row| row.get(0)).map_err(|error| session.failed(error))?;
        Ok(Self {
            session,
            request,
            after: after.clone(),
            lookback: *lookback,
            null_cursor: *null_cursor,
            cursor: cursor_sql,
            cursor_type,
            cursor_nullable: column.is_none_or(|column| column.nullable),
            ties,
            order,
            select: selected.join(", "),
            cursor_at,
            held_ties: vec![Held::default(); ties_at.len()],
            ties_at,
            is_unique,
            future_from: now + FUTURE_SECONDS,
            future_rows: 0,
            held_cursor: Held::default(),
            moved: false,
            group: TailDigest::default(),
            group_from: 0,
            future_at: None,
        })
    }

    fn values(&self) -> &[CursorValue] {
        match &self.after {
            Position::Cursor { values, .. } => values,
            _ => &[],
        }
    }

    /// The cursor of the position; `None` at the start, and when nothing has moved it yet.
    fn watermark(&self) -> Option<&CursorValue> {
        self.values().first().filter(|value| **value != CursorValue::Null)
    }

    /// True when batches may carry the digest of their last group.
    fn tracks_group(&self) -> bool {
        !self.is_unique && self.lookback.is_none() && self.null_cursor == NullCursor::Error
    }

    fn lower_bound(&self, watermark: &CursorValue) -> Result<Value, ConnectorError> {
        match self.lookback {
            Some(lookback) => bound(&spelling::before(watermark, self.cursor_type.as_ref(), lookback)?),
            None => bound(watermark),
        }
    }

    /// `(cursor, tie…) <operator> (?, …)`, comparing ties only where the position has them all.
    fn tuple_comparison(&self, operator: &str, values: &[CursorValue]) -> Result<(String, Vec<Value>), ConnectorError> {
        let has_ties = values.len() == 1 + self.ties.len() && !values.contains(&CursorValue::Null);
        let width = if has_ties { values.len() } else { 1 };
        let bounds = values[..width].iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        if width == 1 {
            return Ok((format!("{} {operator} ?", self.cursor), bounds));
        }
        let left = std::iter::once(&self.cursor).chain(&self.ties).map(String::as_str).collect::<Vec<_>>().join(", ");
        Ok((format!("({left}) {operator} ({})", vec!["?"; width].join(", ")), bounds))
    }

    /// An AUTOINCREMENT key never goes back, so a lower counter proves that the database was restored or replaced.
    fn refuse_a_source_that_went_back(&self) -> Result<(), Halt> {
        let (Some(CursorValue::Int(watermark)), Some(table), true) = (self.watermark(), &self.session.described.autoincrement, self.is_unique) else { return Ok(()) };
        let last: Option<i64> = self
            .session
            .connection
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
            .optional()
            .map_err(|error| self.session.failed(error))?;
        match last {
            Some(last) if last < *watermark => Err(Halt::Failed(
                ConnectorError::new(ErrorKind::Refused, format!("{} went back: its last key is {last}, and rows up to {watermark} were read before", self.session.described.label))
                    .with_help("the database was restored or replaced; read the table again from the start with `karat run --full-refresh`, or rewind its state"),
            )),
            _ => Ok(()),
        }
    }

    /// Without a counter nobody knows whether the newest rows were deleted or the database was restored.
    fn warn_of_a_source_that_may_have_gone_back(&self, delivered: u64, skipped: Option<u64>) -> Result<(), Halt> {
        let nothing_seen = delivered == 0 && skipped.is_none_or(|rows| rows == 0);
        let (true, Some(watermark)) = (nothing_seen, self.watermark()) else { return Ok(()) };
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {} >= ?1)", self.session.described.from, self.cursor);
        let still_there: bool = self.session.connection.query_row(&sql, [bound(watermark)?], |row| row.get(0)).map_err(|error| self.session.failed(error))?;
        if !still_there {
            tracing::warn!(source = %self.session.described.label, "nothing stands at or above the watermark any more: the newest rows were deleted, or the source was restored");
        }
        Ok(())
    }

    /// Looks at what stands at or before the position, and delivers it again unless nothing changed.
    fn review(&mut self, batcher: &mut Batcher, out: &mut Out) -> Result<Review, Halt> {
        let Position::Cursor { values, tail, .. } = self.after.clone() else { return Ok(Review::Delivered) };
        if self.is_unique && self.lookback.is_none() && self.watermark().is_some() {
            return Ok(Review::Same { skipped: 0 });
        }
        let from = match self.watermark().cloned() {
            Some(watermark) => {
                let (upto, mut bounds) = self.tuple_comparison("<=", &values)?;
                bounds.insert(0, self.lower_bound(&watermark)?);
                Some(Query { select: self.select.clone(), from: format!("FROM {} WHERE {} >= ? AND {upto}", self.session.described.from, self.cursor), values: bounds })
            }
            None => None,
        };
        let known = tail
            .as_ref()
            .map(|tail| TailDigest::of_tail(tail).ok_or_else(|| ConnectorError::new(ErrorKind::Corrupt, "the digest in the stored position is damaged")))
            .transpose()?;
        if let Some(known) = known {
            let mut seen = TailDigest::default();
            if let Some(query) = &from {
                self.hash(query, known.rows, &mut seen)?;
            }
            self.hash_null_rows(known.rows, &mut seen)?;
            if seen == known {
                self.start_at(&values)?;
                self.group = seen;
                return Ok(Review::Same { skipped: known.rows });
            }
            // Rows dated in the future stand after the position, and are part of what it remembers.
            if self.hash_from_lower_bound(self.watermark(), known.rows)? == known {
                return Ok(Review::NothingNew { skipped: known.rows });
            }
        }
        let Some(mut query) = from else { return Ok(Review::Delivered) };
        query.from.push_str(&format!(" ORDER BY {}", self.order));
        self.start_at(&values)?;
        self.group = self.deliver_again(&query, batcher, out)?;
        Ok(Review::Delivered)
    }

    fn start_at(&mut self, values: &[CursorValue]) -> Result<(), ConnectorError> {
        let bounds = values.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        let mut bounds = bounds.iter();
        if let Some(cursor) = bounds.next() {
            self.held_cursor.set(ValueRef::from(cursor));
        }
        for held in &mut self.held_ties {
            if let Some(value) = bounds.next() {
                held.set(ValueRef::from(value));
            }
        }
        Ok(())
    }

    /// Delivers rows that do not move the position, and says what they were.
    fn deliver_again(&self, query: &Query, batcher: &mut Batcher, out: &mut Out) -> Result<TailDigest, Halt> {
        let position = match &self.after {
            Position::Cursor { values, .. } if !self.moved => Position::Cursor { values: values.clone(), tail: None, unsettled: None },
            _ if self.moved => Position::Cursor { values: self.held_values()?, tail: None, unsettled: None },
            other => other.clone(),
        };
        let mut digest = TailDigest::default();
        let mut send = |batcher: &mut Batcher| -> Result<(), Halt> {
            let Some(batch) = batcher.take()? else { return Ok(()) };
            if self.tracks_group() {
                digest.add(&batch)?;
            }
            out.rows(batch, Some(position.clone()))
        };
        self.session.scan(query, batcher, |batcher, _| if batcher.is_full() { send(batcher) } else { Ok(()) })?;
        send(batcher)?;
        Ok(digest)
    }

    /// Delivers the rows after the position.
    fn beyond(&mut self, batcher: &mut Batcher, out: &mut Out) -> Result<(), Halt> {
        let (condition, values) = match self.watermark() {
            Some(_) => self.tuple_comparison(">", self.values())?,
            None => (format!("{} IS NOT NULL", self.cursor), Vec::new()),
        };
        let query = Query { select: self.select.clone(), from: format!("FROM {} WHERE {condition} ORDER BY {}", self.session.described.from, self.order), values };
        let session = self.session;
        session.scan(&query, batcher, |batcher, row| {
            let cursor = row.get_ref_unwrap(self.cursor_at);
            let added = batcher.rows() - 1;
            if self.is_future(cursor) {
                self.future_rows += 1;
                self.future_at.get_or_insert(added);
            } else {
                if !self.held_cursor.is(cursor) {
                    self.held_cursor.set(cursor);
                    self.group = TailDigest::default();
                    self.group_from = added;
                }
                for (held, at) in self.held_ties.iter_mut().zip(&self.ties_at) {
                    held.set(row.get_ref_unwrap(*at));
                }
                self.moved = true;
            }
            if batcher.is_full() { self.flush(batcher, out) } else { Ok(()) }
        })?;
        self.flush(batcher, out)
    }

    fn flush(&mut self, batcher: &mut Batcher, out: &mut Out) -> Result<(), Halt> {
        let Some(batch) = batcher.take()? else { return Ok(()) };
        let upto = self.future_at.take().unwrap_or(batch.num_rows());
        if self.tracks_group() && upto > self.group_from {
            self.group.add(&batch.slice(self.group_from, upto - self.group_from))?;
        }
        self.group_from = 0;
        let position = if self.moved {
            Position::Cursor { values: self.held_values()?, tail: self.tracks_group().then(|| self.group.tail()), unsettled: None }
        } else {
            match &self.after {
                Position::Cursor { values, .. } => Position::Cursor { values: values.clone(), tail: None, unsettled: None },
                other => other.clone(),
            }
        };
        out.rows(batch, Some(position))
    }

    fn held_values(&self) -> Result<Vec<CursorValue>, ConnectorError> {
        std::iter::once(&self.held_cursor).chain(&self.held_ties).map(Held::cursor_value).collect()
    }

    #[inline]
    fn is_future(&self, cursor: ValueRef<'_>) -> bool {
        let seconds = match cursor {
            ValueRef::Text(text) => match parse_instant(text) {
                Ok(instant) => instant.seconds - i64::from(instant.offset.unwrap_or(0)),
                Err(_) => return false,
            },
            ValueRef::Integer(number) => match &self.cursor_type {
                Some(DataType::Timestamp(TimeUnit::Second | TimeUnit::Microsecond, _)) => number,
                Some(DataType::Timestamp(TimeUnit::Millisecond, _)) => number.div_euclid(1_000),
                Some(DataType::Timestamp(TimeUnit::Nanosecond, _)) => number.div_euclid(1_000_000_000),
                _ => return false,
            },
            _ => return false,
        };
        seconds > self.future_from
    }

    /// Where the next run starts, with what it will compare.
    fn end_position(&self, delivered: u64, skipped: Option<u64>) -> Result<Position, Halt> {
        let values = if self.moved { self.held_values()? } else { self.values().to_vec() };
        if delivered == 0 && (skipped.is_some() || self.after == Position::Start) {
            return Ok(self.after.clone());
        }
        let values = if values.is_empty() { vec![CursorValue::Null] } else { values };
        if self.is_unique && self.lookback.is_none() {
            return Ok(Position::Cursor { values, tail: None, unsettled: None });
        }
        // Equal whole numbers are stored alike, so what was counted while reading is the whole group.
        if self.moved && self.tracks_group() && self.future_rows == 0 && self.held_cursor.is_integer() {
            return Ok(Position::Cursor { values, tail: Some(self.group.tail()), unsettled: None });
        }
        let digest = self.hash_from_lower_bound(values.first().filter(|value| **value != CursorValue::Null), u64::MAX)?;
        Ok(Position::Cursor { values, tail: Some(digest.tail()), unsettled: None })
    }

    /// Everything that the next run looks at again: from the lower bound of `watermark` on, and the rows without a cursor.
    fn hash_from_lower_bound(&self, watermark: Option<&CursorValue>, at_most: u64) -> Result<TailDigest, Halt> {
        let mut digest = TailDigest::default();
        let (condition, values) = match watermark {
            Some(watermark) => (format!("{} >= ?", self.cursor), vec![self.lower_bound(watermark)?]),
            None => (format!("{} IS NOT NULL", self.cursor), Vec::new()),
        };
        let query = Query { select: self.select.clone(), from: format!("FROM {} WHERE {condition}", self.session.described.from), values };
        self.hash(&query, at_most, &mut digest)?;
        self.hash_null_rows(at_most, &mut digest)?;
        Ok(digest)
    }

    fn hash_null_rows(&self, at_most: u64, digest: &mut TailDigest) -> Result<(), Halt> {
        if !self.cursor_nullable || self.null_cursor == NullCursor::Error {
            return Ok(());
        }
        let query = Query { select: self.select.clone(), from: format!("FROM {} WHERE {} IS NULL", self.session.described.from, self.cursor), values: Vec::new() };
        self.hash(&query, at_most, digest)
    }

    /// Adds the rows of a query to a digest; stops soon after there are more than `at_most`, which makes it differ from any with so many.
    fn hash(&self, query: &Query, at_most: u64, digest: &mut TailDigest) -> Result<(), Halt> {
        let mut batcher = Batcher::new(&self.session.described.label, &self.request.columns, HASHED_ROWS, self.request.batch_bytes)?;
        let limit = at_most.saturating_sub(digest.rows).saturating_add(1).min(i64::MAX as u64);
        let limited = Query { select: query.select.clone(), from: format!("{} LIMIT {limit}", query.from), values: query.values.clone() };
        self.session.scan(&limited, &mut batcher, |batcher, _| {
            if batcher.is_full()
                && let Some(batch) = batcher.take()?
            {
                digest.add(&batch)?;
            }
            Ok(())
        })?;
        if let Some(batch) = batcher.take()? {
            digest.add(&batch)?;
        }
        Ok(())
    }
}
