//! Which columns a column reaches: through every SELECT whose inputs are known, and to whole tables behind those that are not.

use super::known::KnownTables;
use super::{check_waves, declared, parse, plan};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DataFusionError};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use karat_graph::{ReferenceKind, TableGraph, TableIndex};
use karat_spec::ProjectSpec;
use karat_spec::model::{Layer, TableName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One table that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The table.
    pub table: TableName,
    /// Its columns that are reached, in their order; `None` where its SELECT could not be followed, so that any of them may be.
    pub columns: Option<Vec<String>>,
}

/// Where columns go, in one project.
#[derive(Debug, Default)]
pub struct ColumnReach {
    /// The transforms, inputs first.
    transforms: Vec<Transform>,
}

#[derive(Debug)]
struct Transform {
    name: TableName,
    inputs: BTreeSet<TableName>,
    /// The columns in their order, each with what it is computed from; `None` where that is not known.
    columns: Option<Vec<(String, Origins)>>,
}

/// Columns of inputs that a value, or the choice of rows, depends on.
type Origins = BTreeSet<(TableName, String)>;

/// Follows every SELECT that reads, however indirectly, one of `starts`. `schemas` are the columns of Bronze tables.
#[must_use]
pub fn column_reach(spec: &ProjectSpec, graph: &TableGraph, schemas: &BTreeMap<TableName, SchemaRef>, starts: &BTreeSet<TableName>) -> ColumnReach {
    let Ok(mut known) = KnownTables::new() else { return ColumnReach::default() };
    let mut reached = starts.clone();
    let mut transforms = Vec::new();
    for position in check_waves(spec, graph).into_iter().flatten() {
        let table = &spec.tables[position];
        let Some(definition) = table.transform() else {
            if let Some(schema) = schemas.get(&table.name).cloned().or_else(|| declared::schema(spec, table)) {
                known.insert(&table.name, schema);
            }
            continue;
        };
        let mut ignored = Vec::new();
        let statement = parse(table, &mut ignored);
        let schema = statement.clone().and_then(|statement| plan(&known, table, definition, statement, &mut ignored));
        let inputs = inputs(graph, TableIndex::new(position));
        if !inputs.is_disjoint(&reached) {
            let origins = statement.filter(|_| schema.is_some()).and_then(|statement| known.plan(statement).ok()).and_then(|plan| origins(&plan).ok());
            reached.insert(table.name.clone());
            transforms.push(Transform { name: table.name.clone(), inputs, columns: origins });
        }
        if let Some(schema) = schema {
            known.insert(&table.name, schema);
        }
    }
    ColumnReach { transforms }
}

impl ColumnReach {
    /// The tables that a column of `table` reaches, inputs first.
    #[must_use]
    pub fn of(&self, table: &TableName, column: &str) -> Vec<Reached> {
        let mut columns = Origins::from([(table.clone(), column.to_owned())]);
        let mut whole: BTreeSet<&TableName> = BTreeSet::new();
        let mut reached = Vec::new();
        for transform in &self.transforms {
            let Some(known) = &transform.columns else {
                if transform.inputs.iter().any(|input| whole.contains(input) || columns.iter().any(|(table, _)| table == input)) {
                    whole.insert(&transform.name);
                    reached.push(Reached { table: transform.name.clone(), columns: None });
                }
                continue;
            };
            let hit: Vec<String> = known.iter().filter(|(_, origins)| !origins.is_disjoint(&columns)).map(|(name, _)| name.clone()).collect();
            if !hit.is_empty() {
                columns.extend(hit.iter().map(|name| (transform.name.clone(), name.clone())));
                reached.push(Reached { table: transform.name.clone(), columns: Some(hit) });
            }
        }
        reached
    }
}

fn inputs(graph: &TableGraph, table: TableIndex) -> BTreeSet<TableName> {
    let read = graph.references(table).iter().filter(|reference| reference.kind == ReferenceKind::Sql).filter_map(|reference| reference.target);
    read.map(|index| graph.name(index).clone()).collect()
}

