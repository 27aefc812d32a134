//! A project with everything that can be said of it without a database: text, model, graph, findings.

use crate::arguments::Scope;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::project::{self, Project};
use arrow::datatypes::SchemaRef;
use indexmap::IndexMap;
use karat_diagnostics::{Diagnostic, FileId, Severity, Span, Summary};
use karat_graph::{CheckedGraph, TableGraph, TableIndex};
use karat_plan::{RunPlan, Schemas, StageWork};
use karat_plugin_api::ErrorKind;
use karat_spec::model::{StateSettings, TableName};
use karat_spec::{Catalog, Environment, ProjectSpec, SourceSet, TableSpec};
use std::collections::{BTreeMap, BTreeSet};

/// A project with everything that can be said of it without a database.
pub(crate) struct Examined {
    pub(crate) sources: SourceSet,
    pub(crate) spec: ProjectSpec,
    pub(crate) graph: TableGraph,
    /// What `karat.lock` says of sources; nothing where they are asked themselves.
    pub(crate) locked: Schemas,
    /// Of all files, in no particular order.
    findings: Vec<Diagnostic>,
    /// The pipeline files that the user chose.
    chosen: BTreeSet<FileId>,
}

/// What a command may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Files of the project only: variables of the environment need not be set, and sources are what `karat.lock` says.
    Offline,
    /// The environment, and whatever it leads to: sources speak for themselves.
    Online,
}

impl Sight {
    fn environment(self) -> Environment {
        match self {
            Self::Offline => Environment::Unresolved,
            Self::Online => Context::environment(),
        }
    }
}

/// Every project that the paths belong to, examined. Values from the environment are hidden from then on.
pub(crate) fn all(scope: &Scope, sight: Sight, context: &Context) -> Result<Vec<Examined>, CliError> {
    let projects = project::discover(&scope.paths, &context.folder)?;
    let examined: Vec<Examined> = projects.iter().map(|project| one(project, sight, context)).collect::<Result<_, _>>()?;
    // A selector has to match somewhere, not in every project.
    let mut failure = None;
    for project in &examined {
        match project.selected(scope) {
            Ok(tables) if tables.is_empty() && !scope.select.is_empty() => {}
            Ok(_) => return Ok(examined),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error),
        None if scope.select.is_empty() && scope.exclude.is_empty() => Ok(examined),
        None => Err(CliError::usage("no table of these paths is selected").with_help("`karat graph` shows all tables")),
    }
}

/// What is needed to open the state: files of the project, unless it is kept in a database.
pub(crate) fn state_sight(scope: &Scope, context: &Context) -> Result<Sight, CliError> {
    let is_shared = |sight: Sight| -> Result<bool, CliError> { Ok(all(scope, sight, context)?.iter().any(|project| matches!(project.spec.state, StateSettings::Postgres { .. }))) };
    if !is_shared(Sight::Offline)? {
        return Ok(Sight::Offline);
    }
    if is_shared(Sight::Online)? {
        return Ok(Sight::Online);
    }
    Err(CliError::failed(ErrorKind::BadConfiguration, "the address of the state database needs a variable of the environment that is not set")
        .with_help("set the variables that `state.url` names"))
}

/// The only project that the paths belong to.
pub(crate) fn single(scope: &Scope, sight: Sight, context: &Context, what: &str) -> Result<Examined, CliError> {
    let mut all = all(scope, sight, context)?;
    match (all.pop(), all.len()) {
        (Some(only), 0) => Ok(only),
        (_, others) => Err(CliError::usage(format!("{what}, and these paths belong to {} projects", others + 1)).with_help("name one of them")),
    }
}

