//! The shape of `karat.lock`: what the sources of a project looked like when somebody last asked them.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `karat.lock`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockDocument {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u64,
    /// The sources of Bronze tables, by full name of the table.
    pub tables: IndexMap<String, LockedTable>,
}

/// What the source of one Bronze table looks like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockedTable {
    /// What is read, as the pipeline says it.
    pub from: LockedFrom,
    /// A hash of what tells this very source from one that takes its place.
    pub identity: String,
    /// About how many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// About how many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The primary key's columns in key order; none where there is no primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primary_key: Vec<String>,
    /// Column lists of the indexes, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Vec<String>>,
    /// The columns in the source's order.
    pub columns: Vec<LockedColumn>,
}

/// What is read: one of `table`, `query` and `path`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockedFrom {
    /// The connection's name.
    pub connection: String,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A hash of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// One column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockedColumn {
    /// The name as the source spells it.
    pub name: String,
    /// The type it is read as; none where the source declares none that is exact, so that `types` must name one.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub data_type: Option<String>,
    /// The type as the source declares it.
    pub declared: String,
    /// Whether NULL may occur.
    pub nullable: bool,
}