/// What each column of a SELECT depends on: one projection at a time, with everything that it does not need taken out of the plan.
fn origins(plan: &LogicalPlan) -> Result<Vec<(String, Origins)>, DataFusionError> {
    let optimizer = Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]);
    let context = OptimizerContext::new();
    let of_column = |column: Column| {
        let name = column.name.clone();
        let alone = LogicalPlanBuilder::from(plan.clone()).project([Expr::Column(column)])?.build()?;
        let needed = optimizer.optimize(alone, &context, |_, _| {})?;
        Ok((name, scanned(&needed)?))
    };
    plan.schema().columns().into_iter().map(of_column).collect()
}

fn scanned(plan: &LogicalPlan) -> Result<Origins, DataFusionError> {
    let mut found = Origins::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(layer) = scan.table_name.schema().and_then(Layer::parse)
        {
            let table = TableName::new(layer, scan.table_name.table());
            found.extend(scan.projected_schema.fields().iter().map(|field| (table.clone(), field.name().clone())));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use karat_spec::{Catalog, Environment, SourceSet};

    fn shown(silver: &str, gold: &str, column: &str) -> Vec<String> {
        let yaml = format!(
            "version: 1\nbronze:\n  orders: {{ from: {{ connection: shop, table: orders }} }}\nsilver:\n  clean:\n    sql: |\n      {silver}\ngold:\n  totals:\n    sql: |\n      {gold}\n"
        );
        let sources = SourceSet::from_texts("/project", &[("shop.yaml", yaml.as_str())]);
        let (spec, _) = karat_spec::parse(&sources, &Environment::Unresolved, &Catalog::default());
        let (graph, _) = karat_graph::build(&spec);
        let field = |name: &str, kind| Field::new(name, kind, true);
        let schema: SchemaRef =
            Arc::new(Schema::new(vec![field("id", DataType::Int64), field("amount", DataType::Float64), field("customer", DataType::Utf8), field("note", DataType::Utf8)]));
        let orders = TableName::new(Layer::Bronze, "orders");
        let reach = column_reach(&spec, &graph, &BTreeMap::from([(orders.clone(), schema)]), &BTreeSet::from([orders.clone()]));
        let line = |reached: &Reached| format!("{} {}", reached.table, reached.columns.as_ref().map_or_else(|| "*".to_owned(), |columns| columns.join(",")));
        reach.of(&orders, column).iter().map(line).collect()
    }

    const CLEAN: &str = "SELECT id, amount * 2 AS doubled, upper(customer) AS customer FROM bronze.orders WHERE note IS NULL";
    const TOTALS: &str = "SELECT customer, sum(doubled) AS total, count(*) AS orders FROM silver.clean GROUP BY customer";

    #[test]
    fn a_column_reaches_what_is_computed_from_it() {
        assert_eq!(shown(CLEAN, TOTALS, "amount"), ["silver.clean doubled", "gold.totals total"]);
        assert_eq!(shown(CLEAN, TOTALS, "customer"), ["silver.clean customer", "gold.totals customer,total,orders"]);
        assert_eq!(shown(CLEAN, TOTALS, "id"), ["silver.clean id"]);
        assert_eq!(shown("SELECT id FROM bronze.orders", "SELECT count(*) AS n FROM silver.clean", "amount"), Vec::<String>::new());
    }

    #[test]
    fn a_column_that_chooses_rows_reaches_all_columns() {
        assert_eq!(shown(CLEAN, TOTALS, "note"), ["silver.clean id,doubled,customer", "gold.totals customer,total,orders"]);
    }

    #[test]
    fn a_subquery_is_followed() {
        let silver = "SELECT id FROM bronze.orders WHERE amount > (SELECT avg(amount) FROM bronze.orders)";
        assert_eq!(shown(silver, "SELECT id FROM silver.clean", "amount"), ["silver.clean id", "gold.totals id"]);
    }

    #[test]
    fn what_cannot_be_followed_is_reached_as_a_whole() {
        assert_eq!(shown("SELECT nothing_like_that FROM bronze.orders", TOTALS, "amount"), ["silver.clean *", "gold.totals *"]);
    }
}
