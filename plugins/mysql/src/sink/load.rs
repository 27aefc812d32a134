//! One load into one table: rows to the server, then to the place where the commit finds them.

use crate::config::Server;
use crate::sink::bulk::{Destination, Lane, Sent};
use crate::sink::indexes;
use crate::sink::ledger::Ledger;
use crate::sink::live::{LiveTable, TableName};
use crate::sink::pace::Pace;
use crate::sink::route::{Join, Route, route};
use crate::sink::session::Session;
use crate::sink::swap::{self, Spares, drop_table};
use crate::sink::{Abandoned, ledger_of};
use arrow::array::{Array, ArrayRef, RecordBatch};
use async_trait::async_trait;
use karat_plugin_api::{CommitRequest, Committed, ConnectorError, ErrorKind, Load, LoadRequest, Staged, WriteMode, WriteProgress};
use std::sync::Arc;

/// Bytes after which a new table is put in place, when rows can join it afterwards: enough to be fast, little enough to do again.
const FIRST_COMMIT_BYTES: u64 = 256 << 20;
/// Connections that fill one table, at most.
const MOST_WORKERS: usize = 8;

/// An open load of one table.
pub(crate) struct MysqlLoad {
    pub(super) server: Arc<Server>,
    abandoned: Abandoned,
    pub(super) request: LoadRequest,
    pub(super) name: TableName,
    pub(super) ledger: Ledger,
    pub(super) spares: Spares,
    /// The connection of staging and commits; a lane has it while rows are written.
    session: Option<Session>,
    lanes: Vec<Lane>,
    /// The lane of the next batch.
    turn: usize,
    pub(super) route: Route,
    pub(super) pace: Pace,
    /// Rows of the load so far: numbers them.
    ordinal: u64,
    /// Since the last commit: rows taken, and about how many bytes.
    pub(super) taken: Sent,
    /// Of those, rows that the commit moves.
    pub(super) staged: u64,
    /// What the server was sent since the last commit.
    pub(super) sent_bytes: u64,
}

impl MysqlLoad {
    pub(crate) async fn begin(server: Arc<Server>, abandoned: Abandoned, request: LoadRequest) -> Result<Self, ConnectorError> {
        let name = TableName::parse(&request.target)?;
        let ledger = ledger_of(&name, &request.stream);
        let spares = Spares::new(&name, request.stream.as_str());
        let mut session = Session::open(&server).await?;
        ledger.prepare(&mut session).await?;
        for table in abandoned.take() {
            drop_table(&mut session, &table).await?;
        }
        spares.sweep(&mut session, request.epoch).await?;
        let mut row = ledger.read(&mut session).await?;
        if row.pending.is_some() {
            swap::lock(&mut session, &spares).await?;
            swap::settle(&mut session, &ledger, &name).await?;
            swap::unlock(&mut session, &spares).await?;
            row = ledger.read(&mut session).await?;
        }
        let live = LiveTable::read(&mut session, &name).await?;
        if live.is_some() && !row.dropped_indexes.is_empty() {
            // A load that dropped them did not live to build them again.
            indexes::build(&mut session, &ledger, &name, &row.dropped_indexes).await?;
        }
        let newest = row.of_table(live.as_ref().and_then(LiveTable::marker)).cloned();
        let route = route(&mut session, &ledger, &request, live, newest.as_ref()).await?;
        let pace = Pace::new(request.table.max_transaction, request.table.transaction_rows);
        Ok(Self {
            server,
            abandoned,
            name,
            ledger,
            spares,
            session: Some(session),
            lanes: Vec::new(),
            turn: 0,
            route,
            pace,
            ordinal: 0,
            taken: Sent::default(),
            staged: 0,
            sent_bytes: 0,
            request,
        })
    }

    /// The connection, while no lane has it.
    pub(super) fn session(&mut self) -> Result<&mut Session, ConnectorError> {
        // It is gone after a commit that was sent and not answered. Whoever found out what became of that starts over from there.
        self.session.as_mut().ok_or_else(|| ConnectorError::new(ErrorKind::Unreachable, format!("the connection of this load to `{}` is gone", self.name)))
    }

