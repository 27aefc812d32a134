//! State anew from the sinks, which are the truth (`karat state rebuild`).

use crate::report::{ErrorReport, state_error};
use crate::services::target_of;
use crate::{Clock, Connections};
use indexmap::IndexMap;
use karat_plugin_api::{ConnectorError, ErrorKind, StreamId, TargetState};
use karat_spec::ProjectSpec;
use karat_spec::model::TableName;
use karat_state::{Lease, Owner, StateSnapshot, StateStore, StreamState};
use schemars::JsonSchema;
use serde::Serialize;

/// What became of each table's position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct RebuildReport {
    /// The tables by full name.
    pub tables: IndexMap<String, RebuiltTable>,
    /// What went wrong with the state itself.
    pub error: Option<ErrorReport>,
    /// `0`, or the exit code of what failed: nothing of a table that failed was changed.
    pub exit_code: u8,
}

/// What became of one table's position.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RebuiltTable {
    /// State and target agreed.
    Kept,
    /// State now says what the target says.
    Rebuilt {
        /// Batches of the generation.
        seq: u64,
        /// Where the table stands, as people read it.
        watermark: String,
    },
    /// The target holds no position: state forgot the table, and its next run is a first run.
    Forgotten,
    /// Neither knows the table.
    NeverLoaded,
    /// The target could not be asked.
    Failed {
        /// Why.
        error: ErrorReport,
    },
}

/// What a rebuild needs of the world.
#[derive(Clone, Copy)]
pub struct RebuildServices<'a> {
    /// Opens connections.
    pub connections: &'a dyn Connections,
    /// What is rebuilt.
    pub state: &'a StateStore,
    /// Who holds the lease meanwhile.
    pub owner: &'a Owner,
    /// Says when a commit is noted.
    pub clock: &'a dyn Clock,
}

/// Takes the positions of `tables` from their targets, also ones that lie before what state remembers. Needs the lease.
pub async fn rebuild(spec: &ProjectSpec, tables: &[TableName], services: &RebuildServices<'_>) -> RebuildReport {
    let RebuildServices { connections, state, owner, clock } = *services;
    let mut report = RebuildReport::default();
    let lease = match state.acquire(owner).await.map_err(state_error) {
        Ok(lease) => lease,
        Err(error) => return failed(report, &error),
    };
    let outcome = match state.snapshot().await {
        Ok(snapshot) => rebuild_tables(spec, tables, &Rebuild { connections, state, clock, lease: &lease, snapshot: &snapshot }, &mut report).await,
        Err(error) => Err(state_error(error)),
    };
    let released = state.release(lease).await.map_err(state_error);
    match outcome.and(released) {
        Ok(()) if report.tables.values().any(|table| matches!(table, RebuiltTable::Failed { .. })) => RebuildReport { exit_code: 4, ..report },
        Ok(()) => report,
        Err(error) => failed(report, &error),
    }
}

struct Rebuild<'a> {
    connections: &'a dyn Connections,
    state: &'a StateStore,
    clock: &'a dyn Clock,
    lease: &'a Lease,
    snapshot: &'a StateSnapshot,
}

async fn rebuild_tables(spec: &ProjectSpec, tables: &[TableName], rebuild: &Rebuild<'_>, report: &mut RebuildReport) -> Result<(), ConnectorError> {
    for table in spec.tables.iter().filter(|table| tables.contains(&table.name)) {
        let Some(pipeline) = spec.pipelines.get(table.pipeline) else { continue };
        let stream = StreamId::new(&pipeline.name, &table.name.to_string());
        let outcome = match ask(&table.name, &stream, rebuild.connections).await {
            Ok(state) => settle(&table.name, &stream, &state, rebuild).await?,
            Err(error) => RebuiltTable::Failed { error: ErrorReport::from(&error) },
        };
        report.tables.insert(table.name.to_string(), outcome);
    }
    Ok(())
}

async fn ask(table: &TableName, stream: &StreamId, connections: &dyn Connections) -> Result<TargetState, ConnectorError> {
    let home = connections.home(table).ok_or_else(|| ConnectorError::new(ErrorKind::NotFound, format!("`{table}` is no table of this project")))?;
    let sink = connections.sink(home.pipeline, &home.connection)?;
    sink.target_state(stream, &target_of(sink.as_ref(), table, home.table.as_deref())).await
}

async fn settle(table: &TableName, stream: &StreamId, target: &TargetState, rebuild: &Rebuild<'_>) -> Result<RebuiltTable, ConnectorError> {
    let known = rebuild.snapshot.streams.get(stream);
    let (record, rows) = match target {
        TargetState::Present { record: Some(record), rows, .. } if record.stream == *stream => (record, *rows),
        TargetState::Present { .. } | TargetState::Absent if known.is_none() => return Ok(RebuiltTable::NeverLoaded),
        TargetState::Present { .. } | TargetState::Absent => {
            rebuild.state.forget_stream(rebuild.lease, stream).await.map_err(state_error)?;
            return Ok(RebuiltTable::Forgotten);
        }
    };
    if known.is_some_and(|known| (known.generation, known.seq, &known.attempt, &known.hi) == (record.generation, record.seq, &record.attempt, &record.hi)) {
        return Ok(RebuiltTable::Kept);
    }
    let state = StreamState {
        stream: stream.clone(),
        table: table.to_string(),
        generation: record.generation,
        seq: record.seq,
        epoch: record.epoch,
        attempt: record.attempt.clone(),
        hi: record.hi.clone(),
        source_identity: known.and_then(|known| known.source_identity.clone()),
        source_columns: Vec::new(),
        rows: rows.unwrap_or(record.rows),
        committed_at: rebuild.clock.now(),
    };
    rebuild.state.rebuild_stream(rebuild.lease, &state).await.map_err(state_error)?;
    Ok(RebuiltTable::Rebuilt { seq: record.seq, watermark: record.hi.to_string() })
}

fn failed(report: RebuildReport, error: &ConnectorError) -> RebuildReport {
    let exit_code = match error.kind() {
        ErrorKind::Conflict => 6,
        ErrorKind::Refused | ErrorKind::Corrupt => 5,
        ErrorKind::Unreachable
        | ErrorKind::Busy
        | ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::SchemaMismatch
        | ErrorKind::BadData
        | ErrorKind::NoSpace
        | ErrorKind::OutOfMemory
        | ErrorKind::BadConfiguration
        | ErrorKind::Unsupported
        | ErrorKind::UnknownOutcome
        | ErrorKind::CheckFailed
        | ErrorKind::Cancelled
        | ErrorKind::Bug => 3,
    };
    RebuildReport { error: Some(ErrorReport::from(error)), exit_code, ..report }
}
