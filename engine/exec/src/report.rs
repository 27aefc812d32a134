//! What a run did: `karat run --format json` is exactly this.

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use karat_plan::{StageKind, TablePlan};
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_state::StateError;
use schemars::JsonSchema;
use serde::Serialize;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunReport {
    /// The run: a UUID of version 7.
    pub run_id: String,
    /// The project's name.
    pub project: String,
    /// How it ended.
    pub status: RunStatus,
    /// The exit code that says so.
    pub exit_code: u8,
    /// When it started.
    #[schemars(with = "String")]
    pub started_at: DateTime<Utc>,
    /// When it ended.
    #[schemars(with = "String")]
    pub ended_at: DateTime<Utc>,
    /// How long it took.
    pub seconds: f64,
    /// The tables by full name, in running order.
    pub tables: IndexMap<String, TableReport>,
    /// What went wrong outside of any table: the lease, the state.
    pub error: Option<ErrorReport>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Every table is done.
    Done,
    /// Some table failed, and nothing of this run was committed.
    Failed,
    /// Some table failed, others were committed.
    Partial,
    /// Going on would have destroyed or lost data; a person must decide.
    Refused,
    /// Another run holds the lease, or took it over.
    Held,
    /// It was told to stop, and stopped at the last committed batches.
    Cancelled,
}

/// What a run did for one table.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TableReport {
    /// Copy or transform.
    pub stage: StageKind,
    /// How it ended.
    pub status: TableStatus,
    /// How changes are detected.
    pub strategy: String,
    /// How rows arrive.
    pub load_mode: String,
    /// Rows read and delivered to the sink in batches that were committed; of a transform, rows of its inputs.
    pub rows_read: u64,
    /// Rows that became visible.
    pub rows_written: u64,
    /// Rows that were replaced or removed.
    pub rows_removed: u64,
    /// Rows that were looked at again and left out, because they had been delivered before.
    pub rows_skipped: u64,
    /// Rows whose cursor lies in the future of the source's clock: delivered, but they do not move the watermark.
    pub future_rows: u64,
    /// Values that were changed to fit their type. Always 0 in this version: a value that does not fit fails the table.
    pub coerced_cells: u64,
    /// Files added.
    pub files: u64,
    /// Bytes added.
    pub bytes: u64,
    /// Commits made.
    pub commits: u64,
    /// Times the stage was tried again after a transient error.
    pub retries: u32,
    /// True when a commit of an earlier run, which had died before it could note it, was found and adopted.
    pub recovered: bool,
    /// Where the table stands now, as people read it.
    pub watermark: Option<String>,
    /// The version that readers see now.
    pub version: Option<String>,
    /// When the stage started; `None` when it never did.
    #[schemars(with = "Option<String>")]
    pub started_at: Option<DateTime<Utc>>,
    /// How long it took.
    pub seconds: f64,
    /// Changes of the target's columns.
    pub schema_changes: Vec<String>,
    /// What the checks found, the newest batch of each check that failed, else the newest batch.
    pub checks: Vec<CheckReport>,
    /// What somebody should know.
    pub warnings: Vec<String>,
    /// Why it was skipped or cancelled.
    pub reason: Option<String>,
    /// Why it failed.
    pub error: Option<ErrorReport>,
}

/// How a table ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableStatus {
    /// Something was committed, and all there was is now visible.
    Done,
    /// Nothing was new; nothing was committed.
    Unchanged,
    /// It failed; what had been committed before stays.
    Failed,
    /// A table it needs failed, or the run ended before its turn.
    Skipped,
    /// It was told to stop; what had been committed before stays.
    Cancelled,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// True when it held.
    pub passed: bool,
    /// Rows that were looked at, in all batches.
    pub checked_rows: u64,
    /// Rows that failed, in all batches.
    pub failed_rows: u64,
    /// What it says.
    pub message: String,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ErrorReport {
    /// What kind of error; a closed list.
    pub kind: String,
    /// What failed, on which object, why.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl From<&ConnectorError> for ErrorReport {
    fn from(error: &ConnectorError) -> Self {
        Self { kind: error.kind().as_str().to_owned(), message: error.chain(), help: error.help().map(str::to_owned) }
    }
}

