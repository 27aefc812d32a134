//! One open load: rows to the server as they come, and commits that make them visible.
//!
//! One session does everything, so what was staged cannot outlive it: staged rows stand in a temporary table, and a new table is made in a transaction
//! that only the commit ends. Whatever breaks, nothing is left behind that somebody would have to clean up. Read next: `finish.rs`.

use super::commits;
use super::copy::Outbox;
use super::design::Placed;
use super::diff::{self, Comparison, Difference};
use super::encode::RowEncoder;
use super::finish::{Done, Guard, finish};
use super::form::Target;
use super::merge::Merge;
use super::name::{TableName, with_suffix};
use super::pace::Pace;
use super::plan::{Build, Merging, Way, create, list, look, plan};
use super::relation::Trouble;
use super::replace;
use super::transaction::{Frame, TRIES, is_deadlock, may_be_tried_again, pause, undo};
use crate::client::{Client, Session};
use crate::spelling::{qualified, quote};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use karat_plugin_api::{CommitRequest, Committed, ConnectorError, ErrorKind, Load, LoadRequest, Staged, WriteMode, WriteProgress};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that may wait in memory for the commit itself to send them, so that they are written once.
const HOLD_STRAIGHT: u64 = 16 << 20;

/// After so long the first commit of a new table is worth making: what was loaded is then not loaded again.
const LONG_BUILD: Duration = Duration::from_secs(60);

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Nowhere yet: they wait in memory.
    Nowhere,
    /// Into a new table, in a transaction that is open.
    Build,
    /// Into a temporary table.
    Staging,
}

/// An open load of one table.
pub(crate) struct PostgresLoad {
    client: Arc<Client>,
    /// `None` once it broke.
    session: Option<Session>,
    pub(super) name: TableName,
    pub(super) request: LoadRequest,
    pub(super) way: Way,
    pub(super) destination: Destination,
    pub(super) outbox: Option<Outbox>,
    pace: Pace,
    /// Rows taken since the last commit.
    pub(super) rows: u64,
    /// Their bytes in memory.
    bytes: u64,
    /// Rows taken in all.
    taken: u64,
    /// The number of the first row of the next commit.
    pub(super) first_row: u64,
    /// What was staged before is committed.
    is_stale: bool,
    /// A new table has its indexes.
    is_complete: bool,
    /// What of the staged rows the table does not have, where a load is compared with it.
    pub(super) difference: Option<Difference>,
    since: Instant,
}

impl PostgresLoad {
    pub(crate) async fn begin(client: Arc<Client>, request: LoadRequest) -> Result<Self, ConnectorError> {
        let name = TableName::of(&request.target)?;
        let mut session = client.session().await?;
        let way = Self::prepare(&mut session, &name, &request).await.map_err(|trouble| trouble.named(&format!("open a load of {}", name.label())))?;
        let transaction_rows = request.table.transaction_rows;
        let pace = Pace::new(request.table.max_transaction, transaction_rows);
        Ok(Self {
            client,
            session: Some(session),
            name,
            request,
            way,
            destination: Destination::Nowhere,
            outbox: None,
            pace,
            rows: 0,
            bytes: 0,
            taken: 0,
            first_row: 0,
            is_stale: false,
            is_complete: false,
            difference: None,
            since: Instant::now(),
        })
    }

    async fn prepare(session: &mut Session, name: &TableName, request: &LoadRequest) -> Result<Way, Trouble> {
        // Sorting the rows of one commit should not go through files.
        session.execute("SET work_mem = '64MB'; SET maintenance_work_mem = '256MB'").await?;
        let (place, known) = look(session, name, &request.stream).await?;
        let way = plan(session, name, &place, &known, request).await?;
        commits::ensure(session, name, &place).await?;
        Ok(way)
    }

    fn progress(&self) -> WriteProgress {
        let is_ready = match &self.way {
            // One commit is the whole table, or a whole window, however long it takes.
            _ if matches!(self.request.mode, WriteMode::Replace | WriteMode::Window { .. } | WriteMode::Diff { .. }) => false,
            Way::Build(_) => self.request.table.transaction_rows.is_some_and(|most| self.rows >= most) || self.since.elapsed() >= LONG_BUILD,
            // Indexes are built once for all rows.
            Way::Merge(_) if self.request.table.disable_indexes => self.request.table.transaction_rows.is_some_and(|most| self.rows >= most),
            Way::Merge(_) => self.pace.is_full(self.rows, self.bytes),
        };
        if is_ready { WriteProgress::ReadyToCommit } else { WriteProgress::Accepted }
    }

