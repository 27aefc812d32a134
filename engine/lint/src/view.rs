//! What rules see: the model with what follows from it, so that no rule works out a default by itself.

use karat_diagnostics::{Code, Diagnostic, Severity, Span};
use karat_graph::{Reference, SqlFacts, TableGraph, TableIndex};
use karat_spec::model::{BronzeTable, Cdc, Check, ConnectionSpec, From, LoadMode, PipelineSpec, SqlTable, Strategy, TableName};
use karat_spec::{Capabilities, Catalog, PluginManifest, ProjectSpec, TableSpec};

/// The connection that every project has.
pub(crate) const WAREHOUSE: &str = "warehouse";

/// Files that carry no types, by the end of their names.
const TEXT_FILES: [&str; 8] = [".csv", ".ndjson", ".jsonl", ".csv.gz", ".csv.zst", ".ndjson.gz", ".ndjson.zst", ".jsonl.gz"];

/// The whole project with its graph.
#[derive(Clone, Copy)]
pub(crate) struct ProjectView<'a> {
    pub(crate) spec: &'a ProjectSpec,
    pub(crate) graph: &'a TableGraph,
    pub(crate) catalog: &'a Catalog,
    /// Codes that are judged elsewhere, and whose level can be set.
    pub(crate) levels_elsewhere: &'a [&'a str],
}

/// One pipeline.
#[derive(Clone, Copy)]
pub(crate) struct PipelineView<'a> {
    pub(crate) pipeline: &'a PipelineSpec,
}

/// One table with its connections and their plugins.
pub(crate) struct TableView<'a> {
    pub(crate) table: &'a TableSpec,
    pub(crate) project: ProjectView<'a>,
    pub(crate) index: TableIndex,
    pub(crate) source: Option<End<'a>>,
    pub(crate) target: Option<End<'a>>,
}

/// A connection at one end of a table, with its plugin's manifest.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) connection: &'a ConnectionSpec,
    pub(crate) manifest: &'a PluginManifest,
}

impl<'a> ProjectView<'a> {
    pub(crate) fn tables(self) -> impl Iterator<Item = TableView<'a>> {
        self.graph.tables().zip(&self.spec.tables).map(move |(index, table)| {
            let source = table.bronze().and_then(|bronze| bronze.from.as_ref()).and_then(|from| from.connection.as_deref());
            let target = table.to().and_then(|to| to.connection.as_deref()).unwrap_or(WAREHOUSE);
            let end = |name| self.end(table.pipeline, name);
            TableView { table, project: self, index, source: source.and_then(end), target: end(target) }
        })
    }

    pub(crate) fn pipelines(self) -> impl Iterator<Item = PipelineView<'a>> {
        self.spec.pipelines.iter().map(|pipeline| PipelineView { pipeline })
    }

    /// Every connection with the pipeline that defines it, without the built-in one.
    pub(crate) fn connections(self) -> impl Iterator<Item = (Option<usize>, &'a ConnectionSpec)> {
        let own = self.spec.pipelines.iter().enumerate().flat_map(|(index, pipeline)| pipeline.connections.values().map(move |connection| (Some(index), connection)));
        self.spec.connections.values().map(|connection| (None, connection)).chain(own).filter(|(_, connection)| !connection.built_in)
    }

    fn end(self, pipeline: usize, name: &str) -> Option<End<'a>> {
        let connection = self.spec.connection(pipeline, name)?;
        let manifest = self.catalog.plugins.get(&connection.plugin)?;
        Some(End { connection, manifest })
    }
}

impl End<'_> {
    pub(crate) fn can(&self) -> &Capabilities {
        &self.manifest.capabilities
    }

    /// True when the plugin can be read at all.
    pub(crate) fn is_source(&self) -> bool {
        !self.can().source_strategies.is_empty()
    }

    /// True when the plugin can be written at all.
    pub(crate) fn is_sink(&self) -> bool {
        !self.can().load_modes.is_empty()
    }

    /// True when it reads files: what was read is known per file, not per row.
    pub(crate) fn reads_files(&self) -> bool {
        self.can().source_objects.iter().any(|object| object == "path")
    }
}

