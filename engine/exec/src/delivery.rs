//! From rows in memory to rows that readers see: write, stage, check, commit, remember (COMMIT §3.1, S4 to S7).
//!
//! The sink's commit is the only step that changes what a reader sees, and it carries the position. Everything before it can be lost without effect,
//! everything after it can be lost without effect.

use crate::columns::Columns;
use crate::failpoints::{BATCH_WRITTEN, CHECKS_AFTER, COMMIT_AFTER, COMMIT_BEFORE, LOAD_OPENED, STAGE_AFTER, STAGE_BEFORE, STATE_AFTER};
use crate::pump::{Pump, cancelled};
use crate::report::CheckReport;
use crate::stage::{Stage, Target, or_cancelled};
use crate::{Event, guard};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use karat_lake::LakeTables;
use karat_plan::GuardWork;
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectorError, ErrorKind, FileLayout, Generation, Load, LoadRequest, Position, SourceBatch, Staged, TableLayout, TargetState,
    WindowBounds, WriteMode, WriteProgress,
};
use karat_spec::model::{Deletes, OnFail};
use karat_sql::{CheckRequest, CheckToRun};
use std::sync::Arc;

/// Where the next commit of a stream attaches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tip {
    pub(crate) generation: Generation,
    /// Commits of the generation so far.
    pub(crate) seq: u64,
    /// Where the newest of them ended.
    pub(crate) hi: Position,
    /// Rows of the generation.
    pub(crate) rows: u64,
}

/// What delivers the rows of one read into one load.
pub(crate) struct Delivery<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) target: &'a Target,
    /// Columns of the batches as they are read.
    pub(crate) read_schema: SchemaRef,
    pub(crate) columns: Columns,
    pub(crate) mode: WriteMode,
    pub(crate) layout: FileLayout,
    pub(crate) table_layout: TableLayout,
    pub(crate) tip: Tip,
    /// A read that ends exactly here brought nothing new; `None` when the load is to be made in any case.
    pub(crate) settled: Option<Position>,
    pub(crate) guard: GuardWork,
    pub(crate) checks: Vec<CheckToRun>,
    /// What checks read staged rows with.
    pub(crate) lake: Option<Arc<dyn LakeTables>>,
    pub(crate) source_identity: Option<String>,
}

/// Rows since the last commit.
#[derive(Default)]
struct Pending {
    rows: u64,
    bytes: u64,
    is_ready: bool,
    /// Where they lie, with the empty windows before them; `None` unless windows are replaced.
    window: Option<WindowBounds>,
}