fn one(project: &Project, sight: Sight, context: &Context) -> Result<Examined, CliError> {
    let (mut sources, mut findings) = project::load(project, &context.folder)?;
    let (spec, more) = karat_spec::parse(&sources, &sight.environment(), &context.catalog);
    context.printer.hide(&spec.secrets.0);
    findings.extend(more);
    let (graph, more) = karat_graph::build(&spec);
    findings.extend(more);
    let levels_elsewhere: Vec<&str> = karat_plan::explanations().map(|page| page.code).collect();
    findings.extend(karat_lint::run(&spec, &graph, &context.catalog, &levels_elsewhere));
    let locked = match sight {
        Sight::Offline => locked(&mut sources, &spec, context, &mut findings),
        Sight::Online => Schemas::new(),
    };
    let copies = karat_plan::known_copies(&spec, &context.catalog, &locked);
    findings.extend(copies.findings);
    findings.extend(karat_sql::check_project(&spec, &graph, &copies.columns));
    let names: BTreeSet<String> = project.chosen.iter().map(|path| project::shown(path, &context.folder)).collect();
    let chosen = sources.map.iter().filter(|(_, file)| names.contains(file.path())).map(|(id, _)| id).collect();
    Ok(Examined { sources, spec, graph, locked, findings, chosen })
}

/// What `karat.lock` says of sources, and what is to be said of it. Of a lock that cannot be used, nothing follows.
fn locked(sources: &mut SourceSet, spec: &ProjectSpec, context: &Context, findings: &mut Vec<Diagnostic>) -> Schemas {
    let mut found = project::load_lock(sources, &context.folder);
    let (lock, more) = karat_spec::read_lock(sources);
    found.extend(more);
    let is_usable = found.is_empty();
    findings.extend(found);
    if !is_usable {
        return Schemas::new();
    }
    let known = karat_plan::locked_sources(spec, &context.catalog, lock.as_ref());
    findings.extend(known.findings);
    known.schemas
}

impl Examined {
    /// The tables of the chosen files that the selectors match; possibly none.
    pub(crate) fn selected(&self, scope: &Scope) -> Result<BTreeSet<TableIndex>, CliError> {
        let matched = karat_graph::select::select(&self.spec, &self.graph, &scope.select, &scope.exclude)?;
        Ok(matched.into_iter().filter(|table| self.chosen.contains(&self.file_of(*table))).collect())
    }

    /// What is to be shown of the findings when these tables are meant: those of other pipeline files, and of other tables when there is a selection, are left out.
    pub(crate) fn findings_about(&self, tables: &BTreeSet<TableIndex>, scope: &Scope) -> Vec<Diagnostic> {
        let pipelines: BTreeSet<FileId> = self.sources.pipeline_files.iter().copied().collect();
        let is_selection = !scope.select.is_empty() || !scope.exclude.is_empty();
        let is_about = |finding: &&Diagnostic| {
            let Some(span) = finding.primary.as_ref().map(|label| label.span) else { return true };
            let is_foreign = pipelines.contains(&span.file) && !self.chosen.contains(&span.file);
            !is_foreign && (!is_selection || self.owner(span).is_none_or(|owner| tables.contains(&owner)))
        };
        self.findings.iter().filter(is_about).cloned().collect()
    }

    /// The model and graph, if nothing that these tables need has a finding at error level.
    pub(crate) fn checked(&self, tables: &BTreeSet<TableIndex>) -> Result<CheckedGraph, Vec<Diagnostic>> {
        let needed: BTreeSet<TableIndex> = tables.iter().flat_map(|table| self.graph.all_upstream(*table)).chain(tables.iter().copied()).collect();
        let files: BTreeSet<FileId> = needed.iter().map(|table| self.file_of(*table)).chain(self.chosen.iter().copied()).collect();
        let pipelines: BTreeSet<FileId> = self.sources.pipeline_files.iter().copied().collect();
        let matters = |finding: &&Diagnostic| finding.primary.as_ref().is_none_or(|label| files.contains(&label.span.file) || !pipelines.contains(&label.span.file));
        let relevant: Vec<Diagnostic> = self.findings.iter().filter(matters).cloned().collect();
        CheckedGraph::try_from_parts(self.spec.clone(), self.graph.clone(), &relevant).map_err(|_| relevant)
    }

