//! What a sink promises.

use crate::{CommitRequest, Committed, ConnectorError, Generation, Position, StreamId, TargetState};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use karat_spec::model::{Compression, Deletes, PartitionTransform};
use std::path::PathBuf;
use std::time::Duration;

/// The column that says since when a row is gone at the source; see [`WriteMode::Diff`].
pub const DELETED_AT: &str = "_deleted_at";

/// A table of a sink: `to.table`, or the sink's default for the table's full name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetObject {
    /// The name in the sink's own terms, such as `silver/trades`.
    pub table: String,
}

/// How rows arrive.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteMode {
    /// Rows are added.
    Append {
        /// When rows may have been delivered before: the columns that identify an observed version of a row, key then cursor.
        /// Rows whose identity the target already holds are left out. All columns when there is no key: then as a multiset.
        once_by: Option<Vec<String>>,
    },
    /// Rows are added; rows of earlier runs with the same key are replaced.
    Upsert {
        /// The key columns.
        key: Vec<String>,
        /// True when one read cannot deliver a key twice (the key is unique at the source and the read is one snapshot).
        unique_in_read: bool,
        /// Which of two rows with one key in one batch wins: the greater value of these columns, then the later row.
        order_by: Vec<String>,
    },
    /// The rows become the whole table: a new generation, swapped in by the only commit of this load.
    Replace,
    /// The staged rows replace those that lie in [`CommitRequest::window`], and those with the same keys wherever they lie (a row that moved from
    /// another window is there once), in the one step of the commit.
    Window {
        /// The date or timestamp column that windows are of.
        column: String,
        /// The key columns; empty when there are none, and then only the window counts.
        key: Vec<String>,
    },
    /// The rows of this load, in its only commit, are all that the source has. Rows with new keys are added, rows that differ are replaced, rows
    /// that are equal in all columns are left alone, and what has no counterpart any more is treated as `deletes` says.
    Diff {
        /// The key columns; two rows of one load with the same key are an error of the source.
        key: Vec<String>,
        /// What happens to rows of the target that the load does not have. `Soft` sets the column [`DELETED_AT`] (a UTC timestamp, part of the
        /// schema of the load, NULL in its batches) where it is NULL.
        deletes: Deletes,
        /// The share of the target's rows (those without `_deleted_at`) that may vanish, from 0 to 1; more is refused with
        /// [`crate::ErrorKind::Refused`] before anything is changed.
        max_delete: f64,
    },
}

/// How files are laid out, with all defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct FileLayout {
    /// Partition transforms, outermost first.
    pub partition_by: Vec<PartitionTransform>,
    /// Columns that rows are sorted by inside a file.
    pub sort_by: Vec<String>,
    /// A file closes when it holds this many rows.
    pub min_file_rows: u64,
    /// A file closes when it holds about this many bytes.
    pub target_file_bytes: u64,
    /// How pages are compressed.
    pub compression: Compression,
}

/// The types that the source declares, for sinks of the same system: a copy then has the very same columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeTypes {
    /// The plugin whose type names these are.
    pub system: String,
    /// Column and declared type, for each column that is read as its source declares it.
    pub columns: Vec<(String, String)>,
}

/// How a table of a database is made and filled, with all defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct TableLayout {
    /// Primary key of a table that is made; empty for none.
    pub key: Vec<String>,
    /// The source's own types.
    pub native: Option<NativeTypes>,
    /// Rows per transaction, at most; `None` leaves it to the sink, which adapts to `max_transaction`.
    pub transaction_rows: Option<u64>,
    /// How long a transaction that holds locks on the target may take, about.
    pub max_transaction: Duration,
    /// Parallel writers, at most.
    pub workers: usize,
    /// Secondary indexes are dropped while loading, and always built again.
    pub disable_indexes: bool,
    /// The table is locked while loading.
    pub table_lock: bool,
}

impl Default for TableLayout {
    fn default() -> Self {
        Self { key: Vec::new(), native: None, transaction_rows: None, max_transaction: Duration::from_secs(2), workers: 1, disable_indexes: false, table_lock: false }
    }
}

impl Default for FileLayout {
    fn default() -> Self {
        Self { partition_by: Vec::new(), sort_by: Vec::new(), min_file_rows: 50_000, target_file_bytes: 128 << 20, compression: Compression::Zstd(3) }
    }
}

/// One load: a sequence of batches and commits of one stream under one lease.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// The stream.
    pub stream: StreamId,
    /// The generation that is written.
    pub generation: Generation,
    /// The lease.
    pub epoch: u64,
    /// Prefix of all attempts of this load; unique.
    pub attempt: String,
    /// The table.
    pub target: TargetObject,
    /// Columns of all batches.
    pub schema: SchemaRef,
    /// How rows arrive.
    pub mode: WriteMode,
    /// How files are laid out, for sinks made of files.
    pub layout: FileLayout,
    /// How the table is made and filled, for databases.
    pub table: TableLayout,
    /// Memory that open writers may hold, about, in bytes.
    pub memory_bytes: u64,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteProgress {
    /// Rows were taken; more are wanted before a commit is worth it.
    Accepted,
    /// What was taken since the last commit fills its files: commit now if the position allows.
    ReadyToCommit,
}

/// One data file that is durable, but that no reader sees yet.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedFile {
    /// The absolute path.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// Values of declared partition columns that the file itself does not hold.
    pub partition_values: Vec<(String, Option<String>)>,
}

/// What one commit will make visible.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Staged {
    /// Rows taken since the last commit.
    pub rows: u64,
    /// The files that hold them, for sinks made of files; checks read them before the commit.
    pub files: Vec<StagedFile>,
}

/// A connected sink. One value serves many concurrent loads of different targets.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The sink's own name for a table that says no `to.table`.
    fn default_target(&self, table: &karat_spec::model::TableName) -> TargetObject;

    /// Where the data is, for people; never holds a secret.
    fn describe_target(&self, target: &TargetObject) -> String;

    /// What the target holds, and the newest commit of `stream`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the table's own log contradicts itself.
    async fn target_state(&self, stream: &StreamId, target: &TargetObject) -> Result<TargetState, ConnectorError>;

    /// Opens a load. Nothing becomes visible before a commit.
    ///
    /// # Errors
    /// [`crate::ErrorKind::SchemaMismatch`] when the target cannot take these columns.
    async fn begin(&self, request: LoadRequest) -> Result<Box<dyn Load>, ConnectorError>;
}

/// One open load. Dropping it leaves what was committed and makes nothing else visible.
#[async_trait]
pub trait Load: Send {
    /// Takes rows: accepted, not durable. Dropping the future may lose the batch, never a committed one.
    ///
    /// # Errors
    /// After any error the load is dead: drop it.
    async fn write(&mut self, batch: RecordBatch) -> Result<WriteProgress, ConnectorError>;

    /// Makes all rows since the last commit durable, still invisible.
    ///
    /// # Errors
    /// After any error the load is dead: drop it.
    async fn stage(&mut self) -> Result<Staged, ConnectorError>;

    /// Makes the staged rows and the position visible in one atomic step, if the newest record is exactly the expected one.
    /// May be called again for the next batch.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when another commit came first; [`crate::ErrorKind::UnknownOutcome`] when nobody knows: read back, delete nothing.
    async fn commit(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError>;
}

impl CommitRequest {
    /// The position the newest record must have, and its number.
    #[must_use]
    pub fn expects(&self) -> (u64, &Position) {
        (self.record.seq - 1, &self.record.lo)
    }
}
