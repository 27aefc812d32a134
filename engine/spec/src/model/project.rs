//! Projects and pipelines.

use super::{ByteSize, ConnectionSpec, Count, TableName, TableSpec};
use indexmap::IndexMap;
use karat_diagnostics::{FileId, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All that the user wrote, merged, expanded and typed.
#[derive(Debug, Clone, Default)]
pub struct ProjectSpec {
    /// The folder that relative paths start from.
    pub root: PathBuf,
    /// `name` of `karat.yaml`, or the root folder's name.
    pub name: String,
    /// The pipelines, in file order.
    pub pipelines: Vec<PipelineSpec>,
    /// All tables of all pipelines, in file and source order.
    pub tables: Vec<TableSpec>,
    /// Names of tables that a finding keeps out of `tables`, with their places: references to them are no findings of their own.
    pub broken_tables: Vec<(TableName, Span)>,
    /// What findings keep out of everything else here.
    pub left_out: crate::LeftOut,
    /// Connections of `karat.yaml`, which every pipeline can use.
    pub connections: IndexMap<String, ConnectionSpec>,
    /// Where state is kept.
    pub state: StateSettings,
    /// Lint levels and policy.
    pub lint: LintSettings,
    /// `memory_limit` of `karat.yaml`.
    pub memory_limit: Option<ByteSize>,
    /// `jobs` of `karat.yaml`.
    pub jobs: Option<Count>,
    /// Values that came from the environment; whoever prints masks them.
    pub secrets: Secrets,
    /// Where each key and value of `karat.yaml` stands; empty without one.
    pub spans: crate::SpanIndex,
    /// Names of vars that are defined in `karat.yaml`: name, span of the key, used by some template.
    pub vars: Vec<VarUse>,
}

/// A var and whether some template reads it.
#[derive(Debug, Clone)]
pub struct VarUse {
    /// The var's name.
    pub name: String,
    /// Where it is defined.
    pub span: Span,
    /// True when a template reads it.
    pub used: bool,
    /// The pipeline that defines it; `None` for `karat.yaml`.
    pub pipeline: Option<usize>,
}

/// Values that must not be printed.
#[derive(Clone, Default)]
pub struct Secrets(pub Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Secrets({})", self.0.len())
    }
}

/// One pipeline file.
#[derive(Debug, Clone)]
pub struct PipelineSpec {
    /// `name`, or the file's stem.
    pub name: String,
    /// The file.
    pub file: FileId,
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Tags of all its tables.
    pub tags: Vec<String>,
    /// When it runs.
    pub schedule: Option<Schedule>,
    /// Its own connections; they win over the project's, name by name.
    pub connections: IndexMap<String, ConnectionSpec>,
    /// Where each key and value stands.
    pub spans: crate::SpanIndex,
}

/// When a pipeline runs (`schedule`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Five fields: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// An IANA time zone; default `UTC`.
    pub timezone: Option<String>,
}

/// Where state is kept (`state`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum StateSettings {
    /// A SQLite file.
    Sqlite {
        /// The file, relative to the project root; default `.karat/state.db`.
        path: Option<String>,
    },
    /// A PostgreSQL database.
    Postgres {
        /// The database.
        url: String,
    },
}

impl Default for StateSettings {
    fn default() -> Self {
        Self::Sqlite { path: None }
    }
}

/// Lint levels and policy (`lint`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LintSettings {
    /// Level per rule code: `off`, `note`, `warn` or `error`.
    #[serde(default)]
    pub levels: IndexMap<String, LintLevel>,
    /// Project policy: required tags and owners, naming patterns.
    #[serde(default)]
    pub policy: IndexMap<String, serde_json::Value>,
}

/// How a rule's findings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LintLevel {
    /// The rule does not run.
    Off,
    /// For information.
    Note,
    /// A warning.
    Warn,
    /// An error.
    Error,
}

impl ProjectSpec {
    /// The connection a table of `pipeline` means by `name`.
    #[must_use]
    pub fn connection(&self, pipeline: usize, name: &str) -> Option<&ConnectionSpec> {
        self.pipelines.get(pipeline).and_then(|pipeline| pipeline.connections.get(name)).or_else(|| self.connections.get(name))
    }
}