impl<'a> TableView<'a> {
    pub(crate) fn name(&self) -> &'a TableName {
        &self.table.name
    }

    /// The value at `pointer`.
    pub(crate) fn value(&self, pointer: &str) -> Span {
        self.table.spans.value(pointer)
    }

    /// The key at `pointer`.
    pub(crate) fn key(&self, pointer: &str) -> Span {
        self.table.spans.key(pointer)
    }

    /// True when the table itself writes the key at `pointer`; a default that does not suit every table is no fault of a table.
    pub(crate) fn writes(&self, pointer: &str) -> bool {
        let Some(pipeline) = self.project.spec.pipelines.get(self.table.pipeline) else { return false };
        let key = self.key(pointer);
        self.table.spans.contains(pointer) && key.file == pipeline.file && !is_in_defaults(pipeline, key)
    }

    pub(crate) fn bronze(&self) -> Option<&'a BronzeTable> {
        self.table.bronze()
    }

    pub(crate) fn transform(&self) -> Option<&'a SqlTable> {
        self.table.transform()
    }

    pub(crate) fn from(&self) -> Option<&'a From> {
        self.bronze()?.from.as_ref()
    }

    pub(crate) fn cdc(&self) -> Option<&'a Cdc> {
        self.bronze()?.cdc.as_ref()
    }

    /// True when a cursor is written.
    pub(crate) fn has_cursor(&self) -> bool {
        self.table.incomplete || self.cdc().is_some_and(|cdc| cdc.cursor.is_some() || cdc.cursor_sql.is_some())
    }

    /// What a Bronze table reads in each run, `full` by default; `None` when it is written but could not be read.
    pub(crate) fn strategy(&self) -> Option<Strategy> {
        match self.cdc().and_then(|cdc| cdc.strategy) {
            Some(strategy) => Some(strategy),
            None => (!self.is_unread("/cdc/strategy")).then_some(Strategy::Full),
        }
    }

    /// The load mode as written.
    pub(crate) fn written_mode(&self) -> Option<LoadMode> {
        self.table.load().and_then(|load| load.mode)
    }

    /// The load mode, written or by default; `None` when what decides could not be read.
    pub(crate) fn load_mode(&self) -> Option<LoadMode> {
        if let Some(mode) = self.written_mode() {
            return Some(mode);
        }
        if self.is_unread("/load/mode") {
            return None;
        }
        if self.table.bronze().is_none() {
            return Some(LoadMode::Replace);
        }
        Some(match self.strategy()? {
            Strategy::Full => LoadMode::Replace,
            Strategy::Window => LoadMode::Window,
            Strategy::Timestamp | Strategy::Hybrid | Strategy::Diff | Strategy::Log if self.may_have_key() => LoadMode::Upsert,
            Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Diff | Strategy::Log => LoadMode::Append,
        })
    }

    /// True when the text holds something at `pointer`, or may, that the model lacks.
    fn is_unread(&self, pointer: &str) -> bool {
        self.table.incomplete && self.table.spans.contains(pointer)
    }

    /// True when a key is written, or may be written in what could not be read.
    pub(crate) fn has_key(&self) -> bool {
        self.table.incomplete || self.table.key().is_some_and(|key| !key.is_empty())
    }

    /// True when a key is written, or the source table may have a primary key.
    pub(crate) fn may_have_key(&self) -> bool {
        self.has_key() || self.from().is_some_and(|from| from.table.is_some())
    }

    /// The checks with their JSON pointers.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (String, &'a Check)> {
        self.table.checks().into_iter().flatten().enumerate().map(|(index, check)| (format!("/checks/{index}"), check))
    }

    pub(crate) fn references(&self) -> &'a [Reference] {
        self.project.graph.references(self.index)
    }

    pub(crate) fn sql_facts(&self) -> Option<&'a SqlFacts> {
        self.project.graph.sql_facts(self.index)
    }

    /// True for CSV and NDJSON, where `types` is the whole schema.
    pub(crate) fn has_only_declared_types(&self) -> bool {
        let (Some(source), Some(path)) = (self.source, self.from().and_then(|from| from.path.as_deref())) else { return false };
        match source.connection.settings.get("format").and_then(|format| format.as_str()) {
            Some(format) => matches!(format, "csv" | "ndjson"),
            None => source.can().declared_types_only || TEXT_FILES.iter().any(|ending| path.ends_with(ending)),
        }
    }

    /// A default value may wait for the environment: a text with `${` in it says nothing yet.
    pub(crate) fn is_known(text: &str) -> bool {
        !text.contains("${")
    }
}

