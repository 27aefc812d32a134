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
//!
//! Read next: `bounds.rs` (which rows a position stands for), `review.rs` (whether they changed), `delivery.rs` (how rows move the position).

mod bounds;
mod delivery;
mod review;
mod went_back;

use super::copy::{Copying, Rows};
use super::order::Order;
use super::position::{check, value};
use super::reader::{Halt, Out};
use super::snapshot::Snapshot;
use super::transactions::{InProgress, Transactions};
use crate::client::Client;
use arrow::datatypes::{Schema, SchemaRef};
use karat_plugin_api::{ConnectorError, CursorExpr, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, Unsettled};
use karat_spec::model::NullCursor;
use std::sync::Arc;
use std::time::Duration;

/// Refuses positions of other strategies before anything is opened.
pub(crate) fn check_position(after: &Position) -> Result<(), ConnectorError> {
    match after {
        Position::Start => Ok(()),
        Position::Cursor { values, unsettled, .. } if !values.is_empty() => {
            values.iter().try_for_each(check)?;
            unsettled.iter().flat_map(|unsettled| &unsettled.low).try_for_each(check)
        }
        Position::Cursor { .. } | Position::Snapshot { .. } | Position::Windows { .. } | Position::Files { .. } | Position::Inputs { .. } => Err(after.of_another_strategy()),
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

    /// True when there are rows without a cursor, and they are wanted.
    async fn null_rows(&mut self) -> Result<bool, Halt> {
        if !self.order.cursor_is_nullable {
            return Ok(false);
        }
        let (cursor, null_cursor) = (self.order.cursor.clone(), self.null_cursor);
        Ok(self.snapshot_mut().null_rows(&cursor, null_cursor).await?)
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