impl TableReport {
    /// The report of a table that did not run yet.
    pub(crate) fn waiting(plan: &TablePlan) -> Self {
        Self {
            stage: plan.stage,
            status: TableStatus::Skipped,
            strategy: plan.strategy.clone(),
            load_mode: plan.load_mode.clone(),
            rows_read: 0,
            rows_written: 0,
            rows_removed: 0,
            rows_skipped: 0,
            future_rows: 0,
            coerced_cells: 0,
            files: 0,
            bytes: 0,
            commits: 0,
            retries: 0,
            recovered: false,
            watermark: plan.watermark.clone(),
            version: None,
            started_at: None,
            seconds: 0.0,
            schema_changes: Vec::new(),
            checks: Vec::new(),
            warnings: Vec::new(),
            reason: None,
            error: None,
        }
    }

    /// Ends it with an error; one of kind [`ErrorKind::Cancelled`] is a cancellation.
    pub(crate) fn fail(&mut self, error: &ConnectorError) {
        if error.kind() == ErrorKind::Cancelled {
            self.status = TableStatus::Cancelled;
            self.reason = Some(error.chain());
        } else {
            self.status = TableStatus::Failed;
            self.error = Some(error.into());
        }
    }

    /// True when tables that read this one may go on.
    pub(crate) fn is_usable(&self) -> bool {
        match self.status {
            TableStatus::Done | TableStatus::Unchanged => true,
            TableStatus::Failed | TableStatus::Skipped | TableStatus::Cancelled => false,
        }
    }

    /// Adds what a check found in one more batch.
    pub(crate) fn add_check(&mut self, found: CheckReport) {
        match self.checks.iter_mut().find(|check| check.name == found.name && check.kind == found.kind) {
            Some(known) => {
                known.checked_rows += found.checked_rows;
                known.failed_rows += found.failed_rows;
                if known.passed || !found.passed {
                    known.message = found.message;
                }
                known.passed &= found.passed;
            }
            None => self.checks.push(found),
        }
    }
}

impl TableStatus {
    /// The name in reports and in the history.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a run with these tables ended. A refusal outweighs everything, because a person must decide; then a lost lease.
pub(crate) fn status_of(tables: &IndexMap<String, TableReport>, error: Option<&ErrorReport>) -> RunStatus {
    let kinds: Vec<&str> = tables.values().filter_map(|table| table.error.as_ref()).chain(error).map(|error| error.kind.as_str()).collect();
    let has = |kind: ErrorKind| kinds.contains(&kind.as_str());
    if has(ErrorKind::Refused) || has(ErrorKind::Corrupt) {
        RunStatus::Refused
    } else if has(ErrorKind::Conflict) {
        RunStatus::Held
    } else if tables.values().any(|table| table.status == TableStatus::Cancelled) && kinds.is_empty() {
        RunStatus::Cancelled
    } else if kinds.is_empty() {
        RunStatus::Done
    } else if tables.values().any(|table| table.commits > 0) {
        RunStatus::Partial
    } else {
        RunStatus::Failed
    }
}

impl RunStatus {
    /// The exit code. An interrupted run says 130; who knows the signal may say 143 instead.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 3,
            Self::Partial => 4,
            Self::Refused => 5,
            Self::Held => 6,
            Self::Cancelled => 130,
        }
    }
}

/// An error of the state store, as the run sees it.
pub(crate) fn state_error(error: StateError) -> ConnectorError {
    let kind = match &error {
        StateError::Held { .. } | StateError::Fenced { .. } => ErrorKind::Conflict,
        StateError::Corrupt { .. } => ErrorKind::Corrupt,
        StateError::NewerFormat { .. } => ErrorKind::Refused,
        StateError::NetworkFileSystem { .. } | StateError::BadAddress { .. } => ErrorKind::BadConfiguration,
        StateError::Io { source, .. } => ErrorKind::of_io(source),
        StateError::Database { .. } => ErrorKind::Unreachable,
    };
    let message = error.to_string();
    let help = error.help();
    let mapped = ConnectorError::new(kind, message);
    let mapped = match std::error::Error::source(&error) {
        Some(cause) => mapped.with_source(cause.to_string()),
        None => mapped,
    };
    match help {
        Some(help) => mapped.with_help(help),
        None => mapped,
    }
}

/// The JSON Schema (2020-12) of [`RunReport`]: the content of `schemas/report.schema.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RunReport).to_value()
}