    async fn take(&mut self, session: &mut Session, batch: &RecordBatch) -> Result<(), Trouble> {
        let outbox = match &mut self.outbox {
            Some(outbox) => outbox,
            None => self.outbox.insert(Outbox::new(encoder(&self.way))),
        };
        let is_straight = matches!(&self.way, Way::Merge(merging) if merging.is_straight()) && self.destination == Destination::Nowhere;
        let room = HOLD_STRAIGHT.min(self.request.memory_bytes / 2);
        if is_straight && outbox.bytes() as u64 + batch.get_array_memory_size() as u64 <= room {
            return outbox.keep(batch, self.taken);
        }
        self.open(session).await?;
        let statement = copy_statement(&self.way);
        let Some(outbox) = &mut self.outbox else { return Ok(()) };
        outbox.pass(session, &statement, batch, self.taken).await
    }

    /// Makes the place that rows go to.
    async fn open(&mut self, session: &mut Session) -> Result<(), Trouble> {
        match &self.way {
            Way::Build(build) if self.destination == Destination::Nowhere => {
                let mut sql = format!("BEGIN; {}", create(&build.table, &build.placed, &build.key));
                for column in build.placed.iter().filter(|column| column.staged() != column.declared) {
                    // Filled as text, and turned into its own type by the server when all rows are there.
                    sql.push_str(&format!("; ALTER TABLE {} ALTER COLUMN {} TYPE {}", build.table.sql(), quote(&column.name), column.staged()));
                }
                session.execute(&sql).await?;
                self.destination = Destination::Build;
                self.since = Instant::now();
            }
            Way::Merge(merging) if self.destination == Destination::Nowhere => {
                let mut columns: Vec<String> = merging.placed.iter().map(|column| format!("{} {}", quote(&column.name), column.staged())).collect();
                if merging.rule.needs_order() {
                    columns.insert(0, format!("{} bigint NOT NULL", quote(&number(&merging.placed))));
                }
                session.execute(&format!("DROP TABLE IF EXISTS {STAGING}; CREATE TEMPORARY TABLE karat_staging ({})", columns.join(", "))).await?;
                self.destination = Destination::Staging;
            }
            Way::Merge(merging) if self.is_stale && !merging.rule.keeps_staged() => session.execute(&format!("TRUNCATE {STAGING}")).await?,
            Way::Build(_) | Way::Merge(_) => {}
        }
        self.is_stale = false;
        Ok(())
    }

    async fn settle(&mut self, session: &mut Session) -> Result<(), Trouble> {
        // An empty load makes an empty table, or is compared as any other.
        if matches!(self.way, Way::Build(_)) || matches!(self.request.mode, WriteMode::Diff { .. }) {
            self.open(session).await?;
        }
        if self.destination == Destination::Nowhere {
            return Ok(());
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.send(session, &copy_statement(&self.way)).await?;
            outbox.clear();
        }
        match &self.way {
            Way::Build(build) if !self.is_complete => {
                complete(session, build).await?;
                self.is_complete = true;
            }
            Way::Build(_) => {}
            Way::Merge(merging) => {
                if let Some(comparison) = Comparison::of(&merging.rule, &self.name, self.rows) {
                    let table = self.name.sql();
                    let merge = Merge { table: &table, staging: STAGING, columns: &merging.placed, number: "", first_row: 0, indexed: &[] };
                    self.difference = Some(diff::compare(session, &merge, &comparison).await?);
                }
            }
        }
        Ok(())
    }

