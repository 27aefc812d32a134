//! One table of a run: opening its target, trying again, and what its report says.

use crate::delivery::Tip;
use crate::failpoints::{Failpoint, RECONCILED};
use crate::pins::Pins;
use crate::pump::{cancelled, panic_text};
use crate::report::{TableStatus, state_error};
use crate::services::target_of;
use crate::{Event, Services, TableReport, copy, transform};
use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use karat_plan::{StageWork, TablePlan};
use karat_plugin_api::{CommitRecord, ConnectorError, ErrorKind, Generation, Position, Sink, StreamId, TargetObject, TargetState};
use karat_spec::model::{LockedColumn, TableName};
use karat_state::{Lease, Reconcile, StateSnapshot, StreamState, reconcile};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What all stages of a run have in common.
pub(crate) struct RunContext {
    pub(crate) services: Services,
    pub(crate) lease: Arc<Lease>,
    pub(crate) snapshot: StateSnapshot,
    pub(crate) pins: Pins,
    pub(crate) cancel: CancellationToken,
    /// Every table starts anew, as a generation that replaces the old one in one commit.
    pub(crate) full_refresh: bool,
}

impl RunContext {
    /// Bytes that batches and open writers of one stage may hold, about.
    pub(crate) fn memory_per_stage(&self) -> u64 {
        self.services.options.memory_limit_bytes / self.services.options.jobs.max(1) as u64
    }
}

/// One table while its stage runs.
pub(crate) struct Stage {
    pub(crate) run: Arc<RunContext>,
    /// Full name.
    pub(crate) name: String,
    pub(crate) table: TableName,
    pub(crate) stream: StreamId,
    /// What state knows of the stream now.
    pub(crate) known: Option<StreamState>,
    pub(crate) report: TableReport,
    /// The source's columns, once they are being read.
    pub(crate) source_columns: Option<Vec<LockedColumn>>,
    /// Tries of this stage; makes attempts unique.
    pub(crate) tries: u32,
    /// Set by an error after which trying again would repeat what was committed.
    pub(crate) is_final: bool,
}

/// The target of a stage, reconciled with state.
pub(crate) struct Target {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) object: TargetObject,
    pub(crate) record: Option<CommitRecord>,
    pub(crate) rows: Option<u64>,
    pub(crate) schema: Option<SchemaRef>,
}

/// Runs the stage of one table to its report. Never fails, never panics out.
///
/// Dropping the future leaves what was committed and makes nothing else visible.
pub(crate) async fn run(run: Arc<RunContext>, name: String, plan: TablePlan) -> TableReport {
    let clock = Arc::clone(&run.services.clock);
    let started_at = clock.now();
    let mut report = TableReport::waiting(&plan);
    report.started_at = Some(started_at);
    run.services.observer.event(Event::TableStarted { table: name.clone(), stage: plan.stage });
    let ended = |mut report: TableReport| {
        report.seconds = seconds(started_at, clock.now());
        report
    };
    let (Some(work), Some(table)) = (plan.work, TableName::parse(&name)) else {
        report.fail(&ConnectorError::new(ErrorKind::Bug, format!("the plan says nothing of how `{name}` is run")));
        return ended(report);
    };
    let stream = StreamId::new(&plan.pipeline, &name);
    let known = run.snapshot.streams.get(&stream).cloned();
    let mut stage = Stage { run, name, table, stream, known, report, source_columns: None, tries: 0, is_final: false };
    // The report stays outside of what may panic: commits that were made are never forgotten.
    let outcome = AssertUnwindSafe(stage.try_until_done(&work)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|payload| Err(ConnectorError::new(ErrorKind::Bug, format!("the stage of `{}` panicked: {}", stage.name, panic_text(&*payload)))));
    if let Err(error) = outcome {
        stage.report.fail(&error);
    }
    ended(stage.report)
}

