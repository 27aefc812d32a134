//! `karat lock`: asks the sources what they look like, and keeps the answer beside the pipelines.

use crate::arguments::{Scope, TextOrJson};
use crate::connections::ProjectConnections;
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Examined, Sight};
use crate::exit::Exit;
use crate::lock_report::{LockReport, LockStatus, LockedReport};
use crate::locking::{self, Answers, Before};
use clap::Args;
use karat_graph::TableIndex;
use karat_spec::model::TableName;
use karat_spec::{LOCK_FILE, lock_text};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// Writes nothing; says what changed at the sources since they were locked, and which Silver and Gold columns that reaches. Exits with 7 when something did.
    #[arg(long)]
    check: bool,
    /// How to print what was done or found.
    #[arg(long, value_enum, default_value_t = TextOrJson::Text)]
    format: TextOrJson,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let projects = match arguments.format {
        TextOrJson::Text => examined::all(&arguments.scope, Sight::Online, context)?,
        TextOrJson::Json => vec![examined::single(&arguments.scope, Sight::Online, context, "this format shows one project")?],
    };
    let mut exit = Exit::Done;
    for project in &projects {
        exit = exit.worst(one(project, arguments, context)?);
    }
    Ok(exit)
}

fn one(project: &Examined, arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let selected = project.selected(&arguments.scope).unwrap_or_default();
    let unread = project.unread();
    if !unread.is_empty() {
        return project.refuse(&unread, arguments.format == TextOrJson::Text, context);
    }
    let names = bronze(project, &selected, &arguments.scope)?;
    let before = Before::read(project, context)?;
    if !before.findings.is_empty() && arguments.check {
        return before.refuse(arguments.format == TextOrJson::Text, context);
    }
    if !before.findings.is_empty() {
        context.printer.say(&format!("note: `{LOCK_FILE}` cannot be used, so it is written anew; `karat lint` says what is wrong with it"));
    }
    let connections = ProjectConnections::new(&project.spec);
    let mut answers = context.runtime()?.block_on(Answers::ask(project, &names, &connections, (!arguments.check).then_some(&context.catalog)));
    let (document, tables) = locking::compare(project, &before, &mut answers, context);
    let path = project.spec.root.join(LOCK_FILE);
    let text = lock_text(&document);
    let is_new = before.text.as_deref() != Some(text.as_str());
    if is_new && !arguments.check && !(document.tables.is_empty() && before.text.is_none()) {
        write(&path, &text)?;
    }
    let written = is_new && !arguments.check && path.is_file();
    let report = LockReport { project: project.spec.name.clone(), file: crate::project::shown(&path, &context.folder), check: arguments.check, written, tables };
    print(&report, arguments, context)
}

/// The Bronze tables among the selected ones.
fn bronze(project: &Examined, selected: &BTreeSet<TableIndex>, scope: &Scope) -> Result<Vec<TableName>, CliError> {
    let tables = selected.iter().map(|table| &project.spec.tables[table.position()]);
    let names: Vec<TableName> = tables.filter(|table| table.bronze().is_some()).map(|table| table.name.clone()).collect();
    if names.is_empty() && !scope.select.is_empty() {
        return Err(CliError::usage("no Bronze table is selected, and only these have a source").with_help("`--select +silver.trades` means a table with everything it reads"));
    }
    Ok(names)
}

fn print(report: &LockReport, arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    match arguments.format {
        TextOrJson::Json => context.printer.json(report)?,
        // Differences are what a quiet check is asked for.
        TextOrJson::Text if report.check && report.has_drift() => context.printer.data(&report.text())?,
        TextOrJson::Text => context.printer.story(&report.text())?,
    }
    let failed: Vec<(&String, &LockedReport)> = report.tables.iter().filter(|(_, table)| table.error.is_some()).collect();
    for (name, table) in &failed {
        if let Some(error) = &table.error {
            context.printer.error(&crate::summary::cli_error(Some(name), error));
        }
    }
    let is_partial = report.tables.values().any(|table| !matches!(table.status, LockStatus::Failed));
    Ok(match (failed.is_empty(), report.check) {
        _ if report.check && report.has_drift() => Exit::Different,
        (true, _) => Exit::Done,
        (false, false) if is_partial => Exit::Partial,
        (false, _) => Exit::Failed,
    })
}

/// Replaces the file in one step, so that nobody reads half of it.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    // A link stays one.
    let path: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    let scratch = folder.join(format!(".{LOCK_FILE}.{}", std::process::id()));
    let written =
        std::fs::File::create(&scratch).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all())).and_then(|()| std::fs::rename(&scratch, &path));
    written.map_err(|error| {
        // What is left over is a hidden file; the error that is told is the one that matters.
        let _ = std::fs::remove_file(&scratch);
        CliError::io("write", &path, &error)
    })
}
