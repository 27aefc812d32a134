//! `karat run`: does what `karat plan` shows. A newcomer starts here.

use crate::arguments::{Scope, TextOrJson};
use crate::connections::{LOCAL_FOLDER, ProjectConnections, make_private};
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Examined, Sight};
use crate::exit::Exit;
use crate::signals::Signals;
use crate::{machine, online, progress, state_place, summary};
use clap::Args;
use karat_diagnostics::Summary;
use karat_exec::{Failpoints, RunOptions, RunReport, RunStatus, Services, SystemClock};
use karat_plan::{PlanInput, PlanOptions, RunPlan};
use karat_sql::{SqlEngine, SqlOptions};
use std::path::PathBuf;
use std::sync::Arc;

/// Share of the memory limit that SQL may use; the rest is for batches between sources and sinks.
const SQL_SHARE: u64 = 2;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// Starts every table anew, whatever was delivered before; each is swapped in by one commit.
    #[arg(long)]
    full_refresh: bool,
    /// Tables at once; default: `jobs` of karat.yaml, else one per processor.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Stops at the first table that fails, instead of going on with those that do not need it.
    #[arg(long)]
    fail_fast: bool,
    /// Writes the report as JSON into this file; a report is about one project.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to print the report; as JSON it is about one project, because tables of two may share a name.
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    format: TextOrJson,
    #[arg(long, hide = true, value_name = "CURSOR")]
    from: Option<String>,
    #[arg(long, hide = true, value_name = "CURSOR")]
    to: Option<String>,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    if arguments.from.is_some() || arguments.to.is_some() {
        return Err(CliError::absent("a backfill with `--from` and `--to`"));
    }
    let projects = if arguments.format == TextOrJson::Json || arguments.report.is_some() {
        vec![examined::single(&arguments.scope, Sight::Online, context, "a report as JSON is about one project")?]
    } else {
        examined::all(&arguments.scope, Sight::Online, context)?
    };
    let mut exit = Exit::Done;
    for project in &projects {
        exit = exit.worst(one(project, arguments, context)?);
        if matches!(exit, Exit::Interrupted | Exit::Terminated) {
            break;
        }
    }
    Ok(exit)
}

fn one(project: &Examined, arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let tables = project.selected(&arguments.scope).unwrap_or_default();
    let checked = match project.checked(&tables) {
        Ok(checked) => checked,
        Err(findings) => return project.refuse(&findings, arguments.format == TextOrJson::Text, context),
    };
    let runtime = context.runtime()?;
    let connections = Arc::new(ProjectConnections::new(&project.spec));
    let seen = runtime.block_on(online::ask(&checked, &tables, &connections))?;
    let options = PlanOptions { selection: Some(tables.clone()), offline: false, full_refresh: arguments.full_refresh };
    let input = PlanInput { checked: &checked, catalog: &context.catalog, schemas: &seen.schemas, targets: &seen.targets, state: &seen.state, options: &options };
    let (plan, mut findings) = karat_plan::build(&input);
    findings.extend(project.typed_findings(&plan, &tables));
    if Summary::of(&findings).errors > 0 {
        return project.refuse(&findings, arguments.format == TextOrJson::Text, context);
    }
    project.tell_warnings(&tables, &arguments.scope, context);
    let (report, heard) = runtime.block_on(carry_out(plan, project, connections, arguments, context))?;
    finish(report, heard, arguments, context)
}

async fn carry_out(
    plan: RunPlan,
    project: &Examined,
    connections: Arc<ProjectConnections>,
    arguments: &Arguments,
    context: &Context,
) -> Result<(RunReport, Option<Exit>), CliError> {
    make_private(&project.spec.root.join(LOCAL_FOLDER))?;
    let memory = machine::memory_limit(context.memory_limit, &project.spec);
    let jobs = machine::jobs(arguments.jobs.map(usize::from), &project.spec);
    let spill_dir = connections.scratch().join("spill");
    let sql = SqlEngine::new(SqlOptions { memory_limit_bytes: memory / SQL_SHARE, spill_dir, parallelism: machine::processors() })?;
    let state = state_place::open(&project.spec).await?;
    let printer = context.printer.clone();
    let signals = Signals::listen(move |text| printer.say(text))?;
    let services = Services {
        connections,
        state,
        sql,
        clock: Arc::new(SystemClock),
        observer: progress::observer(&context.printer, &plan),
        owner: machine::owner()?,
        options: RunOptions { jobs, memory_limit_bytes: memory - memory / SQL_SHARE, fail_fast: arguments.fail_fast, failpoints: failpoints()?, ..RunOptions::default() },
    };
    let report = karat_exec::run(plan, services, signals.cancel.clone()).await;
    Ok((report, signals.heard()))
}

fn finish(mut report: RunReport, heard: Option<Exit>, arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    // The run knows that it was told to stop; which signal said so is known here.
    if let (RunStatus::Cancelled, Some(heard)) = (report.status, heard) {
        report.exit_code = heard.code();
    }
    if let Some(path) = &arguments.report {
        let path = context.folder.join(path);
        std::fs::write(&path, context.printer.json_text(&report)?).map_err(|error| CliError::io("write report", &path, &error))?;
    }
    match arguments.format {
        TextOrJson::Json => context.printer.json(&report)?,
        TextOrJson::Text => context.printer.story(&summary::text(&report))?,
    }
    for error in summary::errors(&report) {
        context.printer.error(&error);
    }
    Ok(Exit::of_code(report.exit_code))
}

fn failpoints() -> Result<Failpoints, CliError> {
    let text = std::env::var("KARAT_FAILPOINTS").unwrap_or_default();
    Failpoints::parse(&text).map_err(|error| CliError::usage(format!("KARAT_FAILPOINTS: {error}")))
}