impl ProjectView<'_> {
    /// A finding at a value of `karat.yaml`, if its place is known.
    pub(crate) fn at(&self, pointer: &str, message: impl Into<String>) -> Diagnostic {
        if self.spec.spans.contains(pointer) {
            return crate::rule::at(self.spec.spans.value(pointer), message);
        }
        Diagnostic::global(Code(""), Severity::Error, message)
    }

    /// A finding at a key of `karat.yaml`, if its place is known.
    pub(crate) fn at_key(&self, pointer: &str, message: impl Into<String>) -> Diagnostic {
        if self.spec.spans.contains(pointer) {
            return crate::rule::at(self.spec.spans.key(pointer), message);
        }
        Diagnostic::global(Code(""), Severity::Error, message)
    }
}

/// True when `key` stands between the key `defaults` of the pipeline and the key after it.
fn is_in_defaults(pipeline: &PipelineSpec, key: Span) -> bool {
    if !pipeline.spans.contains("/defaults") {
        return false;
    }
    let start = pipeline.spans.key("/defaults").start;
    let sections = pipeline.spans.pointers().filter(|pointer| pointer.matches('/').count() == 1).map(|pointer| pipeline.spans.key(pointer).start);
    let end = sections.filter(|section| *section > start).min().unwrap_or(u32::MAX);
    (start..end).contains(&key.start)
}

/// A list of column names in a table.
pub(crate) struct ColumnList<'a> {
    pub(crate) pointer: String,
    pub(crate) columns: &'a [String],
    pub(crate) kind: ListKind,
}

/// What a list of columns asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// Columns of this table.
    Own,
    /// Which columns are taken.
    Choice,
    /// Columns of another table.
    Elsewhere,
}

/// Every list of columns that a table holds.
pub(crate) fn column_lists<'a>(table: &TableView<'a>) -> Vec<ColumnList<'a>> {
    let spec = table.table;
    let (bronze, layout) = (spec.bronze(), spec.layout());
    let mut lists = Vec::new();
    let mut add = |pointer: &str, columns: Option<&'a Vec<String>>, kind: ListKind| {
        lists.extend(columns.map(|columns| ColumnList { pointer: pointer.to_owned(), columns, kind }));
    };
    add("/key", spec.key(), ListKind::Own);
    add("/select", bronze.and_then(|bronze| bronze.select.as_ref()), ListKind::Choice);
    add("/exclude", bronze.and_then(|bronze| bronze.exclude.as_ref()), ListKind::Choice);
    add("/layout/sort_by", layout.and_then(|layout| layout.sort_by.as_ref()), ListKind::Own);
    add("/layout/bucket_by/columns", layout.and_then(|layout| layout.bucket_by.as_ref()).map(|buckets| &buckets.columns), ListKind::Own);
    add("/dedup/order_by", spec.dedup().map(|dedup| &dedup.order_by), ListKind::Own);
    for (pointer, check) in table.checks() {
        match check {
            Check::NotNull { columns, .. } | Check::Unique { columns, .. } | Check::ReconcilesWith { columns, .. } => {
                add(&format!("{pointer}/columns"), Some(columns), ListKind::Own)
            }
            Check::Relationship { columns, to_columns, .. } => {
                add(&format!("{pointer}/columns"), Some(columns), ListKind::Own);
                add(&format!("{pointer}/to_columns"), Some(to_columns), ListKind::Elsewhere);
            }
            _ => {}
        }
    }
    lists
}

/// `/layout/sort_by` as people read it: `layout.sort_by`, `checks[0].columns`.
pub(crate) fn dotted(pointer: &str) -> String {
    let mut out = String::new();
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    out
}
