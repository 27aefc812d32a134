//! Tables.

use super::{Cdc, Check, Chunk, Guard, Layout, Load, SchemaChanges};
use crate::{SpanIndex, SqlText};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A layer of the medallion architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Copies of sources.
    Bronze,
    /// Cleaned and joined.
    Silver,
    /// Ready for readers.
    Gold,
}

impl Layer {
    /// All layers, from the source on.
    pub const ALL: [Self; 3] = [Self::Bronze, Self::Silver, Self::Gold];

    /// The name as written in YAML.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
        }
    }

    /// Reads `bronze`, `silver` or `gold`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.as_str() == text)
    }
}

/// The full name of a table, `<layer>.<name>`; unique in a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    layer: Layer,
    name: Arc<str>,
}

impl TableName {
    /// The name of a table in `layer`; the parser has checked `name` against the naming rule.
    #[must_use]
    pub fn new(layer: Layer, name: impl Into<Arc<str>>) -> Self {
        Self { layer, name: name.into() }
    }

    /// Reads `silver.trades`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (layer, name) = text.split_once('.')?;
        let layer = Layer::parse(layer)?;
        (!name.is_empty() && !name.contains('.')).then(|| Self::new(layer, name))
    }

    /// The layer.
    #[must_use]
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// The name without the layer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.layer.as_str(), self.name)
    }
}

impl Serialize for TableName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One table after defaults, `for_each`, environment and templates. Its `Debug` form shows no value of the definition.
#[derive(Clone)]
pub struct TableSpec {
    /// Its full name.
    pub name: TableName,
    /// Index of its pipeline in [`crate::ProjectSpec::pipelines`].
    pub pipeline: usize,
    /// Where its name stands.
    pub name_span: karat_diagnostics::Span,
    /// Where each key and value stands.
    pub spans: SpanIndex,
    /// What it is; `for_each` is expanded and therefore empty.
    pub definition: TableDefinition,
    /// The SELECT of a Silver or Gold table, rendered.
    pub sql: Option<SqlText>,
    /// The SELECT with `is_incremental` false, when the table is incremental and its text reads `is_incremental`; else `sql` serves every run.
    pub full_sql: Option<SqlText>,
    /// SQL expressions of its checks, by JSON pointer (`/checks/0/sql`), rendered.
    pub check_sql: IndexMap<String, SqlText>,
    /// True when `definition` holds a value that waits for the environment.
    pub unresolved: bool,
    /// True when a finding left something out of `definition`, so that what seems missing may be there in the text.
    pub incomplete: bool,
}

/// What a table is. Its values may come from the environment, so the `Debug` form does not show them.
#[derive(Clone)]
pub enum TableDefinition {
    /// Copied from a source.
    Bronze(Box<BronzeTable>),
    /// Made by SQL.
    Sql(Box<SqlTable>),
}

impl fmt::Debug for TableSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TableSpec").field("name", &self.name).field("definition", &self.definition).field("sql", &self.sql).finish_non_exhaustive()
    }
}

impl fmt::Debug for TableDefinition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Bronze(_) => "Bronze",
            Self::Sql(_) => "Sql",
        })
    }
}

/// A Bronze table: copied from a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BronzeTable {
    /// What one row means.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Tags, besides the pipeline's.
    pub tags: Option<Vec<String>>,
    /// One table per element; several variables make the product.
    pub for_each: Option<IndexMap<String, Vec<serde_json::Value>>>,
    /// What is copied.
    pub from: Option<From>,
    /// Columns to take; default all.
    pub select: Option<Vec<String>>,
    /// Columns to leave out.
    pub exclude: Option<Vec<String>>,
    /// Types by column: the whole schema for CSV and NDJSON, overrides elsewhere.
    pub types: Option<IndexMap<String, String>>,
    /// The identifying columns; default: the source's primary key.
    pub key: Option<Vec<String>>,
    /// How changes are detected.
    pub cdc: Option<Cdc>,
    /// How much is read at once.
    pub chunk: Option<Chunk>,
    /// How rows arrive in the target.
    pub load: Option<Load>,
    /// How files are laid out.
    pub layout: Option<Layout>,
    /// Where the table is written.
    pub to: Option<To>,
    /// What a change of the source's columns does; default `evolve`.
    pub schema_changes: Option<SchemaChanges>,
    /// What a run refuses to destroy.
    pub guard: Option<Guard>,
    /// Keeps one row per key.
    pub dedup: Option<Dedup>,
    /// Data-quality checks.
    pub checks: Option<Vec<Check>>,
    /// Tables that must be done first, by full name.
    pub depends_on: Option<Vec<String>>,
}

