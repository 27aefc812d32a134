//! What sources say, beside what `karat.lock` says of them.

use crate::connections::ProjectConnections;
use crate::context::Context;
use crate::error::CliError;
use crate::examined::Examined;
use crate::exit::Exit;
use crate::lock_report::{ChangeReport, LockStatus, LockedReport, ReachReport};
use crate::project;
use indexmap::IndexMap;
use karat_diagnostics::Diagnostic;
use karat_diagnostics::render::{self, Color};
use karat_exec::{ErrorReport, Proposal};
use karat_plan::{Change, Schemas};
use karat_plugin_api::ConnectorError;
use karat_spec::model::{LockDocument, LockedTable, TableName};
use karat_spec::{Catalog, Environment, LOCK_FILE, SourceSet, TableSpec};
use karat_sql::ColumnReach;
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u64 = 1;

/// The lock as it was.
pub(crate) struct Before {
    /// The text, where there is a file that holds one.
    pub(crate) text: Option<String>,
    /// What is wrong with it; then `document` is empty.
    pub(crate) findings: Vec<Diagnostic>,
    document: LockDocument,
    /// What its entries say of sources.
    schemas: Schemas,
    sources: SourceSet,
}

impl Before {
    pub(crate) fn read(project: &Examined, context: &Context) -> Result<Self, CliError> {
        let mut sources = SourceSet { root: project.spec.root.clone(), ..SourceSet::default() };
        let mut findings = project::load_lock(&mut sources, &context.folder);
        let text = sources.lock_file.map(|file| sources.map.file(file).text().to_owned());
        let (lock, more) = karat_spec::read_lock(&sources);
        findings.extend(more);
        let schemas = karat_plan::locked_sources(&project.spec, &context.catalog, lock.as_ref()).schemas;
        Ok(Self { text, findings, document: lock.map(|lock| lock.document).unwrap_or_default(), schemas, sources })
    }

    /// Shows what is wrong with the file.
    pub(crate) fn refuse(&self, on_stdout: bool, context: &Context) -> Result<Exit, CliError> {
        let color = if on_stdout { context.printer.color() } else { Color::Never };
        let text = render::text(&self.findings, &self.sources.map, &[], color);
        if on_stdout {
            context.printer.data(&text)?;
        } else {
            context.printer.error(&CliError::usage(format!("`{LOCK_FILE}` cannot be used\n\n{}", text.trim_end())));
        }
        Ok(Exit::Findings)
    }
}

/// What the sources said.
pub(crate) struct Answers {
    schemas: Schemas,
    failed: BTreeMap<TableName, ConnectorError>,
    proposals: BTreeMap<TableName, Proposal>,
}

impl Answers {
    /// Asks the sources of these tables; for files without types also what types their rows have, if there is a `catalog` to tell them by.
    pub(crate) async fn ask(project: &Examined, names: &[TableName], connections: &ProjectConnections, catalog: Option<&Catalog>) -> Self {
        let (schemas, failed) = karat_exec::discover(&project.spec, names, connections).await;
        let mut answers = Self { schemas, failed: failed.into_iter().collect(), proposals: BTreeMap::new() };
        let untyped = |table: &&TableSpec| catalog.is_some_and(|catalog| project.is_untyped(table, catalog)) && answers.schemas.contains_key(&table.name);
        let tables: Vec<&TableSpec> = project.spec.tables.iter().filter(untyped).collect();
        for table in tables {
            let from = table.bronze().and_then(|bronze| bronze.from.as_ref());
            let Some((connection, path)) = from.and_then(|from| Some((from.connection.as_deref()?, from.path.as_deref()?))) else { continue };
            let Some(schema) = answers.schemas.get(&table.name) else { continue };
            match karat_exec::propose(connections, table.pipeline, connection, path, schema).await {
                Ok(proposal) => {
                    answers.proposals.insert(table.name.clone(), proposal);
                }
                Err(error) => {
                    answers.failed.insert(table.name.clone(), error);
                }
            }
        }
        answers
    }
}

