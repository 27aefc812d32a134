//! The transform stage: rows of a SELECT over pinned inputs.

use crate::columns::{self, Reach};
use crate::delivery::Delivery;
use crate::failpoints::READ_OPENED;
use crate::pins;
use crate::pump::Pump;
use crate::stage::{Stage, or_cancelled};
use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use karat_plan::TransformWork;
use karat_plugin_api::{ConnectorError, ErrorKind, Position, SourceBatch, WriteMode};
use karat_spec::model::TableName;
use karat_sql::{CheckToRun, SqlInput, TransformRequest};
use std::sync::Arc;

/// Computes the table anew and replaces it, unless the same code has already seen the same inputs (COMMIT P10).
///
/// # Errors
/// A transient error may be tried again: nothing of a try that failed is visible.
pub(crate) async fn transform(stage: &mut Stage, work: &TransformWork) -> Result<(), ConnectorError> {
    let target = stage.open_target(work.pipeline, &work.to_connection, work.to_table.as_deref()).await?;
    let is_fresh = stage.is_fresh();
    let versions = input_versions(stage, work)?;
    let texts = versions.iter().map(|(table, version)| (table.to_string(), version.clone())).collect();
    let end = Position::Inputs { code: work.code.clone(), versions: texts };
    if !is_fresh && target.record.as_ref().is_some_and(|record| record.hi == end) {
        return Ok(());
    }
    let cancel = stage.run.cancel.clone();
    let (inputs, input_rows) = or_cancelled(&cancel, open_inputs(stage, &versions)).await?;
    let request =
        TransformRequest { table: work.table.clone(), sql: work.sql.as_str().to_owned(), inputs, types: work.types.clone(), key: work.key.clone(), dedup: work.dedup.clone() };
    let select = or_cancelled(&cancel, stage.run.services.sql.transform(request)).await?;
    stage.pass(READ_OPENED)?;
    let reach = if is_fresh { Reach::Restart } else { Reach::Rewrite };
    let columns = columns::compare(&stage.name, &select.schema, target.schema.as_ref(), work.schema_changes, reach)?;
    stage.report.schema_changes.clone_from(&columns.changes);
    let tip = stage.tip(&target, true);
    let lake = stage.run.services.connections.lake(work.pipeline, &work.to_connection)?;
    let pump = Pump::start(as_read(select.stream, end), &cancel);
    let delivery = Delivery {
        target: &target,
        read_schema: Arc::clone(&select.schema),
        columns,
        mode: WriteMode::Replace,
        layout: work.layout.clone(),
        table_layout: work.table_layout.clone(),
        tip,
        settled: None,
        guard: work.guard,
        checks: work.checks.iter().map(|check| CheckToRun { name: check.name.clone(), check: check.check.clone(), sql: check.sql.clone() }).collect(),
        lake,
        source_identity: None,
        stage: &mut *stage,
    };
    delivery.run(pump).await?;
    stage.report.rows_read = input_rows;
    Ok(())
}

/// The pinned version of every input, sorted by name.
fn input_versions(stage: &Stage, work: &TransformWork) -> Result<Vec<(TableName, String)>, ConnectorError> {
    let mut inputs = work.inputs.clone();
    inputs.sort_by_key(ToString::to_string);
    inputs.dedup();
    let pinned = inputs.into_iter().map(|table| match stage.run.pins.get(&table) {
        Some(version) => Ok((table, version)),
        None => Err(missing(work, &table)),
    });
    pinned.collect()
}

async fn open_inputs(stage: &Stage, versions: &[(TableName, String)]) -> Result<(Vec<SqlInput>, u64), ConnectorError> {
    let mut inputs = Vec::with_capacity(versions.len());
    let mut rows = 0;
    for (table, version) in versions {
        let Some(found) = pins::open(&stage.run.services, table, Some(version)).await? else {
            return Err(ConnectorError::new(ErrorKind::Corrupt, format!("version {version} of `{table}` is gone while `{}` reads it", stage.name))
                .with_help("run again; let nothing clean the warehouse up while a run is reading it"));
        };
        rows += found.rows;
        inputs.push(SqlInput { name: table.clone(), provider: found.provider });
    }
    Ok((inputs, rows))
}

fn missing(work: &TransformWork, input: &TableName) -> ConnectorError {
    ConnectorError::new(ErrorKind::NotFound, format!("`{}` reads `{input}`, which was never loaded", work.table))
        .with_help(format!("load it as well: `karat run --select +{}`", work.table))
}

/// The rows of a SELECT as a read that ends at `end`. A query that fails says so, and a panic in it is an error: its end is a proof.
fn as_read(rows: BoxStream<'static, Result<RecordBatch, ConnectorError>>, end: Position) -> BoxStream<'static, Result<SourceBatch, ConnectorError>> {
    let steps = stream::unfold(Some((rows, 0_u64, end)), |state| async move {
        let (mut rows, count, end) = state?;
        match rows.next().await {
            Some(Ok(batch)) => {
                let count = count + batch.num_rows() as u64;
                Some((Ok(SourceBatch::Rows { batch, position: None }), Some((rows, count, end))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Ok(SourceBatch::End { rows: count, position: end, future_rows: 0, skipped_rows: 0 }), None)),
        }
    });
    steps.boxed()
}
