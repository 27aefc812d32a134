//! What makes a set of Parquet files a table: a log of versions, each appended by compare-and-set.

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use karat_plugin_api::{CommitRecord, ConnectorError, Generation, StreamId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// One data file of a table, as its log describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path relative to the table's folder, `/` between names.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
    /// XXH3-128 of the content, hexadecimal; `None` where another program wrote it.
    pub xxh3: Option<String>,
    /// When it was written, milliseconds since the epoch; for people and for vacuum only.
    pub modified_ms: i64,
    /// Values of declared partition columns, which the file itself does not hold; `None` is NULL.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Statistics by column name; a column may be missing.
    pub stats: BTreeMap<String, ColumnStats>,
}

/// Statistics of one column in one file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ColumnStats {
    /// A value that none is below, as JSON in the log's own text form; missing when unknown.
    pub min: Option<serde_json::Value>,
    /// A value that none is above; missing when unknown. Text may be cut, then it is rounded up.
    pub max: Option<serde_json::Value>,
    /// NULLs; missing when unknown.
    pub null_count: Option<u64>,
}

/// A table at one version.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The version readers can pin; opaque outside the log.
    pub version: String,
    /// The columns, declared partition columns included, in table order.
    pub schema: SchemaRef,
    /// Columns whose values are in the log instead of the files.
    pub partition_columns: Vec<String>,
    /// The files; shared, since a long table is loaded before every commit.
    pub files: Vec<Arc<DataFile>>,
    /// The newest commit of each stream that writes this table.
    pub records: BTreeMap<StreamId, CommitRecord>,
}

/// One change of a table: what a new version adds, removes and records.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// The version it was built on; `None` creates the table.
    pub base: Option<String>,
    /// The columns after the change.
    pub schema: SchemaRef,
    /// Columns whose values are in the log instead of the files.
    pub partition_columns: Vec<String>,
    /// Files added.
    pub add: Vec<DataFile>,
    /// Files removed. A replace removes all.
    pub remove: Vec<Arc<DataFile>>,
    /// The position that becomes durable with it.
    pub record: CommitRecord,
    /// The run, for the log's history.
    pub run_id: String,
    /// True when the rows are a new generation that replaces the table.
    pub is_replace: bool,
}

/// What a try to commit did.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one value per commit: an allocation would cost more than it saves")]
pub enum CommitOutcome {
    /// This is now the newest version.
    Applied {
        /// The version.
        version: String,
    },
    /// An earlier try of the same attempt had already taken effect.
    AlreadyApplied {
        /// The version.
        version: String,
    },
    /// Another version came first; the newest record of the stream is this. Nothing was changed.
    Conflict {
        /// The newest record, if there is one.
        newest: Option<CommitRecord>,
    },
}

/// A log format. One value serves all tables of a connection.
///
/// `commit` is the only operation that changes what a reader sees. It appends a version only if none was appended since `base` (create-if-absent of the
/// version's name), after looking once more at the stream's newest record: `(seq - 1, lo)` must be it. See `docs/concepts` on commits.
#[async_trait]
pub trait CommitLog: Send + Sync + 'static {
    /// Folder of new data files of `generation`, relative to the table's folder, with `/` at its end; may be empty.
    fn data_prefix(&self, generation: Generation) -> String;

    /// True when values of `identity(column)` partitions live in the log and not in the files.
    fn declares_partition_columns(&self) -> bool;

    /// The columns as this log keeps them: every type stays, or becomes one that holds all its values.
    ///
    /// # Errors
    /// [`karat_plugin_api::ErrorKind::SchemaMismatch`] naming the column that it cannot hold.
    fn storage_schema(&self, schema: &SchemaRef) -> Result<SchemaRef, ConnectorError>;

    /// Makes `folder` ready for data files of a load that begins; they stay invisible.
    ///
    /// # Errors
    /// When the folder cannot be made.
    async fn prepare(&self, folder: &Path) -> Result<(), ConnectorError>;

    /// The table in `folder` at its newest version, or at `version`; `None` when there is no table.
    ///
    /// # Errors
    /// [`karat_plugin_api::ErrorKind::Corrupt`] for holes, broken hashes, or a format newer than this build.
    async fn load(&self, folder: &Path, version: Option<&str>) -> Result<Option<TableSnapshot>, ConnectorError>;

    /// Appends a version.
    ///
    /// # Errors
    /// [`karat_plugin_api::ErrorKind::UnknownOutcome`] when nobody knows whether it took effect: read back, delete nothing.
    async fn commit(&self, folder: &Path, change: TableChange) -> Result<CommitOutcome, ConnectorError>;
}