/// The lock as it should be, and how it differs. Entries of sources that were not asked, or did not answer, stay.
pub(crate) fn compare(project: &Examined, before: &Before, answers: &mut Answers, context: &Context) -> (LockDocument, IndexMap<String, LockedReport>) {
    // As the pipelines say it: what comes from the environment is not for a file that is committed.
    let (written, _) = karat_spec::parse(&project.sources, &Environment::Unresolved, &context.catalog);
    let origins = written.tables.iter().filter_map(|table| Some((&table.name, karat_plan::origin(table.bronze()?.from.as_ref()?))));
    let origins: BTreeMap<&TableName, _> = origins.collect();
    let mut document = LockDocument { version: VERSION, tables: before.document.tables.clone() };
    let mut reports = BTreeMap::new();
    let mut changed: BTreeMap<TableName, Vec<Change>> = BTreeMap::new();
    for (name, schema) in &answers.schemas {
        let Some(from) = origins.get(name) else { continue };
        let old = before.document.tables.get(&name.to_string());
        let new = karat_plan::capture(from.clone(), schema, old);
        let changes = old.map(|old| karat_plan::changes(old, &new)).unwrap_or_default();
        let status = match old {
            None => LockStatus::New,
            Some(_) if changes.is_empty() => LockStatus::Unchanged,
            Some(_) => LockStatus::Changed,
        };
        let notes = old.map(|old| notes(old, &new)).unwrap_or_default();
        let proposal = answers.proposals.remove(name).map(Into::into);
        reports.insert(name.to_string(), LockedReport { columns: Some(new.columns.len() as u64), notes, proposal, ..report(status) });
        changed.insert(name.clone(), changes);
        document.tables.insert(name.to_string(), new);
    }
    for (name, error) in &answers.failed {
        let failed = reports.entry(name.to_string()).or_insert_with(|| report(LockStatus::Failed));
        failed.error = Some(ErrorReport::from(error));
    }
    for name in before.document.tables.keys().filter(|name| !karat_plan::may_be_table(&project.spec, name)) {
        document.tables.shift_remove(name);
        reports.insert(name.clone(), report(LockStatus::Gone));
    }
    let reach = reach(project, before, &answers.schemas, &changed, context);
    for (name, changes) in changed {
        let Some(report) = reports.get_mut(&name.to_string()) else { continue };
        let told = |change: Change| {
            let reaches = change.column.as_deref().map(|column| reached(&reach, &name, column)).unwrap_or_default();
            ChangeReport { kind: change.kind, column: change.column, text: change.text, reaches }
        };
        report.changes = changes.into_iter().map(told).collect();
    }
    (document, reports.into_iter().collect())
}

fn report(status: LockStatus) -> LockedReport {
    LockedReport { status, columns: None, changes: Vec::new(), notes: Vec::new(), error: None, proposal: None }
}

fn notes(old: &LockedTable, new: &LockedTable) -> Vec<String> {
    let mut notes = Vec::new();
    if old.identity != new.identity {
        notes.push("this is another source than the one that was locked: exchanged, restored or created anew".to_owned());
    }
    let shown = |count: Option<u64>| count.map_or_else(|| "not known".to_owned(), karat_plan::render::count);
    if old.rows != new.rows {
        notes.push(format!("about {} rows, before {}", shown(new.rows), shown(old.rows)));
    }
    notes
}

/// Where columns of changed tables go, in Silver and Gold.
fn reach(project: &Examined, before: &Before, now: &Schemas, changed: &BTreeMap<TableName, Vec<Change>>, context: &Context) -> ColumnReach {
    let starts: BTreeSet<TableName> = changed.iter().filter(|(_, changes)| !changes.is_empty()).map(|(name, _)| name.clone()).collect();
    if starts.is_empty() {
        return ColumnReach::default();
    }
    // With columns that are gone beside those that are new, SQL that reads either can be followed.
    let mut schemas = before.schemas.clone();
    for (name, schema) in now {
        let known = schemas.entry(name.clone()).or_insert_with(|| schema.clone());
        let new: Vec<_> = schema.columns.iter().filter(|column| known.column(&column.name).is_none()).cloned().collect();
        known.columns.extend(new);
    }
    let columns = karat_plan::known_copies(&project.spec, &context.catalog, &schemas).columns;
    karat_sql::column_reach(&project.spec, &project.graph, &columns, &starts)
}

fn reached(reach: &ColumnReach, table: &TableName, column: &str) -> Vec<ReachReport> {
    reach.of(table, column).into_iter().map(|reached| ReachReport { table: reached.table.to_string(), columns: reached.columns }).collect()
}