    /// The connection, for as long as the load itself is borrowed elsewhere.
    pub(super) fn take_session(&mut self) -> Result<Session, ConnectorError> {
        self.session()?;
        self.session.take().ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "a load without a connection"))
    }

    pub(super) fn give_back(&mut self, session: Session) {
        self.session = Some(session);
    }

    /// Makes the table that rows are sent to, where it is not there, and connections that take them.
    async fn open(&mut self) -> Result<(), ConnectorError> {
        if !self.lanes.is_empty() {
            return Ok(());
        }
        let mut session = self.take_session()?;
        let destination = self.destination(&mut session).await?;
        let more = if destination.is_private { 0 } else { self.request.table.workers.clamp(1, MOST_WORKERS) - 1 };
        self.lanes.push(Lane::start(session, Arc::clone(&destination)));
        for _ in 0..more {
            let session = Session::open(&self.server).await?;
            self.lanes.push(Lane::start(session, Arc::clone(&destination)));
        }
        Ok(())
    }

    /// Rows join the table that this load has put in place.
    async fn join_placed(&mut self, session: &mut Session) -> Result<(), ConnectorError> {
        if matches!(self.route, Route::Placed) {
            let live = LiveTable::read(session, &self.name).await?;
            let live = live.ok_or_else(|| ConnectorError::new(ErrorKind::Conflict, format!("table `{}` is gone since it was put in place", self.name)))?;
            let marker = live.marker().map(str::to_owned);
            let marker = marker.ok_or_else(|| ConnectorError::new(ErrorKind::Conflict, format!("table `{}` was replaced by somebody else", self.name)))?;
            self.route = Route::Join(Box::new(Join::new(session, &self.request, live, marker, false)?));
        }
        Ok(())
    }

    async fn destination(&mut self, session: &mut Session) -> Result<Arc<Destination>, ConnectorError> {
        self.join_placed(session).await?;
        match &mut self.route {
            Route::Beside(beside) => beside.destination(session, &self.request).await,
            Route::Join(join) => join.destination(session, &self.request).await,
            Route::Placed => Err(ConnectorError::new(ErrorKind::Bug, "a load that knows no table")),
        }
    }

    fn progress(&self, batch_rows: u64) -> WriteProgress {
        let (rows, bytes) = (self.taken.rows, self.taken.bytes);
        let is_over = self.request.table.transaction_rows.is_some_and(|most| rows + batch_rows > most);
        let is_ready = match &self.route {
            Route::Beside(_) => bytes >= FIRST_COMMIT_BYTES || is_over,
            // Indexes are built anew for each commit, so it takes all rows there are.
            Route::Join(_) | Route::Placed if self.request.table.disable_indexes => is_over,
            Route::Join(_) | Route::Placed => self.pace.is_full(rows, bytes, batch_rows),
        };
        if is_ready { WriteProgress::ReadyToCommit } else { WriteProgress::Accepted }
    }

    /// Waits until the server has all rows that were taken.
    async fn collect(&mut self) -> Result<(), ConnectorError> {
        let mut sent = Sent::default();
        for lane in std::mem::take(&mut self.lanes) {
            let (session, more) = lane.finish().await?;
            sent.rows += more.rows;
            sent.bytes += more.bytes;
            match self.session {
                None => self.session = Some(session),
                Some(_) => session.close().await,
            }
        }
        self.sent_bytes += sent.bytes;
        if sent.rows == self.taken.rows {
            return Ok(());
        }
        Err(ConnectorError::new(ErrorKind::Corrupt, format!("{} rows were taken for `{}`, but {} were sent", self.taken.rows, self.name, sent.rows)))
    }
}

#[async_trait]
impl Load for MysqlLoad {
    async fn write(&mut self, batch: RecordBatch) -> Result<WriteProgress, ConnectorError> {
        let rows = batch.num_rows() as u64;
        if rows > 0 {
            self.open().await?;
            let bytes = bytes_of(&batch);
            let at = self.turn % self.lanes.len().max(1);
            let lane = self.lanes.get_mut(at).ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "a load without a connection"))?;
            lane.send(batch, self.ordinal).await?;
            self.turn += 1;
            self.ordinal += rows;
            self.taken.rows += rows;
            self.taken.bytes += bytes;
        }
        Ok(self.progress(rows))
    }

    async fn stage(&mut self) -> Result<Staged, ConnectorError> {
        if !self.lanes.is_empty() {
            self.collect().await?;
        }
        let mut session = self.take_session()?;
        let taken = self.taken.rows;
        if matches!(self.request.mode, WriteMode::Window { .. } | WriteMode::Diff { .. }) {
            self.join_placed(&mut session).await?;
        }
        self.staged = match &mut self.route {
            Route::Beside(beside) => beside.fill(&mut session, &self.request, taken).await?,
            Route::Join(join) => join.prepare(&mut session, &self.request, &self.ledger, taken).await?,
            Route::Placed => 0,
        };
        self.give_back(session);
        Ok(Staged { rows: taken, files: Vec::new() })
    }

    async fn commit(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError> {
        self.make_visible(request).await
    }
}

/// About how many bytes a batch holds; it may be a part of a larger one.
fn bytes_of(batch: &RecordBatch) -> u64 {
    let of = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size());
    batch.columns().iter().map(of).sum::<usize>() as u64
}

impl Drop for MysqlLoad {
    fn drop(&mut self) {
        // The connections end with the lanes. Of the tables only one outlives them, and the next load of this process drops it.
        if let Route::Beside(beside) = &self.route
            && beside.is_made
        {
            self.abandoned.add(beside.shadow.clone());
        }
    }
}
