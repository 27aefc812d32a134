//! `karat state`: what is remembered of earlier runs.

use crate::arguments::{AbsentArguments, Scope, TextOrJson};
use crate::connections::{LOCAL_FOLDER, ProjectConnections, make_private};
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Examined, Sight};
use crate::exit::Exit;
use crate::{machine, online, state_place, table_text};
use clap::{Args, Subcommand};
use karat_exec::RebuildServices;
use karat_exec::{RebuildReport, RebuiltTable, SystemClock};
use karat_spec::model::TableName;
use karat_state::{StateSnapshot, StreamState};
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints what is remembered.
    Show(ShowArguments),
    /// Reads all positions back from the targets, which are the truth.
    Rebuild(ShowArguments),
    #[command(hide = true)]
    Rewind(AbsentArguments),
    #[command(hide = true)]
    Reset(AbsentArguments),
    #[command(hide = true)]
    Export(AbsentArguments),
    #[command(hide = true)]
    Import(AbsentArguments),
}

#[derive(Debug, Args)]
struct ShowArguments {
    #[command(flatten)]
    scope: Scope,
    /// How to print.
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    format: TextOrJson,
}

#[derive(Serialize)]
struct StateRecord<'a> {
    streams: Vec<&'a StreamState>,
    last_runs: &'a std::collections::BTreeMap<String, karat_state::TableRun>,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    match &arguments.action {
        Action::Show(arguments) => show(arguments, context),
        Action::Rebuild(arguments) => rebuild(arguments, context),
        Action::Rewind(_) => Err(CliError::absent("`karat state rewind`")),
        Action::Reset(_) => Err(CliError::absent("`karat state reset`")),
        Action::Export(_) => Err(CliError::absent("`karat state export`")),
        Action::Import(_) => Err(CliError::absent("`karat state import`")),
    }
}

fn show(arguments: &ShowArguments, context: &Context) -> Result<Exit, CliError> {
    let project = examined::single(&arguments.scope, examined::state_sight(&arguments.scope, context)?, context, "state belongs to one project")?;
    let mut snapshot = context.runtime()?.block_on(online::snapshot(&project.spec))?;
    let chosen: Vec<String> = names(&project, &arguments.scope).iter().map(ToString::to_string).collect();
    // Without a selection also what is remembered of tables that no file defines any more.
    if !arguments.scope.select.is_empty() || !arguments.scope.exclude.is_empty() {
        snapshot.streams.retain(|_, stream| chosen.contains(&stream.table));
        snapshot.last_runs.retain(|table, _| chosen.contains(table));
    }
    match arguments.format {
        TextOrJson::Json => context.printer.json(&StateRecord { streams: snapshot.streams.values().collect(), last_runs: &snapshot.last_runs })?,
        TextOrJson::Text if snapshot.streams.is_empty() => context.printer.say("nothing is remembered: no table was loaded yet"),
        TextOrJson::Text => context.printer.data(&text(&snapshot))?,
    }
    Ok(Exit::Done)
}

fn text(snapshot: &StateSnapshot) -> String {
    let lines = snapshot.streams.values().map(|stream| {
        let committed = stream.committed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        vec![stream.stream.to_string(), stream.generation.0.to_string(), stream.seq.to_string(), karat_plan::render::count(stream.rows), stream.hi.to_string(), committed]
    });
    table_text::aligned(&["stream", "generation", "batch", "rows", "watermark", "committed at"], lines)
}

fn rebuild(arguments: &ShowArguments, context: &Context) -> Result<Exit, CliError> {
    let project = examined::single(&arguments.scope, Sight::Online, context, "state belongs to one project")?;
    let tables = names(&project, &arguments.scope);
    let connections = ProjectConnections::new(&project.spec);
    make_private(&project.spec.root.join(LOCAL_FOLDER))?;
    let owner = machine::owner()?;
    let report = context.runtime()?.block_on(async {
        let store = state_place::open_or_replace(&project.spec, context).await?;
        Ok::<_, CliError>(karat_exec::rebuild(&project.spec, &tables, &RebuildServices { connections: &connections, state: &store, owner: &owner, clock: &SystemClock }).await)
    })?;
    match arguments.format {
        TextOrJson::Json => context.printer.json(&report)?,
        TextOrJson::Text => context.printer.story(&rebuilt(&report))?,
    }
    for error in failures(&report) {
        context.printer.error(&error);
    }
    Ok(Exit::of_code(report.exit_code))
}

fn rebuilt(report: &RebuildReport) -> String {
    let lines = report.tables.iter().map(|(name, table)| {
        let outcome = match table {
            RebuiltTable::Kept => "kept: state and target agree".to_owned(),
            RebuiltTable::Rebuilt { seq, watermark } => format!("rebuilt: batch {seq}, {watermark}"),
            RebuiltTable::Forgotten => "forgotten: the target holds no position".to_owned(),
            RebuiltTable::NeverLoaded => "never loaded".to_owned(),
            RebuiltTable::Failed { .. } => "failed".to_owned(),
        };
        vec![name.clone(), outcome]
    });
    table_text::aligned(&["table", "outcome"], lines)
}

fn failures(report: &RebuildReport) -> Vec<CliError> {
    let tables = report.tables.iter().filter_map(|(name, table)| match table {
        RebuiltTable::Failed { error } => Some((Some(name), error)),
        RebuiltTable::Kept | RebuiltTable::Rebuilt { .. } | RebuiltTable::Forgotten | RebuiltTable::NeverLoaded => None,
    });
    report.error.iter().map(|error| (None, error)).chain(tables).map(|(name, error)| crate::summary::cli_error(name, error)).collect()
}

fn names(project: &Examined, scope: &Scope) -> Vec<TableName> {
    project.selected(scope).unwrap_or_default().into_iter().map(|table| project.graph.name(table).clone()).collect()
}
