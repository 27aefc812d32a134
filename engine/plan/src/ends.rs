//! What both kinds of stages share: where rows go, how files are laid out, what is refused, when it starts.

use crate::input::PlanInput;
use crate::{GuardWork, LayoutPlan, SchedulePlan, TargetPlan};
use indexmap::IndexMap;
use karat_plugin_api::{FileLayout, NativeTypes, StreamId, TableLayout};
use karat_spec::model::{ByteSize, TableName};
use karat_spec::{Capabilities, PluginManifest, ProjectSpec, TableSpec};
use karat_state::StreamState;

/// The connection that every project has.
const WAREHOUSE: &str = "warehouse";
/// Database sinks whose tables have no schema of their own: the layer becomes part of the name.
const FLAT_DATABASES: [&str; 2] = ["mysql", "sqlite"];

/// The tables before and after one table, by full name.
pub(crate) struct Names {
    pub(crate) depends_on: Vec<String>,
    pub(crate) blocks: Vec<String>,
}

/// Defaults that were filled in.
pub(crate) type Filled = IndexMap<String, String>;

/// The manifest behind a connection.
pub(crate) fn manifest<'a>(input: &PlanInput<'a>, pipeline: usize, connection: &str) -> Option<&'a PluginManifest> {
    let connection = input.checked.spec().connection(pipeline, connection)?;
    input.catalog.plugins.get(&connection.plugin)
}

/// The connection a table is written to.
pub(crate) fn target_connection(table: &TableSpec, filled: &mut Filled) -> String {
    table.to().and_then(|to| to.connection.clone()).unwrap_or_else(|| {
        filled.insert("to.connection".into(), WAREHOUSE.into());
        WAREHOUSE.into()
    })
}

/// Where the rows go.
pub(crate) fn target(input: &PlanInput<'_>, table: &TableSpec, connection: &str) -> TargetPlan {
    let plugin = input.checked.spec().connection(table.pipeline, connection).map(|connection| connection.plugin.clone()).unwrap_or_default();
    let can = manifest(input, table.pipeline, connection).map(|manifest| &manifest.capabilities);
    let written = table.to().and_then(|to| to.table.clone());
    let by_default = || default_target(&table.name, &plugin, can);
    TargetPlan { connection: connection.to_owned(), table: written.unwrap_or_else(by_default), plugin }
}

fn default_target(name: &TableName, plugin: &str, can: Option<&Capabilities>) -> String {
    let (layer, name) = (name.layer().as_str(), name.name());
    match can {
        Some(can) if can.layout => format!("{layer}/{name}"),
        _ if FLAT_DATABASES.contains(&plugin) => format!("{layer}_{name}"),
        _ => format!("{layer}.{name}"),
    }
}

/// How files are laid out, with all defaults.
pub(crate) fn layout(table: &TableSpec) -> FileLayout {
    let (written, base) = (table.layout().cloned().unwrap_or_default(), FileLayout::default());
    FileLayout {
        partition_by: written.partition_by.unwrap_or(base.partition_by),
        sort_by: written.sort_by.unwrap_or(base.sort_by),
        min_file_rows: written.min_file_rows.map_or(base.min_file_rows, |rows| rows.0),
        target_file_bytes: written.target_file_bytes.map_or(base.target_file_bytes, |bytes| bytes.0),
        compression: written.compression.unwrap_or(base.compression),
    }
}

/// How a database table is made and filled, with all defaults.
pub(crate) fn table_layout(table: &TableSpec, key: &[String], native: Option<NativeTypes>) -> TableLayout {
    let (written, base) = (table.load().cloned().unwrap_or_default(), TableLayout::default());
    TableLayout {
        key: key.to_vec(),
        native,
        transaction_rows: written.transaction_rows.map(|rows| rows.0),
        max_transaction: written.max_transaction.map_or(base.max_transaction, |time| time.0),
        workers: written.workers.map_or(base.workers, |workers| usize::try_from(workers.0).unwrap_or(usize::MAX).max(1)),
        disable_indexes: written.disable_indexes.unwrap_or(base.disable_indexes),
        table_lock: written.table_lock.unwrap_or(base.table_lock),
    }
}

/// The layout as people read it, where the target has one.
pub(crate) fn layout_plan(layout: &FileLayout, can: Option<&Capabilities>) -> Option<LayoutPlan> {
    can.is_none_or(|can| can.layout).then(|| LayoutPlan {
        partition_by: layout.partition_by.iter().map(ToString::to_string).collect(),
        sort_by: layout.sort_by.clone(),
        min_file_rows: layout.min_file_rows,
        target_file_bytes: ByteSize(layout.target_file_bytes).to_string(),
        compression: layout.compression.to_string(),
    })
}

/// What is refused, with all defaults.
pub(crate) fn guard(table: &TableSpec) -> GuardWork {
    let written = table.guard().cloned().unwrap_or_default();
    GuardWork {
        max_delete: written.max_delete.map_or(0.2, |share| share.0 / 100.0),
        max_shrink: written.max_shrink.map_or(0.5, |share| share.0 / 100.0),
        allow_empty: written.allow_empty.unwrap_or(false),
    }
}

/// What starts a table's pipeline.
pub(crate) fn schedule(spec: &ProjectSpec, table: &TableSpec) -> Option<SchedulePlan> {
    let schedule = spec.pipelines.get(table.pipeline)?.schedule.as_ref()?;
    Some(SchedulePlan { cron: schedule.cron.clone(), timezone: schedule.timezone.clone().unwrap_or_else(|| "UTC".into()) })
}

/// The name of a table's pipeline.
pub(crate) fn pipeline(spec: &ProjectSpec, table: &TableSpec) -> String {
    spec.pipelines.get(table.pipeline).map(|pipeline| pipeline.name.clone()).unwrap_or_default()
}

/// What state knows of a table's stream; nothing offline.
pub(crate) fn stream<'a>(input: &PlanInput<'a>, table: &TableSpec) -> Option<&'a StreamState> {
    if input.options.offline {
        return None;
    }
    let stream = StreamId::new(&pipeline(input.checked.spec(), table), &table.name.to_string());
    input.state.streams.get(&stream)
}
