//! Rows since last time, ordered by `(cursor, tie…)`: what is new, what must be looked at again, and where the next run starts.
//!
//! All comparisons happen in the server. Each step is one COPY, however sparse the values are, and all steps see one snapshot:
//!
//! 1. *Nothing new?* One look at the index above the position; where rows may have been put in below it, their digest must be the remembered one.
//! 2. *Settle* (`settle.rs`): how far can nothing appear any more once this snapshot is read?
//! 3. *Again*: the rows from the lower bound up to the position, unless their digest is the remembered one. The lower bound is the watermark (less
//!    lookback), or where the last read was settled. They do not move the position.
//! 4. *Beyond*: the rows after the position, first those up to the settled tuple, then the others. Each batch carries the tuple of its last row.
//!    Rows dated after the database's clock are delivered, and leave the position where it is.
//! 5. Rows without a cursor, if they are wanted.
//! 6. The digest that the next run compares: everything from its lower bound on.

use super::copy::{Copying, Fill, Filled, Rows};
use super::order::Order;
use super::position::{before, check, earlier, rows_until, value};
use super::reader::{Halt, Out};
use super::selection::Selection;
use super::settle::Settled;
use super::snapshot::Snapshot;
use super::tail::Digest;
use super::transactions::{InProgress, Transactions, first_unseen};
use crate::client::Client;
use arrow::datatypes::{Schema, SchemaRef};
use karat_plugin_api::{ConnectorError, CursorExpr, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, Unsettled};
use karat_spec::model::NullCursor;
use std::sync::Arc;
use std::time::Duration;

/// Rows per batch where rows are only hashed.
const HASHED_ROWS: usize = 8_192;

/// Refuses positions of other strategies before anything is opened.
pub(crate) fn check_position(after: &Position) -> Result<(), ConnectorError> {
    match after {
        Position::Start => Ok(()),
        Position::Cursor { values, unsettled, .. } if !values.is_empty() => {
            values.iter().try_for_each(check)?;
            unsettled.iter().flat_map(|unsettled| &unsettled.low).try_for_each(check)
        }
        Position::Cursor { .. } | Position::Snapshot { .. } | Position::Windows { .. } | Position::Files { .. } | Position::Inputs { .. } => {
            Err(ConnectorError::new(ErrorKind::Refused, format!("the table was read with another strategy before: its position is {after}"))
                .with_help("read it again from the start with `karat run --full-refresh`, or go back to the earlier strategy"))
        }
    }
}

/// Reads what is new.
pub(crate) async fn read(client: &Arc<Client>, request: &ReadRequest, schema: &SchemaRef, out: &mut Out) -> Result<(), Halt> {
    let mut transactions = Transactions::new(client);
    let before = match &request.strategy {
        // Listed before the snapshot: whoever of the last read's open transactions is gone now has nothing left that the snapshot does not show.
        ReadStrategy::Keyset { after: Position::Cursor { unsettled: Some(_), .. }, .. } => Some(transactions.list().await?),
        _ => None,
    };
    let snapshot = Snapshot::take(client, &request.object).await?;
    let mut keyset = Keyset::new(client, request, schema, snapshot, transactions).await?;
    keyset.refuse_a_source_that_went_back().await?;
    let null_rows = keyset.null_rows().await?;
    if let Some(skipped) = keyset.nothing_new().await? {
        let position = keyset.position_without_news(before.as_ref()).await?;
        keyset.end().await?;
        return out.end(position, 0, skipped).await;
    }
    let settled = keyset.settle(before.as_ref()).await?;
    let skipped = keyset.again(out).await?;
    keyset.beyond(&settled, out).await?;
    if null_rows && skipped.is_none() {
        let query = keyset.query(&format!("{} IS NULL", keyset.order.cursor));
        let position = keyset.present_position(None);
        keyset.deliver(&query, position, out).await?;
    }
    keyset.warn_of_a_source_that_may_have_gone_back(out.rows, skipped).await?;
    let position = keyset.end_position(&settled, out.rows, skipped).await?;
    let future_rows = keyset.future_rows;
    keyset.end().await?;
    out.end(position, future_rows, skipped.unwrap_or(0)).await
}

