//! Data-quality checks of one table: all simple ones in one pass, one grouped query for each `unique`.

pub(crate) mod plan;
mod verdict;

use crate::engine::{SqlEngine, SqlInput};
use crate::execute;
use crate::session::{self, Surroundings};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::SqlText;
use karat_spec::model::{Check, MaxFailed, OnFail, TableName};
use std::sync::Arc;

/// The rows to check and what must hold for them.
pub struct CheckRequest {
    /// The table, for messages.
    pub table: TableName,
    /// The rows; usually staged ones that no reader sees yet.
    pub provider: Arc<dyn TableProvider>,
    /// The checks.
    pub checks: Vec<CheckToRun>,
    /// What `freshness` compares with.
    pub now: DateTime<Utc>,
}

/// One check.
#[derive(Debug, Clone)]
pub struct CheckToRun {
    /// Its name in reports.
    pub name: String,
    /// What must hold.
    pub check: Check,
    /// The rendered expression of an `expression` check; `None` takes the check's own text.
    pub sql: Option<SqlText>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutcome {
    /// The name of [`CheckToRun`].
    pub name: String,
    /// The kind as written in YAML: `not_null`.
    pub kind: String,
    /// What the table says happens to bad rows.
    pub on_fail: OnFail,
    /// True when no more rows are bad than `max_failed` tolerates.
    pub passed: bool,
    /// Bad rows; for `unique` the rows beyond the first of each combination; 0 for `row_count` and `freshness`.
    pub failed_rows: u64,
    /// Rows that `where` lets through.
    pub checked_rows: u64,
    /// What was found and how many, without values of rows.
    pub message: String,
}

/// Numbers of one check.
#[derive(Debug, Clone, Default)]
struct Found {
    checked: u64,
    failed: u64,
    /// Combinations that more than one row has.
    groups: u64,
    newest: Option<ScalarValue>,
}

pub(crate) async fn run(engine: &SqlEngine, request: CheckRequest) -> Result<Vec<CheckOutcome>, ConnectorError> {
    let catalogs = session::catalogs(&[SqlInput { name: request.table.clone(), provider: Arc::clone(&request.provider) }])?;
    let state = engine.state(Surroundings::Tables, Arc::clone(&catalogs));
    let plans = plan::build(&state, &request)?;
    let mut found = vec![Found::default(); request.checks.len()];
    if let Some(pass) = plans.pass {
        let job = engine.job(format!("checks of `{}`", request.table), pass, Surroundings::Tables, Arc::clone(&catalogs));
        let batches = execute::collect(job).await?;
        for (index, found) in found.iter_mut().enumerate() {
            found.checked = number(&batches, &plan::checked_column(index))?.unwrap_or_default();
            found.failed = number(&batches, &plan::failed_column(index))?.unwrap_or_default();
            found.newest = scalar(&batches, &plan::newest_column(index))?;
        }
    }
    for (index, query) in plans.unique {
        let job = engine.job(format!("check `{}` of `{}`", request.checks[index].name, request.table), query, Surroundings::Tables, Arc::clone(&catalogs));
        let batches = execute::collect(job).await?;
        found[index].groups = number(&batches, plan::GROUPS)?.unwrap_or_default();
        found[index].failed = number(&batches, plan::ROWS)?.unwrap_or_default().saturating_sub(found[index].groups);
    }
    request.checks.iter().zip(found).map(|(check, found)| outcome(check, &found, request.now)).collect()
}

fn outcome(to_run: &CheckToRun, found: &Found, now: DateTime<Utc>) -> Result<CheckOutcome, ConnectorError> {
    let verdict = verdict::of(&to_run.check, found, now)?;
    Ok(CheckOutcome {
        name: to_run.name.clone(),
        kind: to_run.check.kind().as_str().to_owned(),
        on_fail: to_run.check.on_fail(),
        passed: verdict.good || tolerated(&to_run.check, found),
        failed_rows: found.failed,
        checked_rows: found.checked,
        message: verdict.message,
    })
}

fn tolerated(check: &Check, found: &Found) -> bool {
    if matches!(check, Check::RowCount { .. } | Check::Freshness { .. }) {
        return false;
    }
    match check.max_failed() {
        MaxFailed::Rows(limit) => found.failed <= limit.0,
        // Rows fit a double exactly up to 2^53.
        MaxFailed::Share(share) => found.failed as f64 * 100.0 <= share.0 * found.checked as f64,
    }
}

fn scalar(batches: &[RecordBatch], column: &str) -> Result<Option<ScalarValue>, ConnectorError> {
    let Some(array) = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| batch.column_by_name(column)) else { return Ok(None) };
    let value = ScalarValue::try_from_array(array, 0).map_err(|error| ConnectorError::new(ErrorKind::Bug, "a check's result cannot be read").with_source(error))?;
    Ok((!value.is_null()).then_some(value))
}

fn number(batches: &[RecordBatch], column: &str) -> Result<Option<u64>, ConnectorError> {
    match scalar(batches, column)? {
        Some(ScalarValue::Int64(Some(number))) => Ok(Some(number.unsigned_abs())),
        Some(ScalarValue::UInt64(Some(number))) => Ok(Some(number)),
        Some(other) => Err(ConnectorError::new(ErrorKind::Bug, format!("a check counted in {}", other.data_type()))),
        None => Ok(None),
    }
}
