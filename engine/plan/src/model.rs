//! The plan as people and programs read it: `karat plan --format json` is exactly this.

use crate::StageWork;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// What a run will do: tables in waves, and each table's stage.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunPlan {
    /// The project's name.
    pub project: String,
    /// True when nothing outside the YAML was asked: no database, no state.
    pub offline: bool,
    /// True when every table starts anew, whatever was delivered before.
    pub full_refresh: bool,
    /// Full names of tables that can run at once, wave after wave.
    pub waves: Vec<Vec<String>>,
    /// The tables by full name, in running order.
    pub tables: IndexMap<String, TablePlan>,
}

/// What the run does for one table.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TablePlan {
    /// Copy from a source, or transform by SQL.
    pub stage: StageKind,
    /// The pipeline that defines it.
    pub pipeline: String,
    /// Full names of the tables that must be done first.
    pub depends_on: Vec<String>,
    /// Full names of the tables that wait for it.
    pub blocks: Vec<String>,
    /// `full`, `id`, `timestamp`, `hybrid`, `window`, `diff`; for transforms `recompute`.
    pub strategy: String,
    /// Where the last run ended, as people read it; `None` before the first run or offline.
    pub watermark: Option<String>,
    /// Which rows are read, as people read it.
    pub predicate: Option<String>,
    /// The key columns, where known.
    pub key: Vec<String>,
    /// `append`, `upsert`, `replace`, `window`.
    pub load_mode: String,
    /// Where the rows go.
    pub target: TargetPlan,
    /// What is promised of completeness.
    pub guarantee: Guarantee,
    /// Why it is this level.
    pub guarantee_reason: String,
    /// How much is read at once.
    pub chunk: Option<ChunkPlan>,
    /// How files are laid out.
    pub layout: Option<LayoutPlan>,
    /// Rows that will be read, about.
    pub estimated_rows: Option<u64>,
    /// Bytes that will be read, about.
    pub estimated_bytes: Option<u64>,
    /// Files that will be made in each partition, about.
    pub estimated_files: Option<u64>,
    /// What changes about the target's columns: `create`, or one line per change.
    pub ddl: Vec<String>,
    /// Checks, as `type(columns): on_fail`.
    pub checks: Vec<String>,
    /// What starts it.
    pub schedule: Option<SchedulePlan>,
    /// What is copied, as people read it: connection and object; for transforms the tables that the SELECT reads.
    pub reads: Vec<String>,
    /// Defaults that were filled in, by key, as the user could write them.
    pub defaults: IndexMap<String, String>,
    /// What somebody should know before it runs.
    pub warnings: Vec<String>,
    /// What the executor needs; not part of the printed plan.
    #[serde(skip)]
    #[schemars(skip)]
    pub work: Option<StageWork>,
}

/// What kind of stage it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// Bronze: rows of a source.
    Copy,
    /// Silver and Gold: rows of a SELECT.
    Transform,
}

/// Where the rows go.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TargetPlan {
    /// The connection.
    pub connection: String,
    /// Its plugin.
    pub plugin: String,
    /// The table there.
    pub table: String,
}

/// What is promised of completeness, from weakest to strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum Guarantee {
    /// At least once.
    G0,
    /// Complete only if writers are late by no more than the declared lookback.
    G1,
    /// Complete for inserts and for updates that move a database-assigned cursor.
    G2,
    /// Complete, deletes included.
    G3,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::G0 => "G0",
            Self::G1 => "G1",
            Self::G2 => "G2",
            Self::G3 => "G3",
        })
    }
}

/// How much is read at once.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ChunkPlan {
    /// Rows per page, or `auto`.
    pub rows: String,
    /// Bytes per page.
    pub bytes: Option<String>,
    /// Partitions at once.
    pub parallel: u64,
}

/// How files are laid out.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LayoutPlan {
    /// Partition transforms.
    pub partition_by: Vec<String>,
    /// Sort columns.
    pub sort_by: Vec<String>,
    /// Rows per file.
    pub min_file_rows: u64,
    /// Bytes per file.
    pub target_file_bytes: String,
    /// Compression.
    pub compression: String,
}

/// What starts it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SchedulePlan {
    /// Five cron fields.
    pub cron: String,
    /// IANA time zone.
    pub timezone: String,
}

/// The JSON Schema (2020-12) of [`RunPlan`]: the content of `schemas/plan.schema.json`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RunPlan).to_value()
}