impl Stage {
    async fn try_until_done(&mut self, work: &StageWork) -> Result<(), ConnectorError> {
        let mut failures = 0;
        loop {
            self.tries += 1;
            let (commits, watermark) = (self.report.commits, self.report.watermark.clone());
            let error = match self.try_once(work).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.is_final || !error.kind().is_transient() || self.run.cancel.is_cancelled() {
                return Err(error);
            }
            // A commit in between is progress: a flaky source may fail as often as it likes while rows arrive. One that did not move the position
            // is none: the newest window is read and committed again in every try.
            let has_advanced = self.report.commits > commits && self.report.watermark != watermark;
            failures = if has_advanced { 1 } else { failures + 1 };
            let Some(delay) = self.run.services.options.retry.pause(failures) else { return Err(error) };
            self.report.retries += 1;
            tracing::warn!(table = %self.name, attempt = self.tries + 1, error = %error.chain(), "trying again");
            self.event(Event::Retrying { table: self.name.clone(), attempt: self.tries + 1, delay, message: error.chain() });
            tokio::select! {
                biased;
                () = self.run.cancel.cancelled() => return Err(cancelled()),
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    async fn try_once(&mut self, work: &StageWork) -> Result<(), ConnectorError> {
        let before = self.report.commits;
        match work {
            StageWork::Copy(work) => copy::copy(self, work).await?,
            StageWork::Transform(work) => transform::transform(self, work).await?,
        }
        self.report.status = if self.report.commits > 0 || self.report.commits > before { TableStatus::Done } else { TableStatus::Unchanged };
        if let Some(version) = self.report.version.clone() {
            self.run.pins.set(self.table.clone(), version);
        }
        Ok(())
    }

    /// Reads where the target stands, compares it with state, and brings state up to date (COMMIT S1).
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when a person must decide.
    pub(crate) async fn open_target(&mut self, pipeline: usize, connection: &str, named: Option<&str>) -> Result<Target, ConnectorError> {
        let sink = self.run.services.connections.sink(pipeline, connection)?;
        let object = target_of(sink.as_ref(), &self.table, named);
        let state = or_cancelled(&self.run.cancel, sink.target_state(&self.stream, &object)).await?;
        let decision = reconcile(&state, self.known.as_ref(), &self.stream);
        let (record, version, rows, schema) = match state {
            TargetState::Absent => (None, None, None, None),
            TargetState::Present { record, version, rows, schema } => (record, Some(version), rows, Some(schema)),
        };
        let is_foreign = record.as_ref().is_some_and(|record| record.stream != self.stream);
        match decision {
            Reconcile::FirstRun | Reconcile::InStep(_) => {}
            Reconcile::SinkAhead(record) | Reconcile::Rebuild(record) => self.adopt(&record, rows).await?,
            // A fresh start replaces whatever there is, but never somebody else's table.
            Reconcile::Refused { .. } if self.is_fresh() && !is_foreign => {}
            Reconcile::Refused { message, help } => return Err(ConnectorError::new(ErrorKind::Refused, message).with_help(help)),
        }
        self.report.version = version;
        self.report.watermark = record.as_ref().map(|record| record.hi.to_string());
        self.pass(RECONCILED)?;
        Ok(Target { sink, object, record, rows, schema })
    }

    async fn adopt(&mut self, record: &CommitRecord, rows: Option<u64>) -> Result<(), ConnectorError> {
        let state = self.state_of(record, None, rows.unwrap_or(record.rows));
        self.remember(state).await?;
        self.report.recovered = true;
        tracing::info!(table = %self.name, seq = record.seq, "adopted the position of the target");
        Ok(())
    }

    /// What state is to remember of a commit.
    pub(crate) fn state_of(&self, record: &CommitRecord, source_identity: Option<String>, rows: u64) -> StreamState {
        StreamState {
            stream: self.stream.clone(),
            table: self.name.clone(),
            generation: record.generation,
            seq: record.seq,
            epoch: record.epoch,
            attempt: record.attempt.clone(),
            hi: record.hi.clone(),
            source_columns: self.source_columns.clone().or_else(|| self.known.as_ref().map(|known| known.source_columns.clone())).unwrap_or_default(),
            source_identity: source_identity.or_else(|| self.known.as_ref().and_then(|known| known.source_identity.clone())),
            rows,
            committed_at: self.run.services.clock.now(),
        }
    }

    /// Writes a position into state. A fresh start may lie before what state remembers of a target that was lost.
    pub(crate) async fn remember(&mut self, state: StreamState) -> Result<(), ConnectorError> {
        let goes_back = self.known.as_ref().is_some_and(|known| (state.generation, state.seq) < (known.generation, known.seq));
        let store = &self.run.services.state;
        let written = if goes_back { store.rebuild_stream(&self.run.lease, &state).await } else { store.record_commit(&self.run.lease, &state).await };
        written.map_err(state_error)?;
        self.known = Some(state);
        Ok(())
    }

    /// Where the next commit attaches: after the newest one, or at the start of a new generation.
    pub(crate) fn tip(&self, target: &Target, new_generation: bool) -> Tip {
        let known = self.known.as_ref().map_or(0, |known| known.generation.0);
        match &target.record {
            Some(record) if new_generation => Tip { generation: Generation(record.generation.0 + 1), seq: 0, hi: Position::Start, rows: 0 },
            Some(record) => {
                let rows = self.known.as_ref().map_or(record.rows, |known| known.rows);
                Tip { generation: record.generation, seq: record.seq, hi: record.hi.clone(), rows }
            }
            None => Tip { generation: Generation(known + 1), seq: 0, hi: Position::Start, rows: 0 },
        }
    }

    /// True when the user asked for a fresh start, and it has not been made yet in this run.
    pub(crate) fn is_fresh(&self) -> bool {
        self.run.full_refresh && self.report.commits == 0
    }

    pub(crate) fn event(&self, event: Event) {
        self.run.services.observer.event(event);
    }

    pub(crate) fn warn(&mut self, message: String) {
        if !self.report.warnings.contains(&message) {
            self.report.warnings.push(message.clone());
            self.event(Event::Warning { table: self.name.clone(), message });
        }
    }

    /// Passes a failpoint.
    pub(crate) fn pass(&self, place: Failpoint) -> Result<(), ConnectorError> {
        self.run.services.options.failpoints.pass(place)
    }
}

/// The future's result, or a cancellation as soon as the run is told to stop; only for work that can be dropped.
pub(crate) async fn or_cancelled<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T, ConnectorError>>) -> Result<T, ConnectorError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancelled()),
        done = work => done,
    }
}

/// Seconds between two moments; a clock that went back counts as none.
pub(crate) fn seconds(from: chrono::DateTime<chrono::Utc>, to: chrono::DateTime<chrono::Utc>) -> f64 {
    (to - from).to_std().map_or(0.0, |span| span.as_secs_f64())
}
