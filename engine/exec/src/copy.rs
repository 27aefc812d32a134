//! The copy stage: rows of a source.

use crate::columns::{self, Marks, Policy, Reach};
use crate::delivery::Delivery;
use crate::failpoints::READ_OPENED;
use crate::pump::Pump;
use crate::request;
use crate::stage::{Stage, Target, or_cancelled};
use arrow::datatypes::{Field, Schema, SchemaRef};
use karat_plan::{Change, CopyWork};
use karat_plugin_api::{ConnectorError, ErrorKind, Position, WriteMode};
use karat_spec::model::{Check, Deletes, LoadMode, Strategy};
use karat_sql::CheckToRun;
use std::sync::Arc;

/// Copies what is new, from the last committed position to the end of one consistent read.
///
/// # Errors
/// A transient error may be tried again: the next try starts where the target then stands.
pub(crate) async fn copy(stage: &mut Stage, work: &CopyWork) -> Result<(), ConnectorError> {
    let target = stage.open_target(work.pipeline, &work.to_connection, work.to_table.as_deref()).await?;
    if work.columns.is_empty() {
        return Err(no_columns(stage, work).await);
    }
    let is_fresh = stage.is_fresh();
    expect_same_source(stage, work, is_fresh)?;
    let mode = request::write_mode(work, is_fresh)?;
    let tip = stage.tip(&target, mode == WriteMode::Replace);
    let committed = target.record.as_ref().filter(|_| !is_fresh).map(|record| record.hi.clone());
    let request = request::read_request(work, committed.as_ref().unwrap_or(&Position::Start), stage.run.memory_per_stage())?;
    let cancel = stage.run.cancel.clone();
    let source = stage.run.services.connections.source(work.pipeline, &work.connection)?;
    // Rows written in other columns than the ones asked for now must be read again to be rewritten.
    let settled = committed.filter(|_| mode != WriteMode::Replace || has_same_columns(work, &target));
    if let Some(committed) = &settled
        && or_cancelled(&cancel, source.probe(&request, committed)).await?.as_ref() == Some(committed)
    {
        return Ok(());
    }
    let read = or_cancelled(&cancel, source.read(request)).await?;
    stage.pass(READ_OPENED)?;
    let read_schema = read.schema();
    let reach = if is_fresh { Reach::Restart } else { Reach::Extend };
    let seen: Vec<&Change> = work.source_changes.iter().filter(|_| !is_fresh).collect();
    let policy = Policy { table: &stage.name, changes: work.schema_changes, reach };
    let mut columns = columns::compare_marked(&read_schema, target.schema.as_ref(), marks(work), &policy)?;
    columns.changes.splice(0..0, columns::seen(&stage.name, &seen, work.schema_changes)?);
    stage.report.schema_changes.clone_from(&columns.changes);
    stage.source_columns = Some(work.source_columns.clone()).filter(|columns| !columns.is_empty());
    let lake = stage.run.services.connections.lake(work.pipeline, &work.to_connection)?;
    let mut checks: Vec<CheckToRun> = work.checks.iter().map(|check| CheckToRun { name: check.name.clone(), check: check.check.clone(), sql: check.sql.clone() }).collect();
    if is_fresh && work.mode == LoadMode::Upsert && !work.key_is_unique && lake.is_some() {
        checks.push(key_is_unique(work));
    }
    let pump = Pump::start(read.into_stream(), &cancel);
    let delivery = Delivery {
        target: &target,
        read_schema,
        columns,
        mode,
        layout: work.layout.clone(),
        table_layout: work.table_layout.clone(),
        tip,
        settled,
        guard: work.guard,
        checks,
        lake,
        source_identity: work.source_identity.clone(),
        stage,
    };
    delivery.run(pump).await
}

fn marks(work: &CopyWork) -> Marks {
    match work.deletes {
        _ if work.strategy != Strategy::Diff => Marks::Never,
        Deletes::Soft => Marks::Now,
        Deletes::Ignore | Deletes::Hard => Marks::Before,
    }
}

/// A restored or exchanged source would be read from a position that means nothing there (A18, C09).
fn expect_same_source(stage: &Stage, work: &CopyWork, is_fresh: bool) -> Result<(), ConnectorError> {
    let known = stage.known.as_ref().and_then(|known| known.source_identity.as_ref());
    match (known, &work.source_identity) {
        (Some(known), Some(now)) if known != now && !is_fresh => Err(ConnectorError::new(
            ErrorKind::Refused,
            format!("the source of `{}` is not the one that was read before: it was exchanged, restored or created anew, so its position means nothing there", work.table),
        )
        .with_help(format!("connect the former source, or load the table anew: `karat run --select {} --full-refresh`", work.table))),
        _ => Ok(()),
    }
}

/// Why the plan knows no columns: what the source says of it now, as when the plan was made.
async fn no_columns(stage: &Stage, work: &CopyWork) -> ConnectorError {
    let cancel = stage.run.cancel.clone();
    let asked = match stage.run.services.connections.source(work.pipeline, &work.connection) {
        Ok(source) => or_cancelled(&cancel, source.describe(&work.object)).await,
        Err(error) => Err(error),
    };
    let unknown = || ConnectorError::new(ErrorKind::SchemaMismatch, format!("the source of `{}` named no columns when the run was planned", work.table)).with_help("run again");
    asked.map_or_else(|error| error, |_| unknown())
}

fn has_same_columns(work: &CopyWork, target: &Target) -> bool {
    let Some(there) = &target.schema else { return false };
    let fields: Vec<Field> = work.columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), column.nullable)).collect();
    let asked: SchemaRef = Arc::new(Schema::new(fields));
    columns::compare(&work.table.to_string(), &asked, Some(there), work.schema_changes, Reach::Extend).is_ok_and(|columns| columns.schema.fields().len() == there.fields().len())
}

/// A fresh start replaces the table in one commit, where nothing merges rows of one key: two of them must not slip in.
fn key_is_unique(work: &CopyWork) -> CheckToRun {
    let check = Check::Unique { columns: work.key.clone(), name: None, r#where: None, on_fail: None, max_failed: None };
    CheckToRun { name: "key".to_owned(), check, sql: None }
}
