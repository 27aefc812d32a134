//! What state remembers.

use chrono::{DateTime, Utc};
use karat_plugin_api::{Generation, Position, StreamId};
use karat_spec::model::LockedColumn;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far one stream was delivered, as far as this state knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamState {
    /// The stream.
    pub stream: StreamId,
    /// Full name of its table.
    pub table: String,
    /// The generation.
    pub generation: Generation,
    /// Committed batches of this generation.
    pub seq: u64,
    /// The lease of the newest commit.
    pub epoch: u64,
    /// The newest commit's attempt.
    pub attempt: String,
    /// Everything up to here is durable in the sink.
    pub hi: Position,
    /// The source's identity when it was last read.
    pub source_identity: Option<String>,
    /// The columns as they were read last, so that the next run can say what changed; empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_columns: Vec<LockedColumn>,
    /// Rows committed in this generation.
    pub rows: u64,
    /// When the newest commit was made.
    pub committed_at: DateTime<Utc>,
}

/// Everything that plan and status read, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateSnapshot {
    /// The streams.
    pub streams: BTreeMap<StreamId, StreamState>,
    /// The newest run of each table, by full name.
    pub last_runs: BTreeMap<String, TableRun>,
    /// True when there is no state file yet.
    pub is_new: bool,
}

/// What one run did to one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRun {
    /// The run.
    pub run_id: String,
    /// `done`, `unchanged`, `failed`, `skipped`, `cancelled`.
    pub status: String,
    /// When the table's stage started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// Rows read.
    pub rows_read: u64,
    /// Rows written.
    pub rows_written: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// One run of one project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run: a UUID of version 7.
    pub run_id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while it runs, or when it was killed.
    pub ended_at: Option<DateTime<Utc>>,
    /// The exit code it ended with.
    pub exit_code: Option<i32>,
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The run.
    pub run_id: String,
    /// The machine.
    pub host: String,
    /// The machine's boot, so that process numbers of an earlier boot mean nothing.
    pub boot_id: String,
    /// The process.
    pub pid: u32,
    /// When the process started, in the kernel's own clock ticks: tells a re-used process number.
    pub process_start: u64,
    /// Since when.
    pub since: DateTime<Utc>,
}