    /// What keeps a part of the YAML from being read: findings about the shape of the chosen files and of the project.
    pub(crate) fn unread(&self) -> Vec<Diagnostic> {
        let pipelines: BTreeSet<FileId> = self.sources.pipeline_files.iter().copied().collect();
        let matters = |file: FileId| self.chosen.contains(&file) || !pipelines.contains(&file);
        let is_unread = |finding: &&Diagnostic| finding.severity == Severity::Error && finding.code.0.starts_with('S');
        self.findings.iter().filter(is_unread).filter(|finding| finding.primary.as_ref().is_none_or(|label| matters(label.span.file))).cloned().collect()
    }

    /// True for CSV and NDJSON files whose columns nobody has declared.
    pub(crate) fn is_untyped(&self, table: &TableSpec, catalog: &Catalog) -> bool {
        karat_plan::reads_declared_columns(&self.spec, catalog, table) && table.types().is_none_or(IndexMap::is_empty)
    }

    /// What SQL gets wrong now that the columns of the sources are known: findings about these tables that were not there before.
    pub(crate) fn typed_findings(&self, plan: &RunPlan, tables: &BTreeSet<TableIndex>) -> Vec<Diagnostic> {
        let schemas: BTreeMap<TableName, SchemaRef> = plan.tables.values().filter_map(|table| read_columns(table.work.as_ref()?)).collect();
        let found = karat_sql::check_project(&self.spec, &self.graph, &schemas);
        let is_about = |finding: &Diagnostic| finding.primary.as_ref().and_then(|label| self.owner(label.span)).is_none_or(|owner| tables.contains(&owner));
        found.into_iter().filter(|finding| is_about(finding) && !self.findings.contains(finding)).collect()
    }

    /// Says that nothing was started, and why. Where stdout is for a program, people read it on stderr.
    pub(crate) fn refuse(&self, findings: &[Diagnostic], on_stdout: bool, context: &Context) -> Result<Exit, CliError> {
        let color = if on_stdout { context.printer.color() } else { karat_diagnostics::render::Color::Never };
        let text = karat_diagnostics::render::text(findings, &self.sources.map, &self.spec.secrets.0, color);
        if on_stdout {
            context.printer.data(&text)?;
        } else {
            context.printer.error(&CliError::usage(format!("findings at error level\n\n{}", text.trim_end())));
        }
        Ok(Exit::Findings)
    }

    /// Mentions warnings, which `karat lint` shows in full.
    pub(crate) fn tell_warnings(&self, tables: &BTreeSet<TableIndex>, scope: &Scope, context: &Context) {
        match Summary::of(&self.findings_about(tables, scope)).warnings {
            0 => {}
            1 => context.printer.say("note: there is 1 warning; `karat lint` shows it"),
            count => context.printer.say(&format!("note: there are {count} warnings; `karat lint` shows them")),
        }
    }

    fn file_of(&self, table: TableIndex) -> FileId {
        let table = &self.spec.tables[table.position()];
        self.spec.pipelines.get(table.pipeline).map_or(table.name_span.file, |pipeline| pipeline.file)
    }

    /// The table that a place belongs to.
    fn owner(&self, span: Span) -> Option<TableIndex> {
        let holds = |table: &TableSpec| {
            let body = table.spans.value("");
            let in_yaml = span.file == table.name_span.file && table.name_span.start <= span.start && span.end <= body.end.max(table.name_span.end);
            in_yaml || table.sql.as_ref().is_some_and(|sql| sql.span(0..1).file == span.file && span.file != table.name_span.file)
        };
        self.spec.tables.iter().position(holds).map(TableIndex::new)
    }
}

/// The columns that a copy reads, where they are known.
fn read_columns(work: &StageWork) -> Option<(TableName, SchemaRef)> {
    let StageWork::Copy(copy) = work else { return None };
    karat_plan::columns(copy).map(|columns| (copy.table.clone(), columns))
}