impl Delivery<'_> {
    /// Delivers all there is, and lets go of the source before it returns.
    ///
    /// # Errors
    /// What was committed before the error stays, and is in the report.
    pub(crate) async fn run(mut self, mut pump: Pump) -> Result<(), ConnectorError> {
        let outcome = self.deliver(&mut pump).await;
        pump.close().await;
        outcome
    }

    async fn deliver(&mut self, pump: &mut Pump) -> Result<(), ConnectorError> {
        let attempt = format!("{}-{}-{}", self.stage.run.services.owner.run_id, self.stage.name, self.stage.tries);
        let request = LoadRequest {
            stream: self.stage.stream.clone(),
            generation: self.tip.generation,
            epoch: self.stage.run.lease.epoch,
            attempt: attempt.clone(),
            target: self.target.object.clone(),
            schema: Arc::clone(&self.columns.schema),
            mode: self.mode.clone(),
            layout: self.layout.clone(),
            table: self.table_layout.clone(),
            memory_bytes: self.stage.run.memory_per_stage() / 2,
        };
        let cancel = self.stage.run.cancel.clone();
        let mut load = or_cancelled(&cancel, self.target.sink.begin(request)).await?;
        self.stage.pass(LOAD_OPENED)?;
        let commits_on_the_way = matches!(self.mode, WriteMode::Append { .. } | WriteMode::Upsert { .. });
        let is_by_window = matches!(self.mode, WriteMode::Window { .. });
        let mut pending = Pending::default();
        let mut received = 0;
        loop {
            match pump.next().await? {
                SourceBatch::Rows { batch, position } => {
                    received += batch.num_rows() as u64;
                    self.write(load.as_mut(), batch, &mut pending).await?;
                    if let (true, Some(hi)) = (pending.is_ready && commits_on_the_way, position) {
                        self.commit(load.as_mut(), &attempt, hi, std::mem::take(&mut pending)).await?;
                    }
                }
                SourceBatch::WindowEnd { bounds, position } if is_by_window => {
                    pending.window = Some(match pending.window.take() {
                        Some(empty) => empty.joined(bounds),
                        None => bounds,
                    });
                    // A window without rows waits for one that has some: many empty ones cost one commit, and of a source that is empty
                    // as a whole the guard hears before anything is removed.
                    if pending.rows > 0 {
                        self.commit(load.as_mut(), &attempt, position, std::mem::take(&mut pending)).await?;
                    }
                }
                // The only commit of a new generation is behind its last window.
                SourceBatch::WindowEnd { .. } => {}
                SourceBatch::End { rows, .. } if rows != received => {
                    let message = format!("the read of `{}` says it delivered {rows} rows, but {received} arrived", self.stage.name);
                    return Err(ConnectorError::new(ErrorKind::Corrupt, message));
                }
                SourceBatch::End { position, future_rows, skipped_rows, .. } => {
                    self.stage.report.future_rows = future_rows;
                    self.stage.report.rows_skipped += skipped_rows;
                    if is_by_window && pending.window.is_none() {
                        return self.expect_whole_windows(received, &pending);
                    }
                    if !self.is_settled(&position, &pending) {
                        if received == 0 && self.takes_rows_away() {
                            guard::check_empty(&self.stage.name, self.guard, self.target.rows)?;
                        }
                        self.commit(load.as_mut(), &attempt, position, pending).await?;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// True when rows of the target go that the read did not deliver.
    fn takes_rows_away(&self) -> bool {
        match &self.mode {
            WriteMode::Window { .. } => true,
            WriteMode::Diff { deletes, .. } => matches!(deletes, Deletes::Soft | Deletes::Hard),
            // A new generation is compared with the old one as a whole.
            WriteMode::Replace | WriteMode::Append { .. } | WriteMode::Upsert { .. } => false,
        }
    }

    /// Rows behind the last window would be lost in silence, and a read without any window has not said what it covered.
    fn expect_whole_windows(&self, received: u64, pending: &Pending) -> Result<(), ConnectorError> {
        if received > 0 && pending.rows == 0 {
            return Ok(());
        }
        Err(ConnectorError::new(ErrorKind::Corrupt, format!("the read of `{}` ended inside a window", self.stage.name)))
    }

    /// True when nothing is new: a first load is never settled, so that an empty source makes an empty table.
    fn is_settled(&self, position: &Position, pending: &Pending) -> bool {
        let names_content = match position {
            Position::Snapshot { digest, .. } => digest.is_some(),
            Position::Files { .. } | Position::Inputs { .. } => true,
            Position::Start | Position::Cursor { .. } | Position::Windows { .. } => false,
        };
        // Windows that are empty now may have had rows.
        if pending.window.is_some() && self.target.rows != Some(0) {
            return false;
        }
        self.settled.as_ref() == Some(position) && (pending.rows == 0 || names_content)
    }

    async fn write(&mut self, load: &mut dyn Load, batch: RecordBatch, pending: &mut Pending) -> Result<(), ConnectorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.expect_columns(&batch)?;
        let rows = batch.num_rows() as u64;
        let bytes = batch.get_array_memory_size() as u64;
        let batch = self.columns.arrange(batch)?;
        let cancel = self.stage.run.cancel.clone();
        let progress = or_cancelled(&cancel, load.write(batch)).await?;
        self.stage.pass(BATCH_WRITTEN)?;
        pending.rows += rows;
        pending.bytes += bytes;
        pending.is_ready |= progress == WriteProgress::ReadyToCommit;
        let table = self.stage.name.clone();
        self.stage.event(Event::Progress { table, rows: self.stage.report.rows_read + pending.rows, bytes: pending.bytes });
        Ok(())
    }

    /// Columns are arranged by place, so a batch in another order must never get that far.
    fn expect_columns(&self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        let schema = batch.schema_ref();
        let promised = &self.read_schema;
        let is_same = Arc::ptr_eq(schema, promised)
            || (schema.fields().len() == promised.fields().len()
                && schema.fields().iter().zip(promised.fields()).all(|(found, promised)| found.name() == promised.name() && found.data_type() == promised.data_type()));
        if is_same {
            return Ok(());
        }
        Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("a batch of `{}` does not have the columns that its read promised", self.stage.name)))
    }

    async fn commit(&mut self, load: &mut dyn Load, attempt: &str, hi: Position, pending: Pending) -> Result<(), ConnectorError> {
        let cancel = self.stage.run.cancel.clone();
        self.stage.pass(STAGE_BEFORE)?;
        let staged = or_cancelled(&cancel, load.stage()).await?;
        self.stage.pass(STAGE_AFTER)?;
        if self.mode == WriteMode::Replace {
            guard::check(&self.stage.name, self.guard, self.target.rows, pending.rows)?;
        }
        self.check(&staged).await?;
        self.stage.pass(CHECKS_AFTER)?;
        self.stage.pass(COMMIT_BEFORE)?;
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let seq = self.tip.seq + 1;
        let record = CommitRecord {
            stream: self.stage.stream.clone(),
            generation: self.tip.generation,
            seq,
            epoch: self.stage.run.lease.epoch,
            attempt: format!("{attempt}-{seq}"),
            lo: self.tip.hi.clone(),
            hi,
            rows: pending.rows,
        };
        // From here on nothing is dropped: a commit that was sent is seen through.
        let sent = load.commit(CommitRequest { record: record.clone(), run_id: self.stage.run.services.owner.run_id.clone(), window: pending.window.clone() }).await;
        let committed = match sent {
            Ok(committed) => committed,
            Err(error) if error.kind().is_transient() || matches!(error.kind(), ErrorKind::UnknownOutcome | ErrorKind::Conflict) => self.find_out(&record, error).await?,
            Err(error) => return Err(error),
        };
        self.note(&record, &committed, &pending);
        self.stage.pass(COMMIT_AFTER)?;
        let state = self.stage.state_of(&record, self.source_identity.clone(), self.tip.rows);
        // The rows are visible. Reading them again would not mend state, and the next run adopts the commit.
        self.stage.is_final = true;
        self.stage.remember(state).await?;
        self.stage.is_final = false;
        self.stage.pass(STATE_AFTER)
    }

    fn note(&mut self, record: &CommitRecord, committed: &Committed, pending: &Pending) {
        self.tip.seq = record.seq;
        self.tip.hi = record.hi.clone();
        // A new generation begins with no rows, whatever it took the place of.
        let removed = if self.mode == WriteMode::Replace { 0 } else { committed.rows_removed };
        self.tip.rows = (self.tip.rows + committed.rows_written).saturating_sub(removed);
        if self.settled.is_some() {
            self.settled = Some(record.hi.clone());
        }
        let report = &mut self.stage.report;
        report.commits += 1;
        report.rows_read += pending.rows;
        report.rows_written += committed.rows_written;
        report.rows_removed += committed.rows_removed;
        report.files += committed.files;
        report.bytes += committed.bytes;
        report.watermark = Some(record.hi.to_string());
        report.version = Some(committed.version.clone());
        tracing::info!(table = %self.stage.name, seq = record.seq, rows = committed.rows_written, files = committed.files, "committed");
        let (table, version) = (self.stage.name.clone(), committed.version.clone());
        self.stage.event(Event::Committed { table, seq: record.seq, rows: committed.rows_written, version });
    }

    /// A commit was sent and its fate is not certain, or another one came first: only the target can tell (COMMIT I7).
    ///
    /// Nothing is deleted and nothing is sent again. When the commit is not there, the stage starts over from where the target stands; should the
    /// commit still arrive late, then one of the two finds the chain moved on, so exactly one of them counts.
    async fn find_out(&self, record: &CommitRecord, error: ConnectorError) -> Result<Committed, ConnectorError> {
        let mut failures = 0;
        loop {
            let state = match self.target.sink.target_state(&self.stage.stream, &self.target.object).await {
                Ok(state) => state,
                Err(reading) => {
                    failures += 1;
                    let pause = self.stage.run.services.options.retry.pause(failures).filter(|_| reading.kind().is_transient());
                    let Some(pause) = pause else { return Err(error) };
                    or_cancelled(&self.stage.run.cancel, async {
                        tokio::time::sleep(pause).await;
                        Ok(())
                    })
                    .await?;
                    continue;
                }
            };
            let newest = match state {
                TargetState::Present { record: Some(newest), version, .. } if newest.attempt == record.attempt => {
                    return Ok(Committed { version, rows_written: newest.rows, rows_removed: 0, files: 0, bytes: 0, was_already_applied: true });
                }
                TargetState::Present { record, .. } => record,
                TargetState::Absent => None,
            };
            let is_ours = newest.is_some_and(|newest| newest.attempt.starts_with(&self.stage.run.services.owner.run_id));
            return Err(if error.kind() == ErrorKind::UnknownOutcome || is_ours {
                ConnectorError::new(ErrorKind::Busy, format!("a commit to `{}` was lost or came late", self.stage.name)).with_source(error)
            } else {
                error
            });
        }
    }

    /// Runs the checks over the rows of the coming commit. In append, upsert and window modes `row_count` and `unique` see that batch, not the whole table.
    async fn check(&mut self, staged: &Staged) -> Result<(), ConnectorError> {
        if self.checks.is_empty() || (staged.rows == 0 && self.mode != WriteMode::Replace) {
            return Ok(());
        }
        let Some(lake) = &self.lake else {
            return Err(ConnectorError::new(ErrorKind::Unsupported, format!("checks of `{}` cannot run: its target is no lake", self.stage.name))
                .with_help("write the table to a lake connection, or remove its checks"));
        };
        let cancel = self.stage.run.cancel.clone();
        let provider = or_cancelled(&cancel, lake.staged(Arc::clone(&self.columns.schema), staged)).await?;
        let request = CheckRequest { table: self.stage.table.clone(), provider, checks: self.checks.clone(), now: self.stage.run.services.clock.now() };
        let outcomes = or_cancelled(&cancel, self.stage.run.services.sql.check(request)).await?;
        let mut failed = Vec::new();
        for outcome in outcomes {
            if !outcome.passed {
                match outcome.on_fail {
                    OnFail::Warn => self.stage.warn(format!("check `{}`: {}", outcome.name, outcome.message)),
                    OnFail::Fail | OnFail::Quarantine | OnFail::Drop => failed.push(format!("check `{}`: {}", outcome.name, outcome.message)),
                }
            }
            let kind = outcome.kind.to_string();
            self.stage.report.add_check(CheckReport {
                name: outcome.name,
                kind,
                passed: outcome.passed,
                checked_rows: outcome.checked_rows,
                failed_rows: outcome.failed_rows,
                message: outcome.message,
            });
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(ConnectorError::new(ErrorKind::CheckFailed, format!("rows of `{}` failed: {}; none of the batch became visible", self.stage.name, failed.join("; ")))
            .with_help("mend the rows at their source, or let the check tolerate them with `max_failed` or `on_fail: warn`"))
    }
}
