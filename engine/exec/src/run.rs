//! The run: lease, history, and which stage runs when.

use crate::failpoints::{LEASE_TAKEN, RELEASE_BEFORE, STAGE_ENDED};
use crate::pins::Pins;
use crate::pump::panic_text;
use crate::report::{ErrorReport, TableStatus, state_error, status_of};
use crate::schedule::Schedule;
use crate::stage::{self, RunContext, seconds};
use crate::{Event, RunReport, RunStatus, Services, TableReport};
use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use karat_plan::{RunPlan, StageWork, TablePlan};
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::TableName;
use karat_state::{Lease, RunRecord, StateError, TableRun};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How long a stage may take to notice a cancellation before its task is dropped. Dropping is safe at any place; waiting is only kinder.
const GRACE: Duration = Duration::from_secs(9);

/// Runs a plan under the lease of its state. Always gives a report, never panics out.
///
/// Tables start as soon as the tables they need are done, `options.jobs` at once. After a failure the tables behind it are skipped and all others go on.
/// `cancel` ends the run within ten seconds: each table stays at its last committed batch.
pub async fn run(plan: RunPlan, services: Services, cancel: CancellationToken) -> RunReport {
    let span = tracing::info_span!("run", run_id = %services.owner.run_id, project = %plan.project);
    run_in_span(plan, services, cancel).instrument(span).await
}

async fn run_in_span(plan: RunPlan, mut services: Services, cancel: CancellationToken) -> RunReport {
    let started_at = services.clock.now();
    // Every table of a run sees the same `now()`.
    services.sql = services.sql.with_now(started_at);
    let tables = plan.tables.iter().map(|(name, table)| (name.clone(), TableReport::waiting(table))).collect();
    let mut report = RunReport {
        run_id: services.owner.run_id.clone(),
        project: plan.project.clone(),
        status: RunStatus::Done,
        exit_code: 0,
        started_at,
        ended_at: started_at,
        seconds: 0.0,
        tables,
        error: None,
    };
    let mut is_held = false;
    match services.state.acquire(&services.owner).await {
        Ok(lease) => {
            if let Err(error) = under_lease(plan, &services, cancel, Arc::new(lease), &mut report).await {
                report.error = Some(ErrorReport::from(&error));
            }
        }
        Err(error) => {
            is_held = matches!(error, StateError::Held { .. });
            report.error = Some(ErrorReport::from(&state_error(error)));
        }
    }
    if report.error.is_some() {
        for table in report.tables.values_mut().filter(|table| table.started_at.is_none() && table.reason.is_none()) {
            table.reason = Some("the run could not go on".to_owned());
        }
    }
    report.status = if is_held { RunStatus::Held } else { status_of(&report.tables, report.error.as_ref()) };
    report.exit_code = report.status.exit_code();
    report.ended_at = services.clock.now();
    report.seconds = seconds(started_at, report.ended_at);
    services.observer.event(Event::RunFinished { status: report.status });
    report
}

