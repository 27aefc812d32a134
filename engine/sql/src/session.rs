//! DataFusion sessions: what every query of Karat has in common.

use crate::checked_integer::CheckIntegers;
use crate::engine::SqlInput;
use crate::error::sql_error;
use crate::known_filter::KnownFilters;
use crate::{checked_average, checked_sum};
use chrono::{DateTime, Utc};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider};
use datafusion::common::config::SpillCompression;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::prelude::SessionConfig;
use karat_plugin_api::ConnectorError;
use karat_spec::model::Layer;
use std::sync::Arc;

/// Rows that operators pass on at once.
const BATCH_ROWS: usize = 8192;
/// The same of the second try after memory ran out.
const FRUGAL_BATCH_ROWS: usize = 1024;
/// DataFusion's own reservation for the last merge of a spilled sort; less when the limit is small.
const SORT_RESERVATION_BYTES: usize = 10 << 20;

/// How much a session may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) partitions: usize,
    pub(crate) batch_rows: usize,
    pub(crate) sort_reservation_bytes: usize,
    pub(crate) joins: Joins,
}

/// How tables are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joins {
    /// Fast, and the smaller side must fit into memory.
    Hashed,
    /// Both sides are sorted, which spills. Gives wrong rows for `NOT IN` with NULLs in DataFusion 53, so never without looking at the plan.
    Sorted,
}

impl Effort {
    /// What is tried first.
    pub(crate) fn full(parallelism: usize, memory_limit_bytes: u64) -> Self {
        let partitions = parallelism.max(1);
        let share = usize::try_from(memory_limit_bytes).unwrap_or(usize::MAX) / (8 * partitions);
        Self { partitions, batch_rows: BATCH_ROWS, sort_reservation_bytes: share.min(SORT_RESERVATION_BYTES), joins: Joins::Hashed }
    }

    /// What is tried when memory ran out: fewer partitions share the limit. DataFusion sorts for a join only where there are two.
    pub(crate) fn frugal(self, joins: Joins) -> Self {
        let partitions = match joins {
            Joins::Hashed => 1,
            Joins::Sorted => 2,
        };
        Self { partitions, batch_rows: FRUGAL_BATCH_ROWS, joins, ..self }
    }
}

/// What a session sees besides its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// Tables only.
    Tables,
    /// Also `information_schema`, for SHOW and DESCRIBE.
    InformationSchema,
}

pub(crate) fn config(effort: Effort, surroundings: Surroundings) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(effort.partitions)
        .with_batch_size(effort.batch_rows)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema("karat", "unqualified")
        .with_information_schema(surroundings == Surroundings::InformationSchema);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.spill_compression = SpillCompression::Lz4Frame;
    options.execution.sort_spill_reservation_bytes = effort.sort_reservation_bytes;
    // DataFusion says that `x IS NOT TRUE` may be NULL in one place and never in another; shared by two aggregates it fails this check.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.optimizer.prefer_hash_join = effort.joins == Joins::Hashed;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    config
}

/// A session that runs queries: [`bare`], with the rules that mend what DataFusion computes wrongly.
pub(crate) fn running(config: SessionConfig, runtime: Arc<RuntimeEnv>, catalogs: Arc<dyn CatalogProviderList>, now: DateTime<Utc>) -> SessionState {
    let mut state = bare(config, runtime, catalogs, now);
    state.add_analyzer_rule(Arc::new(CheckIntegers));
    state.add_analyzer_rule(Arc::new(KnownFilters));
    state
}

/// A session that plans only, whose `now()` is `now`.
pub(crate) fn bare(config: SessionConfig, runtime: Arc<RuntimeEnv>, catalogs: Arc<dyn CatalogProviderList>, now: DateTime<Utc>) -> SessionState {
    let mut properties = ExecutionProps::new();
    properties.mark_start_execution(Arc::clone(config.options()));
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_catalog_list(catalogs)
        .with_default_features()
        .with_execution_props(properties.with_query_execution_start_time(now))
        .build();
    checked_sum::register(&mut state);
    checked_average::register(&mut state);
    state
}

/// The catalogue of a query: its inputs as `layer.name`.
pub(crate) fn catalogs(inputs: &[SqlInput]) -> Result<Arc<dyn CatalogProviderList>, ConnectorError> {
    let catalog = MemoryCatalogProvider::new();
    for layer in Layer::ALL {
        let schema = MemorySchemaProvider::new();
        for input in inputs.iter().filter(|input| input.name.layer() == layer) {
            schema.register_table(input.name.name().to_owned(), Arc::clone(&input.provider)).map_err(|error| sql_error(&format!("input `{}`", input.name), error))?;
        }
        catalog.register_schema(layer.as_str(), Arc::new(schema)).map_err(|error| sql_error("the catalogue", error))?;
    }
    let list = MemoryCatalogProviderList::new();
    list.register_catalog("karat".to_owned(), Arc::new(catalog));
    Ok(Arc::new(list))
}
