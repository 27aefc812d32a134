//! From checks to logical plans. Plans are built from expressions, not from text: column names may be anything.

use super::{CheckRequest, CheckToRun};
use crate::error::sql_error;
use crate::output::type_name;
use crate::statement;
use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::logical_expr::{Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use karat_diagnostics::did_you_mean;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::Check;
use std::sync::Arc;

/// Result column of a `unique` query: rows of combinations that more than one row has.
pub(super) const ROWS: &str = "karat rows";
/// Result column of a `unique` query: combinations that more than one row has.
pub(super) const GROUPS: &str = "karat groups";

pub(super) fn checked_column(index: usize) -> String {
    format!("checked {index}")
}

pub(super) fn failed_column(index: usize) -> String {
    format!("failed {index}")
}

pub(super) fn newest_column(index: usize) -> String {
    format!("newest {index}")
}

/// All queries of a request.
pub(super) struct CheckPlans {
    /// One row with the counts of all checks.
    pub(super) pass: Option<LogicalPlan>,
    /// Index of the check, and its grouped query.
    pub(super) unique: Vec<(usize, LogicalPlan)>,
}

pub(super) fn build(state: &SessionState, request: &CheckRequest) -> Result<CheckPlans, ConnectorError> {
    let subject = format!("checks of `{}`", request.table);
    let table = TableReference::partial(request.table.layer().as_str(), request.table.name());
    let scan = || LogicalPlanBuilder::scan(table.clone(), provider_as_source(Arc::clone(&request.provider)), None);
    let schema = Arc::clone(scan().map_err(|error| sql_error(&subject, error))?.schema());
    let mut aggregates = Vec::new();
    let mut unique = Vec::new();
    for (index, to_run) in request.checks.iter().enumerate() {
        let subject = format!("check `{}` of `{}`", to_run.name, request.table);
        let columns = Columns { state, schema: &schema, subject: &subject };
        let filter = to_run.check.filter().map(|sql| columns.condition("where", sql)).transpose()?;
        let parts = columns.parts(to_run)?;
        let mut add = |aggregate: Expr, filter: Option<Expr>, name: String| -> Result<(), DataFusionError> {
            let aggregate = match filter {
                Some(filter) => aggregate.filter(filter).build()?,
                None => aggregate,
            };
            aggregates.push(aggregate.alias(name));
            Ok(())
        };
        let plan = || -> Result<(), DataFusionError> {
            add(count(lit(1_i64)), filter.clone().map(Expr::is_true), checked_column(index))?;
            if let Some(bad) = parts.bad {
                add(count(lit(1_i64)), Some(and_where(bad, filter.as_ref())), failed_column(index))?;
            }
            if let Some(newest) = parts.newest {
                add(max(newest), filter.clone().map(Expr::is_true), newest_column(index))?;
            }
            if let Some(columns) = parts.unique {
                unique.push((index, repeated(scan()?, columns, filter.as_ref())?));
            }
            Ok(())
        };
        plan().map_err(|error| sql_error(&subject, error))?;
    }
    if aggregates.is_empty() {
        return Ok(CheckPlans { pass: None, unique });
    }
    let pass = scan().and_then(|scan| scan.aggregate(Vec::<Expr>::new(), aggregates)?.build()).map_err(|error| sql_error(&subject, error))?;
    Ok(CheckPlans { pass: Some(pass), unique })
}

/// The error of a check that compares two tables.
pub(super) fn not_run_here(check: &Check) -> ConnectorError {
    ConnectorError::new(ErrorKind::Unsupported, format!("`{}` checks are not run by this build", check.kind().as_str()))
        .with_help("take the check out, or write it as a table whose `row_count` must be 0")
}

/// What a check adds to the pass.
#[derive(Default)]
struct Parts {
    /// True for every bad row.
    bad: Option<Expr>,
    /// Its greatest value is wanted.
    newest: Option<Expr>,
    /// Combinations of these must not repeat.
    unique: Option<Vec<Expr>>,
}

struct Columns<'a> {
    state: &'a SessionState,
    schema: &'a DFSchema,
    subject: &'a str,
}

