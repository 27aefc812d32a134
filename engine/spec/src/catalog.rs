//! What each plugin can do, as data: lint and plan know it without linking the plugin.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All plugins that a connection's `type` may name, sorted by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// The manifests by plugin name.
    pub plugins: IndexMap<String, PluginManifest>,
}

/// One plugin's manifest: the content of `schemas/plugins/<name>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginManifest {
    /// What `type` says.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// False when the name is part of the language, but this build does not carry the plugin.
    pub available: bool,
    /// What it can do.
    pub capabilities: Capabilities,
    /// JSON Schema (2020-12) of the connection's keys besides `type`.
    pub config: serde_json::Value,
}

/// What a plugin can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// CDC strategies it can read with; empty when it is no source.
    pub source_strategies: Vec<String>,
    /// What `from` names: any of `table`, `query`, `path`.
    pub source_objects: Vec<String>,
    /// Load modes it can write with; empty when it is no sink.
    pub load_modes: Vec<String>,
    /// True when tables are folders of files and `layout` has a meaning.
    pub layout: bool,
    /// True when a batch and its position become visible in one atomic step with compare-and-set.
    pub atomic_position: bool,
    /// True when `from.types` is the only schema there is, as for CSV and NDJSON.
    pub declared_types_only: bool,
    /// True when commits at the source are serial, so that what was read below the watermark is complete.
    pub serial_commits: bool,
    /// True when rows of a transaction that commits after a read, with a smaller cursor value, are found by the next read without a `lookback`.
    pub settles_late_commits: bool,
    /// True when several connections fill one table at once, as many as `load.workers` says.
    pub parallel_writers: bool,
}
