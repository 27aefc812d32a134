//! Tables whose columns are known, and planning over them without rows.

use crate::session::{self, Effort, Surroundings};
use crate::statement;
use chrono::DateTime;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue, TableReference};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::ExprWithAlias;
use futures::FutureExt;
use karat_spec::model::{Layer, TableName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One session for a whole project: making one takes longer than planning a SELECT.
pub(super) struct KnownTables {
    state: SessionState,
    layers: BTreeMap<Layer, Arc<MemorySchemaProvider>>,
    known: BTreeSet<TableName>,
}

impl KnownTables {
    pub(super) fn new() -> Result<Self, DataFusionError> {
        let catalog = MemoryCatalogProvider::new();
        let mut layers = BTreeMap::new();
        for layer in Layer::ALL {
            let schema = Arc::new(MemorySchemaProvider::new());
            catalog.register_schema(layer.as_str(), Arc::clone(&schema) as Arc<dyn SchemaProvider>)?;
            layers.insert(layer, schema);
        }
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog("karat".to_owned(), Arc::new(catalog));
        // Nothing runs here, so neither memory nor the time matters.
        let config = session::config(Effort::full(1, 0), Surroundings::Tables);
        let state = session::bare(config, Arc::new(RuntimeEnv::default()), Arc::new(catalogs), DateTime::UNIX_EPOCH);
        Ok(Self { state, layers, known: BTreeSet::new() })
    }

    pub(super) fn insert(&mut self, name: &TableName, schema: SchemaRef) {
        let Some(layer) = self.layers.get(&name.layer()) else { return };
        // A second table of one name is a finding of the graph; the first one stays.
        if layer.register_table(name.name().to_owned(), Arc::new(EmptyTable::new(schema))).is_ok() {
            self.known.insert(name.clone());
        }
    }

    pub(super) fn reads_only_known(&self, statement: &Statement) -> bool {
        let Ok(references) = self.state.resolve_table_references(statement) else { return false };
        references.iter().all(|reference| {
            let layer = reference.schema().and_then(Layer::parse);
            layer.is_some_and(|layer| self.known.contains(&TableName::new(layer, reference.table())))
        })
    }

    /// Plans and types a SELECT.
    pub(super) fn plan(&self, statement: Statement) -> Result<LogicalPlan, DataFusionError> {
        // Nothing in memory makes planning wait, so one poll is all of it.
        let planned = statement::plan(&self.state, statement).now_or_never();
        self.analyze(planned.unwrap_or_else(|| Err(DataFusionError::Internal("planning waited for something".to_owned())))?)
    }

    pub(super) fn expression(&self, expression: ExprWithAlias, schema: &DFSchema) -> Result<Expr, DataFusionError> {
        self.state.create_logical_expr_from_sql_expr(expression, schema)
    }

    /// Types an expression over the rows of one table.
    pub(super) fn condition(&self, name: &TableName, schema: &SchemaRef, condition: Expr) -> Result<LogicalPlan, DataFusionError> {
        let table = TableReference::partial(name.layer().as_str(), name.name());
        let source = provider_as_source(Arc::new(EmptyTable::new(Arc::clone(schema))));
        self.analyze(LogicalPlanBuilder::scan(table, source, None)?.filter(condition)?.build()?)
    }

    fn analyze(&self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {})
    }
}

/// Texts in the SQL that a comparison or CAST turns into another type, and that are none of it: `created_at > 'yesterday'`.
///
/// DataFusion finds them only when a row is read.
pub(super) fn hopeless_literals(plan: &LogicalPlan) -> Vec<(String, DataType)> {
    let mut found = Vec::new();
    let visited = plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Cast(Cast { expr, data_type }) = expr
                    && let Expr::Literal(value, _) = expr.as_ref()
                    && let ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) = value
                    && value.cast_to(data_type).is_err()
                    && !found.iter().any(|(known, _)| known == text)
                {
                    found.push((text.clone(), data_type.clone()));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    // Walking a plan that was just built does not fail; if it did, nothing would be claimed.
    if visited.is_ok() { found } else { Vec::new() }
}