impl Columns<'_> {
    fn parts(&self, to_run: &CheckToRun) -> Result<Parts, ConnectorError> {
        Ok(match &to_run.check {
            Check::NotNull { columns, .. } => Parts { bad: self.columns(columns)?.into_iter().map(Expr::is_null).reduce(Expr::or), ..Parts::default() },
            Check::Unique { columns, .. } => Parts { unique: Some(self.columns(columns)?), ..Parts::default() },
            Check::AcceptedValues { column, values, .. } => Parts { bad: Some(self.not_accepted(column, values)?), ..Parts::default() },
            Check::Expression { sql, .. } => {
                let sql = to_run.sql.as_ref().map_or(sql.as_str(), |text| text.as_str());
                Parts { bad: Some(self.condition("sql", sql)?.is_not_true()), ..Parts::default() }
            }
            Check::RowCount { .. } => Parts::default(),
            Check::Freshness { column, .. } => {
                let expr = self.column(column)?;
                let data_type = expr.get_type(self.schema).map_err(|error| sql_error(self.subject, error))?;
                if !matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
                    return Err(self.refuse(format!("column `{column}` is {}, not a date or a timestamp", type_name(&data_type))));
                }
                Parts { newest: Some(expr), ..Parts::default() }
            }
            Check::Relationship { .. } | Check::ReconcilesWith { .. } => return Err(not_run_here(&to_run.check)),
        })
    }

    fn refuse(&self, message: String) -> ConnectorError {
        ConnectorError::new(ErrorKind::BadConfiguration, format!("{}: {message}", self.subject))
    }

    fn column(&self, name: &str) -> Result<Expr, ConnectorError> {
        if self.schema.has_column_with_unqualified_name(name) {
            return Ok(Expr::Column(Column::new_unqualified(name)));
        }
        let error = ConnectorError::new(ErrorKind::SchemaMismatch, format!("{}: there is no column `{name}`", self.subject));
        let names = || self.schema.fields().iter().map(|field| field.name().as_str());
        Err(error.with_help(did_you_mean(name, names()).unwrap_or_else(|| format!("there are {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")))))
    }

    fn columns(&self, names: &[String]) -> Result<Vec<Expr>, ConnectorError> {
        if names.is_empty() {
            return Err(self.refuse("`columns` is empty".to_owned()));
        }
        names.iter().map(|name| self.column(name)).collect()
    }

    fn condition(&self, key: &str, sql: &str) -> Result<Expr, ConnectorError> {
        let parsed = statement::parse_expression(sql).map_err(|problem| problem.into_error(self.subject))?;
        let expr = self.state.create_logical_expr_from_sql_expr(parsed, self.schema).map_err(|error| sql_error(self.subject, error))?;
        if let Some(fault) = no_condition(&expr, self.schema).map_err(|error| sql_error(self.subject, error))? {
            return Err(self.refuse(format!("`{key}` {fault}")));
        }
        Ok(expr)
    }

    fn not_accepted(&self, column: &str, values: &[serde_json::Value]) -> Result<Expr, ConnectorError> {
        let expr = self.column(column)?;
        let data_type = expr.get_type(self.schema).map_err(|error| sql_error(self.subject, error))?;
        let mut literals = Vec::with_capacity(values.len());
        for value in values {
            let text = value_text(value).ok_or_else(|| self.refuse("`values` holds something that is no text, number or boolean".to_owned()))?;
            literals.push(literal(&text, &data_type).ok_or_else(|| self.refuse(format!("`{text}` is no {}, as column `{column}` is", type_name(&data_type))))?);
        }
        Ok(expr.in_list(literals, false).is_not_true())
    }
}

/// Why an expression cannot judge one row; `None` when it can.
pub(crate) fn no_condition(expr: &Expr, schema: &DFSchema) -> Result<Option<String>, DataFusionError> {
    if expr.exists(|part| Ok(matches!(part, Expr::AggregateFunction(_) | Expr::WindowFunction(_))))? {
        return Ok(Some("looks at one row at a time: it cannot hold an aggregate or a window".to_owned()));
    }
    let data_type = expr.get_type(schema)?;
    Ok((!matches!(data_type, DataType::Boolean | DataType::Null)).then(|| format!("is {}, not true or false", type_name(&data_type))))
}

/// A value of `accepted_values` as text; `None` when it is no text, number or boolean.
pub(crate) fn value_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Some(value.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

/// A text as a value of a column's type; `None` when it is none.
pub(crate) fn literal(text: &str, data_type: &DataType) -> Option<Expr> {
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let value = cast_with_options(&array, data_type, &strict).ok()?;
    ScalarValue::try_from_array(&value, 0).ok().map(lit)
}

fn and_where(bad: Expr, filter: Option<&Expr>) -> Expr {
    match filter {
        Some(filter) => filter.clone().is_true().and(bad),
        None => bad,
    }
}

/// Counts rows and combinations that repeat. As in SQL and dbt, NULL in a single column repeats nothing; in a combination NULL is a value
/// like any other, unless all of it is NULL. Grouping spills, so the number of combinations does not matter.
fn repeated(scan: LogicalPlanBuilder, columns: Vec<Expr>, filter: Option<&Expr>) -> Result<LogicalPlan, DataFusionError> {
    let known = columns.iter().cloned().map(Expr::is_not_null).reduce(Expr::or);
    let scan = match known {
        Some(known) => scan.filter(and_where(known, filter))?,
        None => scan,
    };
    let rows = || Expr::Column(Column::new_unqualified(ROWS));
    scan.aggregate(columns, [count(lit(1_i64)).alias(ROWS)])?
        .filter(rows().gt(lit(1_i64)))?
        .aggregate(Vec::<Expr>::new(), [sum(rows()).alias("karat total"), count(lit(1_i64)).alias(GROUPS)])?
        .project([Expr::Column(Column::new_unqualified("karat total")).alias(ROWS), Expr::Column(Column::new_unqualified(GROUPS))])?
        .build()
}
