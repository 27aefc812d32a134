//! What the executor needs for one stage, fully decided; never printed.

use crate::Change;
use indexmap::IndexMap;
use karat_plugin_api::{ColumnChoice, CursorExpr, ExtraColumns, FileLayout, SourceObject, TableLayout};
use karat_spec::SqlText;
use karat_spec::model::{Check, ChunkRows, Dedup, Deletes, LockedColumn, NullCursor, SchemaChanges, Strategy, TableName, Window};
use std::time::Duration;

/// One stage, ready to run.
#[derive(Debug, Clone)]
pub enum StageWork {
    /// Rows of a source.
    Copy(Box<CopyWork>),
    /// Rows of a SELECT.
    Transform(Box<TransformWork>),
}

/// A copy.
#[derive(Debug, Clone)]
pub struct CopyWork {
    /// The table.
    pub table: TableName,
    /// Index of its pipeline, which connections are looked up in.
    pub pipeline: usize,
    /// The source connection.
    pub connection: String,
    /// What is read.
    pub object: SourceObject,
    /// The columns as they are read; empty when the source's schema is not known yet (offline).
    pub columns: Vec<ColumnChoice>,
    /// What happens to columns of files that are not among them.
    pub extra_columns: ExtraColumns,
    /// The source's identity, to notice an exchanged or restored one.
    pub source_identity: Option<String>,
    /// The columns as they are read now, in words that state can keep.
    pub source_columns: Vec<LockedColumn>,
    /// What changed about them since they were read last.
    pub source_changes: Vec<Change>,
    /// How changes are detected.
    pub strategy: Strategy,
    /// What orders rows; for `id`, `timestamp`, `hybrid`, `window`.
    pub cursor: Option<CursorExpr>,
    /// Columns that break ties.
    pub tie: Vec<String>,
    /// How far below the watermark rows are read again.
    pub lookback: Option<Duration>,
    /// True when the source reads rows again that transactions in progress may have added to.
    pub settles_late_commits: bool,
    /// What a window spans, and how many of the newest are read again; for `window`.
    pub window: Option<(Window, u64)>,
    /// What happens to rows that vanished at the source; for `diff`.
    pub deletes: Deletes,
    /// What happens to rows without a cursor value.
    pub null_cursor: NullCursor,
    /// Rows per page.
    pub chunk_rows: ChunkRows,
    /// Bytes per page.
    pub chunk_bytes: u64,
    /// Partitions at once.
    pub parallel: usize,
    /// The key columns, where known.
    pub key: Vec<String>,
    /// True when the source itself says that the key is unique.
    pub key_is_unique: bool,
    /// `append`, `upsert`, `replace` or `window`.
    pub mode: karat_spec::model::LoadMode,
    /// Where the rows go: connection, and the table if the user named one.
    pub to_connection: String,
    /// The table there, if the user named one.
    pub to_table: Option<String>,
    /// How files are laid out.
    pub layout: FileLayout,
    /// How a database table is made and filled.
    pub table_layout: TableLayout,
    /// What a change of columns does.
    pub schema_changes: SchemaChanges,
    /// What is refused.
    pub guard: GuardWork,
    /// Checks before a commit.
    pub checks: Vec<CheckWork>,
}

/// A transform.
#[derive(Debug, Clone)]
pub struct TransformWork {
    /// The table.
    pub table: TableName,
    /// Index of its pipeline, which connections are looked up in.
    pub pipeline: usize,
    /// The SELECT.
    pub sql: SqlText,
    /// Tables that the SELECT reads.
    pub inputs: Vec<TableName>,
    /// Keeps one row per key.
    pub dedup: Option<Dedup>,
    /// Types that the output is cast to.
    pub types: IndexMap<String, String>,
    /// The key columns.
    pub key: Vec<String>,
    /// Where the rows go: connection, and the table if the user named one.
    pub to_connection: String,
    /// The table there, if the user named one.
    pub to_table: Option<String>,
    /// How files are laid out.
    pub layout: FileLayout,
    /// How a database table is made and filled.
    pub table_layout: TableLayout,
    /// What a change of columns does.
    pub schema_changes: SchemaChanges,
    /// What is refused.
    pub guard: GuardWork,
    /// Checks before the commit.
    pub checks: Vec<CheckWork>,
    /// SHA-256 over everything that determines the output besides the inputs; the same code over the same inputs is not run again.
    pub code: String,
}

/// What a run refuses to destroy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardWork {
    /// A new generation may hold at most this share less than the old one, from 0 to 1.
    pub max_shrink: f64,
    /// The share of rows that may be deleted one by one, from 0 to 1.
    pub max_delete: f64,
    /// Whether an empty read may replace rows.
    pub allow_empty: bool,
}

/// One check.
#[derive(Debug, Clone)]
pub struct CheckWork {
    /// The name for reports.
    pub name: String,
    /// The check.
    pub check: Check,
    /// Its expression, rendered.
    pub sql: Option<SqlText>,
}