/// Which rows a position says to look at again.
enum Lower {
    /// None: nothing can have changed there.
    None,
    /// All that have a cursor.
    All,
    /// Those for which this holds.
    Where(String),
}

/// One keyset read.
pub(crate) struct Keyset<'a> {
    client: &'a Arc<Client>,
    request: &'a ReadRequest,
    schema: &'a SchemaRef,
    /// Absent only while it is exchanged for a newer one.
    snapshot: Option<Snapshot>,
    identity: String,
    transactions: Transactions,
    after: Position,
    cursor: CursorExpr,
    tie: Vec<String>,
    lookback: Option<Duration>,
    null_cursor: NullCursor,
    order: Order,
    rows: Rows,
    /// Whether what stands up to the position was found unchanged in the present snapshot.
    reviewed: Option<bool>,
    /// The tuple of the last row that moved the position.
    moved: Option<Vec<CursorValue>>,
    /// True when a row above the settled tuple moved it.
    moved_beyond: bool,
    future_rows: u64,
}

impl<'a> Keyset<'a> {
    async fn new(client: &'a Arc<Client>, request: &'a ReadRequest, schema: &'a SchemaRef, mut snapshot: Snapshot, transactions: Transactions) -> Result<Self, Halt> {
        let ReadStrategy::Keyset { cursor, tie, after, lookback, null_cursor } = &request.strategy else {
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, "a keyset read without a cursor")));
        };
        let order = Order::new(&mut snapshot, request, cursor, tie).await?;
        let rows = Rows::new(&snapshot.described.label, schema, &order.selection, request.batch_rows, request.batch_bytes)?;
        Ok(Self {
            client,
            request,
            schema,
            identity: snapshot.described.schema.identity.clone(),
            snapshot: Some(snapshot),
            transactions,
            after: after.clone(),
            cursor: cursor.clone(),
            tie: tie.clone(),
            lookback: *lookback,
            null_cursor: *null_cursor,
            order,
            rows,
            reviewed: None,
            moved: None,
            moved_beyond: false,
            future_rows: 0,
        })
    }

    /// Goes on with a newer snapshot.
    pub(crate) async fn use_snapshot(&mut self, mut snapshot: Snapshot) -> Result<(), Halt> {
        self.order = Order::new(&mut snapshot, self.request, &self.cursor, &self.tie).await?;
        self.rows = Rows::new(&snapshot.described.label, self.schema, &self.order.selection, self.request.batch_rows, self.request.batch_bytes)?;
        self.reviewed = None;
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// The present snapshot.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.snapshot.as_ref().expect("a read has a snapshot")
    }

    fn snapshot_mut(&mut self) -> &mut Snapshot {
        self.snapshot.as_mut().expect("a read has a snapshot")
    }

    /// Ends the snapshot; a newer one must be taken next.
    pub(crate) async fn end_snapshot(&mut self) -> Result<(), Halt> {
        match self.snapshot.take() {
            Some(snapshot) => Ok(snapshot.end(self.client).await?),
            None => Ok(()),
        }
    }

    async fn end(mut self) -> Result<(), Halt> {
        self.end_snapshot().await?;
        self.transactions.end();
        Ok(())
    }

    pub(crate) fn client(&self) -> &'a Arc<Client> {
        self.client
    }

    pub(crate) fn request(&self) -> &'a ReadRequest {
        self.request
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// Where the last run ended.
    pub(crate) fn after(&self) -> &Position {
        &self.after
    }

    /// The tuple of the position; empty at the start.
    pub(crate) fn values(&self) -> &[CursorValue] {
        match &self.after {
            Position::Cursor { values, .. } => values,
            _ => &[],
        }
    }

    /// What the last read left open.
    pub(crate) fn unsettled(&self) -> Option<&Unsettled> {
        match &self.after {
            Position::Cursor { unsettled, .. } => unsettled.as_ref(),
            _ => None,
        }
    }

    pub(crate) async fn prove_quiet(&mut self) -> Result<bool, Halt> {
        let is_instant = self.order.is_instant;
        match &self.snapshot {
            Some(snapshot) => Ok(self.transactions.prove_quiet(&snapshot.taken, is_instant).await?),
            None => Ok(false),
        }
    }

    pub(crate) async fn list_after_snapshot(&mut self) -> Result<InProgress, Halt> {
        let is_instant = self.order.is_instant;
        match &self.snapshot {
            Some(snapshot) => Ok(self.transactions.list_after(&snapshot.taken, is_instant).await?),
            None => self.list().await,
        }
    }

    pub(crate) async fn list(&mut self) -> Result<InProgress, Halt> {
        Ok(self.transactions.list().await?)
    }

    async fn unsettled_above(&mut self, low: &[CursorValue]) -> Result<Option<Unsettled>, Halt> {
        let is_instant = self.order.is_instant;
        match &self.snapshot {
            Some(snapshot) => Ok(Some(self.transactions.unsettled(low, &snapshot.taken, is_instant).await?)),
            None => Ok(None),
        }
    }

    /// The cursor of the position; `None` at the start, and when nothing has moved it yet.
    fn watermark(&self) -> Option<&CursorValue> {
        self.values().first().filter(|value| **value != CursorValue::Null)
    }

    /// `SELECT … WHERE condition`.
    fn query(&self, condition: &str) -> String {
        format!("SELECT {} FROM {} WHERE {condition}", self.order.selection.sql(), self.snapshot().described.from)
    }

    fn beyond_position(&self) -> Result<String, ConnectorError> {
        match self.watermark() {
            Some(_) => self.order.compared(">", self.values()),
            None => Ok(format!("{} IS NOT NULL", self.order.cursor)),
        }
    }

    fn lower(&self, values: &[CursorValue], unsettled: Option<&Unsettled>) -> Result<Lower, ConnectorError> {
        let Some(watermark) = values.first().filter(|value| **value != CursorValue::Null) else { return Ok(Lower::All) };
        let low = match unsettled {
            Some(unsettled) => match unsettled.low.first().filter(|value| **value != CursorValue::Null) {
                Some(low) => Some((low, &unsettled.low)),
                None => return Ok(Lower::All),
            },
            None => None,
        };
        let condition = match (self.lookback, low) {
            (Some(lookback), low) => {
                let bound = before(watermark, lookback)?;
                let bound = low.map_or(bound.clone(), |(low, _)| earlier(bound, low.clone()));
                format!("{} >= {}", self.order.cursor, self.order.cursor_value(&bound)?)
            }
            (None, Some((_, tuple))) if self.order.is_unique => self.order.compared(">", tuple)?,
            (None, Some((low, _))) => format!("{} >= {}", self.order.cursor, self.order.cursor_value(low)?),
            (None, None) if self.order.is_unique => return Ok(Lower::None),
            (None, None) => format!("{} >= {}", self.order.cursor, self.order.cursor_value(watermark)?),
        };
        Ok(Lower::Where(condition))
    }

    /// A sequence never goes back, so a lower one proves that the source was restored or replaced, once its newest rows are gone, too.
    async fn refuse_a_source_that_went_back(&mut self) -> Result<(), Halt> {
        let (Some(CursorValue::Int(watermark)), CursorExpr::Column(name), true) = (self.watermark().cloned(), &self.cursor, self.order.is_unique) else { return Ok(()) };
        let Some(sequence) = self.snapshot().described.column(name).and_then(|(_, facts)| facts.sequence.clone()) else { return Ok(()) };
        let oid = sequence.oid;
        let last = format!("CASE WHEN pg_catalog.has_sequence_privilege({oid}::oid, 'USAGE, SELECT') THEN pg_catalog.pg_sequence_last_value({oid}::oid) END");
        let Some(last) = self.snapshot_mut().number(&last).await? else { return Ok(()) };
        if last >= watermark || self.stands_at_watermark().await? {
            return Ok(());
        }
        Err(Halt::Failed(
            ConnectorError::new(
                ErrorKind::Refused,
                format!("{} went back: its sequence stands at {last} and no row at {watermark}, up to which rows were read before", self.snapshot().described.label),
            )
            .with_help("the table was emptied with RESTART IDENTITY, or restored; read it again from the start with `karat run --full-refresh`, or rewind its state"),
        ))
    }

    async fn stands_at_watermark(&mut self) -> Result<bool, Halt> {
        let Some(watermark) = self.watermark() else { return Ok(true) };
        let condition = format!("EXISTS (SELECT 1 FROM {} WHERE {} >= {})", self.snapshot().described.from, self.order.cursor, self.order.cursor_value(watermark)?);
        Ok(self.snapshot_mut().holds(&condition).await?)
    }

    /// Without a sequence nobody knows whether the newest rows were deleted or the database was restored.
    async fn warn_of_a_source_that_may_have_gone_back(&mut self, delivered: u64, skipped: Option<u64>) -> Result<(), Halt> {
        if delivered == 0 && skipped.is_none_or(|rows| rows == 0) && !self.stands_at_watermark().await? {
            tracing::warn!(source = %self.snapshot().described.label, "nothing stands at or above the watermark any more: the newest rows were deleted, or the source was restored");
        }
        Ok(())
    }

    /// True when there are rows without a cursor, and they are wanted.
    async fn null_rows(&mut self) -> Result<bool, Halt> {
        if !self.order.cursor_is_nullable {
            return Ok(false);
        }
        let from = format!("FROM {} WHERE {} IS NULL", self.snapshot().described.from, self.order.cursor);
        let found = self.snapshot_mut().holds(&format!("EXISTS (SELECT 1 {from})")).await?;
        if found && self.null_cursor == NullCursor::Error {
            let rows = self.snapshot_mut().number(&format!("count(*) {from}")).await?.unwrap_or(1);
            let help = "choose a cursor that is never NULL, combine columns in `cursor_sql` (`COALESCE(updated_at, created_at)`), or set `null_cursor: always_reread`";
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::BadData, format!("{rows} rows of {} have no cursor value", self.snapshot().described.label)).with_help(help)));
        }
        Ok(found)
    }

    /// The digest that the position remembers.
    fn known(&self) -> Result<Option<Digest>, ConnectorError> {
        let Position::Cursor { tail: Some(tail), .. } = &self.after else { return Ok(None) };
        Digest::of_tail(tail).map(Some).ok_or_else(|| ConnectorError::new(ErrorKind::Corrupt, "the digest in the stored position is damaged"))
    }

    /// How many rows were compared, when not a single one is new or changed.
    async fn nothing_new(&mut self) -> Result<Option<u64>, Halt> {
        if matches!(self.after, Position::Start) {
            return Ok(None);
        }
        let lower = self.lower(self.values(), self.unsettled())?;
        let known = match (&lower, self.known()?) {
            (Lower::None, _) => Digest::default(),
            (_, Some(known)) => {
                let upto = self.upto_position()?;
                let seen = self.digest(&lower, upto.as_deref(), known.rows).await?;
                self.reviewed = Some(seen == known);
                if seen != known {
                    // Rows dated in the future stand after the position, and are part of what it remembers.
                    let is_same = self.digest(&lower, None, known.rows).await? == known;
                    return Ok(is_same.then_some(known.rows));
                }
                known
            }
            (_, None) => return Ok(None),
        };
        let condition = format!("EXISTS (SELECT 1 FROM {} WHERE {})", self.snapshot().described.from, self.beyond_position()?);
        let news = self.snapshot_mut().holds(&condition).await?;
        Ok((!news).then_some(known.rows))
    }

    fn upto_position(&self) -> Result<Option<String>, ConnectorError> {
        match self.watermark() {
            Some(_) => self.order.compared("<=", self.values()).map(Some),
            // Nothing has a place below it.
            None => Ok(Some("false".into())),
        }
    }

    /// The same position, settled if that can be said now.
    async fn position_without_news(&mut self, before: Option<&InProgress>) -> Result<Position, Halt> {
        // A standby does not say what is in progress on its primary.
        if self.unsettled().is_none() || self.snapshot().is_standby {
            return Ok(self.after.clone());
        }
        if matches!(self.settled_by_the_last_read(before), Settled::Blocked(_)) && !self.prove_quiet().await? {
            return Ok(self.after.clone());
        }
        let values = self.values().to_vec();
        let tail = self.tail(&values, None).await?;
        Ok(Position::Cursor { values, tail, unsettled: None })
    }

    /// Delivers what stands at or before the position again, unless nothing changed there; then says how many rows were compared.
    async fn again(&mut self, out: &mut Out) -> Result<Option<u64>, Halt> {
        if matches!(self.after, Position::Start) {
            return Ok(None);
        }
        let lower = self.lower(self.values(), self.unsettled())?;
        if matches!(lower, Lower::None) {
            return Ok(Some(0));
        }
        let upto = self.upto_position()?;
        if let Some(known) = self.known()? {
            let is_same = match self.reviewed {
                Some(is_same) => is_same,
                None => self.digest(&lower, upto.as_deref(), known.rows).await? == known,
            };
            if is_same {
                return Ok(Some(known.rows));
            }
        }
        if self.watermark().is_none() {
            return Ok(None);
        }
        let mut conditions: Vec<String> = upto.into_iter().collect();
        if let Lower::Where(condition) = lower {
            conditions.push(condition);
        }
        conditions.extend(self.unseen_by_the_last_read()?);
        let query = format!("{} ORDER BY {}", self.query(&conditions.join(" AND ")), self.order.by);
        let position = self.after_without_digest();
        self.deliver(&query, position, out).await?;
        Ok(None)
    }

    /// True of rows that were written by transactions which the last read could not see, and of a few more: what is older was delivered by it.
    fn unseen_by_the_last_read(&self) -> Result<Option<String>, ConnectorError> {
        let described = &self.snapshot().described;
        // A lookback may reach further down than that of the last read did.
        let Some(first) = self.unsettled().and_then(first_unseen).filter(|_| described.heap.is_some() && self.lookback.is_none()) else { return Ok(None) };
        // Numbers of rows have 32 bits, so their ages are compared, which is only right within half of that range.
        let Some(distance) = self.snapshot().taken.transactions.1.checked_sub(first) else { return Ok(None) };
        if distance >= 1 << 31 {
            return Ok(None);
        }
        let unseen = format!("pg_catalog.age(source.xmin) <= pg_catalog.age('{}'::xid)", first % (1 << 32));
        // A read that was stopped inside a group of equal cursors has delivered only a part of that group.
        Ok(Some(match self.watermark() {
            Some(watermark) if !self.order.is_unique => format!("({unseen} OR {} >= {})", self.order.cursor, self.order.cursor_value(watermark)?),
            _ => unseen,
        }))
    }

    fn after_without_digest(&self) -> Position {
        match &self.after {
            Position::Cursor { values, unsettled, .. } => Position::Cursor { values: values.clone(), tail: None, unsettled: unsettled.clone() },
            other => other.clone(),
        }
    }

    /// Where a read can be resumed now.
    fn present_position(&self, unsettled: Option<&Unsettled>) -> Position {
        match &self.moved {
            Some(values) => Position::Cursor { values: values.clone(), tail: None, unsettled: unsettled.cloned() },
            None => self.after_without_digest(),
        }
    }

    /// Delivers rows that do not move the position.
    async fn deliver(&mut self, query: &str, position: Position, out: &mut Out) -> Result<(), Halt> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        let mut copying = Copying::start(&mut snapshot.session, &snapshot.described.label, query).await?;
        loop {
            let fill = copying.fill(&mut self.rows).await?;
            if let Some(filled) = self.rows.take()? {
                out.rows(filled.batch, Some(position.clone())).await?;
            }
            if fill == Fill::End {
                return Ok(());
            }
        }
    }

    /// Delivers the rows after the position.
    async fn beyond(&mut self, settled: &Settled, out: &mut Out) -> Result<(), Halt> {
        let beyond = self.beyond_position()?;
        let (first, second) = match settled {
            Settled::Whole => (Some(beyond), None),
            Settled::Upto(tuple) if tuple.is_empty() => (None, Some(beyond)),
            Settled::Upto(tuple) if tuple.as_slice() == self.values() => (None, Some(beyond)),
            Settled::Upto(tuple) => (Some(format!("{beyond} AND {}", self.order.compared("<=", tuple)?)), Some(format!("{beyond} AND {}", self.order.compared(">", tuple)?))),
            Settled::Blocked(_) => (None, Some(beyond)),
        };
        if let Some(condition) = first {
            self.advance(&condition, None, out).await?;
        }
        if let Some(condition) = second {
            let low = match settled {
                Settled::Upto(tuple) | Settled::Blocked(tuple) => tuple.clone(),
                Settled::Whole => Vec::new(),
            };
            self.advance(&condition, Some(&low), out).await?;
        }
        Ok(())
    }

    /// Delivers rows in order, which moves the position; `low` is the tuple up to which they are settled, when that is not all.
    async fn advance(&mut self, condition: &str, low: Option<&[CursorValue]>, out: &mut Out) -> Result<(), Halt> {
        let query = format!("{} ORDER BY {}", self.query(condition), self.order.by);
        let mut unsettled = None;
        let Some(mut snapshot) = self.snapshot.take() else { return Ok(()) };
        let taken = snapshot.taken;
        {
            let mut copying = Copying::start(&mut snapshot.session, &snapshot.described.label, &query).await?;
            loop {
                let fill = copying.fill(&mut self.rows).await?;
                if let Some(filled) = self.rows.take()? {
                    self.look_at(&filled, low.is_some())?;
                    if let (Some(low), None) = (low, &unsettled) {
                        unsettled = Some(self.transactions.unsettled(low, &taken, self.order.is_instant).await?);
                    }
                    out.rows(filled.batch, Some(self.present_position(unsettled.as_ref()))).await?;
                }
                if fill == Fill::End {
                    break;
                }
            }
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Moves the position to the last row that is not dated in the future.
    fn look_at(&mut self, filled: &Filled, is_unsettled: bool) -> Result<(), ConnectorError> {
        let rows = filled.batch.num_rows();
        let cursor = &filled.columns[self.order.cursor_at];
        let upto = if self.order.is_instant { rows_until(cursor.as_ref(), self.order.future_from) } else { rows };
        self.future_rows += (rows - upto) as u64;
        if upto > 0 {
            let tuple = std::iter::once(&self.order.cursor_at).chain(&self.order.ties_at).map(|at| value(filled.columns[*at].as_ref(), upto - 1));
            self.moved = Some(tuple.collect::<Result<_, _>>()?);
            self.moved_beyond |= is_unsettled;
        }
        Ok(())
    }

    /// Where the next run starts, with what it will compare.
    async fn end_position(&mut self, settled: &Settled, delivered: u64, skipped: Option<u64>) -> Result<Position, Halt> {
        // What was open still is, and nothing came: the next run looks at the same rows again, by the same mark.
        if delivered == 0 && (matches!(self.after, Position::Start) || matches!(settled, Settled::Blocked(_))) {
            return Ok(self.after.clone());
        }
        let unsettled = match settled {
            Settled::Whole => None,
            Settled::Upto(_) if !self.moved_beyond => None,
            Settled::Upto(low) | Settled::Blocked(low) => self.unsettled_above(low).await?,
        };
        if delivered == 0 && skipped.is_some() && unsettled.is_some() == self.unsettled().is_some() {
            return Ok(self.after.clone());
        }
        let values = match (&self.moved, self.values()) {
            (Some(values), _) => values.clone(),
            (None, []) => vec![CursorValue::Null],
            (None, values) => values.to_vec(),
        };
        let tail = self.tail(&values, unsettled.as_ref()).await?;
        Ok(Position::Cursor { values, tail, unsettled })
    }

    /// The digest of everything that the next run looks at again; `None` when that is nothing, or the whole table.
    async fn tail(&mut self, values: &[CursorValue], unsettled: Option<&Unsettled>) -> Result<Option<karat_plugin_api::Tail>, Halt> {
        let lower = self.lower(values, unsettled)?;
        match lower {
            Lower::None => Ok(None),
            Lower::All if unsettled.is_some() => Ok(None),
            Lower::All | Lower::Where(_) => Ok(Some(self.digest(&lower, None, u64::MAX).await?.tail())),
        }
    }

    /// The digest of rows from a lower bound on, and of those without a cursor; soon after there are more than `at_most` it stops, which makes it
    /// differ from any with so many.
    async fn digest(&mut self, lower: &Lower, upto: Option<&str>, at_most: u64) -> Result<Digest, Halt> {
        let mut digest = Digest::default();
        let mut conditions: Vec<String> = upto.map(str::to_owned).into_iter().collect();
        match lower {
            Lower::None => return Ok(digest),
            Lower::All => conditions.push(format!("{} IS NOT NULL", self.order.cursor)),
            Lower::Where(condition) => conditions.push(condition.clone()),
        }
        self.hash(&conditions.join(" AND "), at_most, &mut digest).await?;
        if self.order.cursor_is_nullable && self.null_cursor == NullCursor::AlwaysReread {
            self.hash(&format!("{} IS NULL", self.order.cursor), at_most, &mut digest).await?;
        }
        Ok(digest)
    }

    async fn hash(&mut self, condition: &str, at_most: u64, digest: &mut Digest) -> Result<(), Halt> {
        let limit = at_most.saturating_sub(digest.rows).saturating_add(1).min(i64::MAX as u64);
        let selection = Selection { columns: self.order.selection.columns[..self.order.selection.visible].to_vec(), visible: self.order.selection.visible };
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        let query = format!("SELECT {} FROM {} WHERE {condition} LIMIT {limit}", selection.sql(), snapshot.described.from);
        let mut rows = Rows::new(&snapshot.described.label, self.schema, &selection, HASHED_ROWS, self.request.batch_bytes)?;
        let mut copying = Copying::start(&mut snapshot.session, &snapshot.described.label, &query).await?;
        loop {
            let fill = copying.fill(&mut rows).await?;
            if let Some(filled) = rows.take()? {
                digest.add(&filled.batch)?;
            }
            if fill == Fill::End {
                return Ok(());
            }
        }
    }

    /// The greatest tuple that the snapshot shows and that may move the watermark.
    pub(crate) async fn greatest(&mut self) -> Result<Option<Vec<CursorValue>>, Halt> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(None) };
        let query = self.order.greatest(&snapshot.described.from)?;
        let mut rows = Rows::new(&snapshot.described.label, &Arc::new(Schema::empty()), &self.order.tuple, 2, usize::MAX)?;
        let mut copying = Copying::start(&mut snapshot.session, &snapshot.described.label, &query).await?;
        copying.fill(&mut rows).await?;
        let width = 1 + self.order.ties_at.len();
        match rows.take()? {
            Some(filled) => Ok(Some(filled.columns[..width].iter().map(|column| value(column.as_ref(), 0)).collect::<Result<_, _>>()?)),
            None => Ok(None),
        }
    }
}