async fn under_lease(plan: RunPlan, services: &Services, cancel: CancellationToken, lease: Arc<Lease>, report: &mut RunReport) -> Result<(), ConnectorError> {
    let failpoints = services.options.failpoints.clone();
    failpoints.pass(LEASE_TAKEN)?;
    let snapshot = services.state.snapshot().await.map_err(state_error)?;
    let mut history = RunRecord { run_id: report.run_id.clone(), started_at: report.started_at, ended_at: None, exit_code: None };
    services.state.start_run(&lease, &history).await.map_err(state_error)?;
    services.observer.event(Event::RunStarted { run_id: report.run_id.clone(), tables: plan.tables.len() });
    let stop = cancel.child_token();
    let pinned = match Pins::of(services, outside_inputs(&plan).iter()).await {
        Ok(pins) => {
            let context = RunContext { services: services.clone(), lease: Arc::clone(&lease), snapshot, pins, cancel: stop, full_refresh: plan.full_refresh };
            run_tables(plan.tables, Arc::new(context), &cancel, &mut report.tables).await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    failpoints.pass(RELEASE_BEFORE)?;
    let failure = pinned.as_ref().err().map(ErrorReport::from);
    history.ended_at = Some(services.clock.now());
    history.exit_code = Some(i32::from(status_of(&report.tables, failure.as_ref()).exit_code()));
    let runs = table_runs(report, services.clock.now());
    let finished = services.state.finish_run(&lease, &history, &runs).await.map_err(state_error);
    // A lease that some task still holds is dropped with it, which frees it as well.
    let released = match Arc::into_inner(lease) {
        Some(lease) => services.state.release(lease).await.map_err(state_error),
        None => Ok(()),
    };
    pinned.and(finished).and(released)
}

/// Tables that SQL of this plan reads and that the plan does not load.
fn outside_inputs(plan: &RunPlan) -> BTreeSet<TableName> {
    let works = plan.tables.values().filter_map(|table| table.work.as_ref());
    let inputs = works.flat_map(|work| match work {
        StageWork::Transform(work) => work.inputs.as_slice(),
        StageWork::Copy(_) => &[],
    });
    inputs.filter(|table| !plan.tables.contains_key(&table.to_string())).cloned().collect()
}

/// Runs all stages, each in a task of its own, until none is left.
async fn run_tables(mut plans: IndexMap<String, TablePlan>, context: Arc<RunContext>, cancel: &CancellationToken, reports: &mut IndexMap<String, TableReport>) {
    let mut schedule = Schedule::new(plans.iter().map(|(name, plan)| (name, plan.depends_on.as_slice())));
    let mut running = JoinSet::new();
    let mut names: HashMap<Id, String> = HashMap::new();
    let options = &context.services.options;
    let mut finish = |name: String, report: TableReport| {
        context.services.observer.event(Event::TableFinished { table: name.clone(), report: Box::new(report.clone()) });
        reports.insert(name, report);
    };
    loop {
        while !context.cancel.is_cancelled() && running.len() < options.jobs.max(1) {
            let Some(name) = schedule.take_ready() else { break };
            let Some(plan) = plans.get(&name).cloned() else { continue };
            let span = tracing::info_span!("stage", table = %name, pipeline = %plan.pipeline);
            let task = running.spawn(stage::run(Arc::clone(&context), name.clone(), plan).instrument(span));
            names.insert(task.id(), name);
        }
        let Some(ended) = next_ended(&mut running, &context.cancel).await else { break };
        let (id, outcome) = match ended {
            Ok((id, report)) => (id, Ok(report)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some((name, plan)) = names.remove(&id).and_then(|name| plans.shift_remove(&name).map(|plan| (name, plan))) else { continue };
        let mut report = outcome.unwrap_or_else(|error| lost(&plan, error));
        if let Err(error) = options.failpoints.pass(STAGE_ENDED) {
            report.fail(&error);
        }
        if report.is_usable() {
            schedule.done(&name);
        } else {
            if options.fail_fast && report.status == TableStatus::Failed {
                context.cancel.cancel();
            }
            if report.status == TableStatus::Failed {
                for (behind, missing) in schedule.failed(&name) {
                    let plan = plans.shift_remove(&behind);
                    plan.into_iter().for_each(|plan| finish(behind.clone(), left_out(&plan, TableStatus::Skipped, &format!("it needs `{missing}`, which was not loaded"))));
                }
            }
        }
        finish(name, report);
    }
    let (status, reason) = match cancel.is_cancelled() {
        true => (TableStatus::Cancelled, "the run was told to stop"),
        false => (TableStatus::Skipped, "the run ends at the first failed table"),
    };
    for name in schedule.drain() {
        plans.shift_remove(&name).into_iter().for_each(|plan| finish(name.clone(), left_out(&plan, status, reason)));
    }
}

/// The next stage that ended; `None` when none runs. Once the run is told to stop, stages that do not listen are dropped after a while.
async fn next_ended(running: &mut JoinSet<TableReport>, cancel: &CancellationToken) -> Option<Result<(Id, TableReport), JoinError>> {
    tokio::select! {
        biased;
        ended = running.join_next_with_id() => return ended,
        () = cancel.cancelled() => {}
    }
    if let Ok(ended) = tokio::time::timeout(GRACE, running.join_next_with_id()).await {
        return ended;
    }
    running.abort_all();
    running.join_next_with_id().await
}

fn left_out(plan: &TablePlan, status: TableStatus, reason: &str) -> TableReport {
    let mut report = TableReport::waiting(plan);
    report.status = status;
    report.reason = Some(reason.to_owned());
    report
}

/// The report of a stage whose task did not live to write one.
fn lost(plan: &TablePlan, error: JoinError) -> TableReport {
    let mut report = TableReport::waiting(plan);
    let error = match error.try_into_panic() {
        Ok(payload) => ConnectorError::new(ErrorKind::Bug, format!("a stage panicked: {}", panic_text(&*payload))),
        Err(_) => ConnectorError::new(ErrorKind::Cancelled, "the run was told to stop, and the stage did not end in time"),
    };
    report.fail(&error);
    report
}

fn table_runs(report: &RunReport, now: DateTime<Utc>) -> Vec<(String, TableRun)> {
    let runs = report.tables.iter().map(|(name, table)| {
        let run = TableRun {
            run_id: report.run_id.clone(),
            status: table.status.as_str().to_owned(),
            started_at: table.started_at.unwrap_or(now),
            ended_at: table.started_at.map_or(now, |start| start + chrono::Duration::milliseconds(millis(table.seconds))),
            rows_read: table.rows_read,
            rows_written: table.rows_written,
            error: table.error.as_ref().map(|error| error.message.clone()).or_else(|| table.reason.clone()),
        };
        (name.clone(), run)
    });
    runs.collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a stage takes less than 2^63 milliseconds")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}