    async fn try_until_done(&mut self, session: &mut Session, request: &CommitRequest) -> Result<Done, ConnectorError> {
        let frame = if self.destination == Destination::Build { Frame::InBuild } else { Frame::Own };
        let action = format!("commit to {}", self.name.label());
        let mut failures = 0;
        let mut guard = Guard::Rows;
        loop {
            let trouble = match finish(self, session, request, frame, guard).await {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            failures += 1;
            if is_deadlock(&trouble) {
                // Somebody writes these rows in another order, and would do so again.
                guard = Guard::LockedTable;
            }
            if failures >= TRIES || !may_be_tried_again(&trouble) {
                return Err(trouble.named(&action));
            }
            undo(session, frame).await.map_err(|error| Trouble::from(error).named(&action))?;
            tracing::debug!(table = %self.name.label(), failures, "the server gave a transaction up; it is tried again");
            pause(failures).await;
        }
    }

    /// What the next commit builds on.
    fn note(&mut self, done: &Done) {
        if let Some(took) = done.took {
            self.pace.measured(self.rows, self.bytes, took);
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.clear();
        }
        self.first_row = self.taken;
        (self.rows, self.bytes) = (0, 0);
        self.difference = None;
        if done.was_already_applied {
            return;
        }
        match &mut self.way {
            Way::Merge(merging) => {
                merging.oid = done.oid;
                merging.placed.iter_mut().for_each(|column| column.change = None);
                self.is_stale = self.destination == Destination::Staging;
            }
            Way::Build(build) => {
                let placed = std::mem::take(&mut build.placed).into_iter().map(|column| Placed { change: None, ..column }).collect();
                self.way = Way::Merge(Merging { oid: done.oid, placed, key: Vec::new(), rule: build.rule.clone(), indexed: Vec::new() });
                self.destination = Destination::Nowhere;
                self.outbox = None;
            }
        }
    }
}

/// The temporary table, in SQL.
pub(super) const STAGING: &str = "pg_temp.karat_staging";

/// The name of the column that numbers staged rows: one that no other column has.
pub(super) fn number(placed: &[Placed]) -> String {
    let mut name = "karat row".to_owned();
    while placed.iter().any(|column| column.name == name) {
        name.push('_');
    }
    name
}

fn encoder(way: &Way) -> RowEncoder {
    let (placed, is_numbered) = match way {
        Way::Build(build) => (&build.placed, false),
        Way::Merge(merging) => (&merging.placed, merging.rule.needs_order()),
    };
    RowEncoder::new(placed.iter().map(|column| Target { column: column.name.clone(), form: column.form() }).collect(), is_numbered)
}

/// The COPY into where rows are staged.
fn copy_statement(way: &Way) -> String {
    match way {
        // Nobody else sees the table yet, so its rows need no later visit to be marked as old.
        Way::Build(build) => format!("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)", build.table.sql(), list(build.placed.iter().map(|column| column.name.as_str()))),
        Way::Merge(merging) => {
            let number = number(&merging.placed);
            let number = merging.rule.needs_order().then_some(number.as_str());
            format!("COPY {STAGING} ({}) FROM STDIN (FORMAT binary)", list(number.into_iter().chain(merging.placed.iter().map(|column| column.name.as_str()))))
        }
    }
}

/// Gives a filled table its types and indexes.
async fn complete(session: &mut Session, build: &Build) -> Result<(), Trouble> {
    let table = build.table.sql();
    for column in build.placed.iter().filter(|column| column.staged() != column.declared) {
        let (name, declared) = (quote(&column.name), &column.declared);
        session.execute(&format!("ALTER TABLE {table} ALTER COLUMN {name} TYPE {declared} USING CAST({name} AS {})", column.cast_type())).await?;
    }
    match &build.old {
        Some(old) if old.stays => {}
        Some(old) => replace::build_indexes(session, old, &build.table, &build.placed).await?,
        None => {
            if !build.key.is_empty() {
                let name = quote(&with_suffix(&build.table.table, "_pkey"));
                session.execute(&format!("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY ({})", list(build.key.iter().map(String::as_str)))).await?;
            }
            if !build.lookup.is_empty() {
                let name = quote(&with_suffix(&build.table.table, "_idx"));
                session.execute(&format!("CREATE INDEX {name} ON {table} ({})", list(build.lookup.iter().map(String::as_str)))).await?;
            }
        }
    }
    Ok(())
}

/// The statements that give the indexes of a new table the names they would have had, where those are free.
pub(super) fn index_names<'a>(name: &'a TableName, build: &'a Build) -> impl Iterator<Item = (String, String)> + 'a {
    ["_pkey", "_idx"].into_iter().map(|suffix| (qualified(&name.schema, &with_suffix(&build.table.table, suffix)), with_suffix(&name.table, suffix)))
}

#[async_trait]
impl Load for PostgresLoad {
    async fn write(&mut self, batch: RecordBatch) -> Result<WriteProgress, ConnectorError> {
        // Taken out: should this future be dropped, the session is gone, and with it what it did.
        let mut session = self.session.take().ok_or_else(dead)?;
        if batch.num_rows() > 0 {
            self.take(&mut session, &batch).await.map_err(|trouble| trouble.named(&format!("send rows to {}", self.name.label())))?;
            self.rows += batch.num_rows() as u64;
            self.taken += batch.num_rows() as u64;
            self.bytes += batch.get_array_memory_size() as u64;
        }
        self.session = Some(session);
        Ok(self.progress())
    }

    async fn stage(&mut self) -> Result<Staged, ConnectorError> {
        let mut session = self.session.take().ok_or_else(dead)?;
        self.settle(&mut session).await.map_err(|trouble| trouble.named(&format!("stage rows for {}", self.name.label())))?;
        self.session = Some(session);
        Ok(Staged { rows: self.rows, files: Vec::new() })
    }

    async fn commit(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError> {
        let mut session = self.session.take().ok_or_else(dead)?;
        let done = self.try_until_done(&mut session, &request).await?;
        self.session = Some(session);
        let bytes = self.bytes;
        self.note(&done);
        Ok(Committed {
            version: version(&request),
            rows_written: done.rows_written,
            rows_removed: done.rows_removed,
            files: 0,
            bytes,
            was_already_applied: done.was_already_applied,
        })
    }
}

/// The version that readers can name: generation and batch.
fn version(request: &CommitRequest) -> String {
    format!("{}.{}", request.record.generation.0, request.record.seq)
}

fn dead() -> ConnectorError {
    ConnectorError::new(ErrorKind::Bug, "a load was used after it failed")
}

impl Drop for PostgresLoad {
    fn drop(&mut self) {
        // A session with a temporary table or an open transaction is closed, which ends both.
        if self.destination == Destination::Nowhere
            && let Some(session) = self.session.take()
        {
            self.client.put_back(session);
        }
    }
}
