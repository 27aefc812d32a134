//! The shapes of the two kinds of YAML files, from which the JSON Schemas are generated.

use super::{BronzeTable, ByteSize, Count, LintSettings, Schedule, SqlTable, StateSettings};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pipeline file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineDocument {
    /// The version of the language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u64,
    /// The pipeline's name; default: the file's stem.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Tags of all its tables.
    pub tags: Option<Vec<String>>,
    /// When it runs.
    pub schedule: Option<Schedule>,
    /// Values for templates.
    pub vars: Option<IndexMap<String, serde_json::Value>>,
    /// Connections to external systems; the keys follow from `type`.
    pub connections: Option<IndexMap<String, serde_json::Value>>,
    /// What tables of a layer have unless they say otherwise.
    pub defaults: Option<Defaults>,
    /// Copies of sources.
    pub bronze: Option<IndexMap<String, BronzeTable>>,
    /// Cleaned and joined.
    pub silver: Option<IndexMap<String, SqlTable>>,
    /// Ready for readers.
    pub gold: Option<IndexMap<String, SqlTable>>,
}

/// `karat.yaml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectDocument {
    /// The version of the language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u64,
    /// The project's name; default: the folder's name.
    pub name: Option<String>,
    /// Connections that every pipeline can use.
    pub connections: Option<IndexMap<String, serde_json::Value>>,
    /// What tables of a layer have unless the pipeline or the table says otherwise.
    pub defaults: Option<Defaults>,
    /// Values for templates.
    pub vars: Option<IndexMap<String, serde_json::Value>>,
    /// Where state is kept.
    pub state: Option<StateSettings>,
    /// Lint levels and policy.
    pub lint: Option<LintSettings>,
    /// Memory that a run may use; default half of the machine's.
    pub memory_limit: Option<ByteSize>,
    /// Tables that run at once; default the number of processors.
    pub jobs: Option<Count>,
}

/// What tables of a layer have unless they say otherwise.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// For Bronze tables.
    pub bronze: Option<BronzeTable>,
    /// For Silver tables.
    pub silver: Option<SqlTable>,
    /// For Gold tables.
    pub gold: Option<SqlTable>,
}