/// A Silver or Gold table: made by SQL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlTable {
    /// What one row means.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Tags, besides the pipeline's.
    pub tags: Option<Vec<String>>,
    /// One table per element; several variables make the product.
    pub for_each: Option<IndexMap<String, Vec<serde_json::Value>>>,
    /// One SELECT in DataFusion's dialect.
    pub sql: Option<String>,
    /// A file that holds the SELECT, relative to the project root.
    pub sql_file: Option<String>,
    /// The identifying columns.
    pub key: Option<Vec<String>>,
    /// Types by column, to which the output is cast.
    pub types: Option<IndexMap<String, String>>,
    /// Computes only what changed.
    pub incremental: Option<Incremental>,
    /// How rows arrive in the target.
    pub load: Option<Load>,
    /// How files are laid out.
    pub layout: Option<Layout>,
    /// Where the table is written.
    pub to: Option<To>,
    /// What a change of the columns does; default `evolve`.
    pub schema_changes: Option<SchemaChanges>,
    /// What a run refuses to destroy.
    pub guard: Option<Guard>,
    /// Keeps one row per key.
    pub dedup: Option<Dedup>,
    /// Data-quality checks.
    pub checks: Option<Vec<Check>>,
    /// Tables that must be done first, by full name.
    pub depends_on: Option<Vec<String>>,
    /// Unit tests.
    pub tests: Option<Vec<UnitTest>>,
}

/// What a Bronze table copies (`from`): exactly one of `table`, `query`, `path`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The connection.
    pub connection: Option<String>,
    /// A table of a database, possibly with its schema: `public.orders`.
    pub table: Option<String>,
    /// A query in the source's own dialect.
    pub query: Option<String>,
    /// A glob of files, relative to the connection's `path`.
    pub path: Option<String>,
}

/// Where a table is written (`to`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// The connection; default the built-in `warehouse`.
    pub connection: Option<String>,
    /// The table there; the default follows from the plugin.
    pub table: Option<String>,
}

/// Keeps one row per key (`dedup`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedup {
    /// Which row stays; default `last`.
    pub keep: Option<KeepRow>,
    /// The columns whose order decides.
    pub order_by: Vec<String>,
}

/// Which row of a key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeepRow {
    /// The last in order.
    Last,
    /// The first in order.
    First,
}

/// Computes only what changed (`incremental`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
pub enum Incremental {
    /// The named inputs show only rows committed since this table last read them.
    NewRows {
        /// Full names of the inputs.
        inputs: Vec<String>,
    },
    /// The partitions that new input rows fall in are recomputed and replaced.
    TouchedPartitions {
        /// Full name of the input.
        input: String,
        /// The partition expression over the input's columns.
        partition: String,
    },
}

/// One unit test of a table's SQL (`tests[]`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitTest {
    /// What it shows.
    pub name: Option<String>,
    /// The time that `now()` says.
    pub at: Option<String>,
    /// Rows of the inputs, by full table name; columns left out are NULL.
    pub given: Option<IndexMap<String, Vec<IndexMap<String, serde_json::Value>>>>,
    /// The expected rows; columns left out are not compared.
    pub expect: Option<Vec<IndexMap<String, serde_json::Value>>>,
    /// Vars for this test.
    pub vars: Option<IndexMap<String, serde_json::Value>>,
}

impl TableSpec {
    /// The Bronze definition, if it is one.
    #[must_use]
    pub fn bronze(&self) -> Option<&BronzeTable> {
        match &self.definition {
            TableDefinition::Bronze(table) => Some(table),
            TableDefinition::Sql(_) => None,
        }
    }

    /// The Silver or Gold definition, if it is one.
    #[must_use]
    pub fn transform(&self) -> Option<&SqlTable> {
        match &self.definition {
            TableDefinition::Sql(table) => Some(table),
            TableDefinition::Bronze(_) => None,
        }
    }
}

macro_rules! shared_fields {
    // Expands to one accessor per field that both kinds of tables have.
    ($($(#[$doc:meta])* $name:ident: $kind:ty),+ $(,)?) => {
        impl TableSpec {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(&self) -> Option<&$kind> {
                    match &self.definition {
                        TableDefinition::Bronze(table) => table.$name.as_ref(),
                        TableDefinition::Sql(table) => table.$name.as_ref(),
                    }
                }
            )+
        }
    };
}
shared_fields! {
    /// What one row means.
    description: String,
    /// Who answers for it.
    owner: String,
    /// Tags, without the pipeline's.
    tags: Vec<String>,
    /// Types by column.
    types: IndexMap<String, String>,
    /// The identifying columns as written.
    key: Vec<String>,
    /// How rows arrive in the target.
    load: Load,
    /// How files are laid out.
    layout: Layout,
    /// Where the table is written.
    to: To,
    /// What a change of columns does.
    schema_changes: SchemaChanges,
    /// What a run refuses to destroy.
    guard: Guard,
    /// Keeps one row per key.
    dedup: Dedup,
    /// Data-quality checks.
    checks: Vec<Check>,
    /// Explicit dependencies, by full name.
    depends_on: Vec<String>,
}
