//! `dedup`: one row per key.

use crate::error::sql_error;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DataFusionError};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit};
use karat_diagnostics::did_you_mean;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::{Dedup, KeepRow};

const RANK: &str = "karat rank";

/// Keeps the first or last row of each key in the order of `order_by`, where NULL loses against every value.
///
/// Rows that tie are told apart by their other columns, so that the same input always gives the same output.
pub(crate) fn one_row_per_key(plan: LogicalPlan, subject: &str, key: &[String], dedup: &Dedup) -> Result<LogicalPlan, ConnectorError> {
    if key.is_empty() {
        return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("{subject}: `dedup` keeps one row per key, and there is no key")).with_help("add `key`"));
    }
    let outputs = plan.schema().columns();
    let find = |name: &String| outputs.iter().find(|column| column.name == *name).cloned().ok_or_else(|| unknown_column(subject, name, &outputs));
    let keys: Vec<Column> = key.iter().map(find).collect::<Result<_, _>>()?;
    let mut order: Vec<Column> = dedup.order_by.iter().map(find).collect::<Result<_, _>>()?;
    let rest = outputs.iter().zip(plan.schema().fields()).filter(|(column, field)| !keys.contains(column) && !order.contains(column) && is_ordered(field.data_type()));
    let rest: Vec<Column> = rest.map(|(column, _)| column.clone()).collect();
    order.extend(rest);
    let ascending = dedup.keep.unwrap_or(KeepRow::Last) == KeepRow::First;
    ranked(plan, keys, order, ascending).map_err(|error| sql_error(subject, error))
}

fn ranked(plan: LogicalPlan, keys: Vec<Column>, order: Vec<Column>, ascending: bool) -> Result<LogicalPlan, DataFusionError> {
    let outputs: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let order = order.into_iter().map(|column| Expr::Column(column).sort(ascending, false)).collect();
    let rank = row_number().partition_by(keys.into_iter().map(Expr::Column).collect()).order_by(order).build()?.alias(RANK);
    LogicalPlanBuilder::from(plan).window([rank])?.filter(Expr::Column(Column::new_unqualified(RANK)).eq(lit(1_u64)))?.project(outputs)?.build()
}

fn is_ordered(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::Interval(_) | DataType::Null)
}

fn unknown_column(subject: &str, name: &str, outputs: &[Column]) -> ConnectorError {
    let names = || outputs.iter().map(|column| column.name.as_str());
    let error = ConnectorError::new(ErrorKind::BadConfiguration, format!("{subject}: `dedup` needs the column `{name}`, which the SELECT does not give"));
    error.with_help(did_you_mean(name, names()).unwrap_or_else(|| format!("there are {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))))
}
