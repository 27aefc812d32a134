//! What a plan is made from.

use arrow_schema::SchemaRef;
use karat_graph::{CheckedGraph, TableIndex};
use karat_plugin_api::SourceSchema;
use karat_spec::Catalog;
use karat_spec::model::TableName;
use karat_state::StateSnapshot;
use std::collections::{BTreeMap, BTreeSet};

/// What the sources' catalogues say of Bronze tables; a table that nobody asked for is missing.
pub type Schemas = BTreeMap<TableName, SourceSchema>;

/// The columns of targets, `None` for one that does not exist yet; a target that nobody asked for is missing.
pub type Targets = BTreeMap<TableName, Option<SchemaRef>>;

/// Everything that [`crate::build`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The tables.
    pub checked: &'a CheckedGraph,
    /// What plugins can do.
    pub catalog: &'a Catalog,
    /// What sources hold.
    pub schemas: &'a Schemas,
    /// What targets hold.
    pub targets: &'a Targets,
    /// What state remembers.
    pub state: &'a StateSnapshot,
    /// What the user asked for.
    pub options: &'a PlanOptions,
}

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// The tables to plan; `None` is all.
    pub selection: Option<BTreeSet<TableIndex>>,
    /// True when neither sources nor state were asked.
    pub offline: bool,
    /// True when every table starts anew, whatever was delivered before.
    pub full_refresh: bool,
}
