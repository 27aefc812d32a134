//! The plan of one Bronze table.

use crate::ends::{self, Filled, Names};
use crate::guarantee::{self, CopyFacts};
use crate::input::PlanInput;
use crate::judge::{self, Copied};
use crate::predicate::{self, ReadFacts};
use crate::{ChunkPlan, CopyWork, StageKind, StageWork, TablePlan, check, ddl, estimate, known, lock};
use karat_diagnostics::{Diagnostic, Severity};
use karat_plugin_api::{ColumnChoice, CursorExpr, DeclaredType, ExtraColumns, NativeTypes, SeesWriters, SourceObject, SourceSchema};
use karat_spec::model::{BronzeTable, ByteSize, Cdc, ChunkRows, Count, Deletes, LoadMode, NullCursor, SchemaChanges, Strategy, Window};
use karat_spec::{Catalog, PluginManifest, ProjectSpec, TableSpec};

const CHUNK_ROWS: u64 = 50_000;
const CHUNK_BYTES: u64 = 32 << 20;
const TEXT_FILES: [&str; 8] = [".csv", ".ndjson", ".jsonl", ".csv.gz", ".csv.zst", ".ndjson.gz", ".ndjson.zst", ".jsonl.gz"];

/// What the run does for `table`, and what is wrong with it now that its source is known.
pub(crate) fn plan(input: &PlanInput<'_>, table: &TableSpec, bronze: &BronzeTable, names: Names) -> (TablePlan, Vec<Diagnostic>) {
    let spec = input.checked.spec();
    let mut filled = Filled::new();
    let from_connection = bronze.from.as_ref().and_then(|from| from.connection.clone()).unwrap_or_default();
    let source = ends::manifest(input, table.pipeline, &from_connection);
    let schema = input.schemas.get(&table.name);
    let mut work = work(table, bronze, known(spec, input.catalog, table, bronze, schema), &mut filled);
    if let Some(state) = ends::stream(input, table).filter(|state| !state.source_columns.is_empty() && !work.source_columns.is_empty()) {
        work.source_changes = lock::column_changes(&state.source_columns, &work.source_columns);
    }
    let findings = schema.map(|schema| judge::copy(&Copied { spec, table, schema, work: &work })).unwrap_or_default();

    let target_can = ends::manifest(input, table.pipeline, &work.to_connection).map(|manifest| &manifest.capabilities);
    let state = ends::stream(input, table);
    let after = state.map(|state| &state.hi).filter(|_| !input.options.full_refresh);
    let is_files = matches!(work.object, SourceObject::Files(_));
    let lookback = work.lookback.map(karat_spec::model::Duration);
    let (level, reason) = guarantee::of_copy(&CopyFacts {
        strategy: work.strategy,
        mode: work.mode,
        lookback,
        is_files,
        refresh_last: work.window.map_or(1, |(_, refresh_last)| refresh_last),
        deletes: work.deletes,
        has_key: !work.key.is_empty(),
        may_have_key: !work.key.is_empty() || schema.is_none(),
        source: source.map(|source| &source.capabilities),
        sees_writers: schema.map_or(&SeesWriters::Unasked, |schema| &schema.sees_writers),
        target: target_can,
    });
    let read = ReadFacts { strategy: work.strategy, cursor: work.cursor.as_ref(), tie: &work.tie, lookback, null_cursor: work.null_cursor, window: work.window, after };
    let text = match &work.object {
        SourceObject::Files(glob) => predicate::of_files(glob, work.mode != LoadMode::Replace, after),
        SourceObject::Table(_) | SourceObject::Query(_) => predicate::of_rows(&read),
    };
    let is_incremental = !matches!(work.strategy, Strategy::Full | Strategy::Diff) || (is_files && work.mode != LoadMode::Replace);
    let layout = ends::layout_plan(&work.layout, target_can);
    // How much of a table lies in its newest windows nobody has counted.
    let counted = schema.filter(|_| work.strategy != Strategy::Window || after.is_none());
    let about = estimate::of_copy(counted, state.filter(|_| is_incremental && after.is_some()).map(|state| state.rows), layout.as_ref().map(|layout| layout.min_file_rows));
    let plan = TablePlan {
        stage: StageKind::Copy,
        pipeline: ends::pipeline(spec, table),
        depends_on: names.depends_on,
        blocks: names.blocks,
        strategy: work.strategy.as_str().to_owned(),
        watermark: after.map(ToString::to_string),
        predicate: Some(text),
        key: work.key.clone(),
        load_mode: work.mode.as_str().to_owned(),
        target: ends::target(input, table, &work.to_connection),
        guarantee: level,
        guarantee_reason: reason,
        chunk: Some(chunk_plan(&work)),
        layout,
        estimated_rows: about.rows,
        estimated_bytes: about.bytes,
        estimated_files: about.files,
        ddl: input.targets.get(&table.name).map(|target| ddl::changes(target.as_ref(), &known::written(&work), work.schema_changes)).unwrap_or_default(),
        checks: check::lines(&work.checks),
        schedule: ends::schedule(spec, table),
        reads: vec![reads(&work)],
        defaults: filled,
        warnings: warnings(input, table, &work, &findings),
        work: Some(StageWork::Copy(Box::new(work))),
    };
    (plan, findings)
}

/// How `table` is copied, with what is known of its source.
pub(crate) fn work_of(spec: &ProjectSpec, catalog: &Catalog, table: &TableSpec, bronze: &BronzeTable, schema: Option<&SourceSchema>) -> CopyWork {
    work(table, bronze, known(spec, catalog, table, bronze, schema), &mut Filled::new())
}

fn known<'a>(spec: &ProjectSpec, catalog: &'a Catalog, table: &TableSpec, bronze: &BronzeTable, schema: Option<&'a SourceSchema>) -> Known<'a> {
    let connection = bronze.from.as_ref().and_then(|from| from.connection.clone()).unwrap_or_default();
    let source = spec.connection(table.pipeline, &connection).and_then(|connection| catalog.plugins.get(&connection.plugin));
    Known { schema, connection, source, is_declared: reads_declared_columns(spec, catalog, table) }
}

/// What is known of the source.
struct Known<'a> {
    schema: Option<&'a SourceSchema>,
    connection: String,
    /// The plugin behind the connection.
    source: Option<&'a PluginManifest>,
    /// The columns are the declared ones.
    is_declared: bool,
}

fn work(table: &TableSpec, bronze: &BronzeTable, known: Known<'_>, filled: &mut Filled) -> CopyWork {
    let Known { schema, connection, source: known_source, is_declared } = known;
    let cdc = bronze.cdc.clone().unwrap_or_default();
    let chunk = bronze.chunk.clone().unwrap_or_default();
    let from = bronze.from.clone().unwrap_or_default();
    let object = match (from.table, from.query, from.path) {
        (_, Some(query), _) => SourceObject::Query(query),
        (_, None, Some(path)) => SourceObject::Files(path),
        (name, None, None) => SourceObject::Table(name.unwrap_or_default()),
    };
    let strategy = cdc.strategy.unwrap_or_else(|| {
        filled.insert("cdc.strategy".into(), Strategy::Full.as_str().into());
        Strategy::Full
    });
    let columns = if is_declared { declared_columns(bronze) } else { source_columns(bronze, schema) };
    let primary_key = schema.map(|schema| schema.primary_key.clone()).unwrap_or_default();
    let key = bronze.key.clone().unwrap_or_else(|| {
        if !primary_key.is_empty() {
            filled.insert("key".into(), format!("[{}]", primary_key.join(", ")));
        }
        primary_key.clone()
    });
    let may_have_key = !key.is_empty() || (schema.is_none() && matches!(object, SourceObject::Table(_)));
    let mode = bronze.load.as_ref().and_then(|load| load.mode).unwrap_or_else(|| {
        let mode = default_mode(strategy, may_have_key);
        filled.insert("load.mode".into(), mode.as_str().into());
        mode
    });
    let window = (strategy == Strategy::Window).then(|| window(&cdc, filled));
    let deletes = cdc.deletes.unwrap_or_else(|| {
        if strategy == Strategy::Diff {
            filled.insert("cdc.deletes".into(), "ignore".into());
        }
        Deletes::Ignore
    });
    let cursor = cdc.cursor.map(CursorExpr::Column).or(cdc.cursor_sql.map(CursorExpr::Sql));
    let is_cursor = |column: &String| matches!(&cursor, Some(CursorExpr::Column(cursor)) if cursor == column);
    let tie = if strategy == Strategy::Hybrid { key.iter().filter(|column| !is_cursor(column)).cloned().collect() } else { Vec::new() };
    let native = schema.zip(known_source).map(|(schema, source)| native_types(bronze, schema, &source.name));
    // Where rows are only added, a row that changed is there in several versions: its key is unique only if it is the cursor itself.
    let keeps_versions = mode == LoadMode::Append && !(strategy == Strategy::Id && key.iter().all(is_cursor));
    let table_layout = ends::table_layout(table, if keeps_versions { &[] } else { &key }, native);
    CopyWork {
        table: table.name.clone(),
        pipeline: table.pipeline,
        connection,
        object,
        source_columns: lock::chosen_columns(&columns, schema),
        source_changes: Vec::new(),
        columns,
        extra_columns: extra_columns(bronze),
        source_identity: schema.map(|schema| schema.identity.clone()),
        strategy,
        cursor,
        tie,
        lookback: cdc.lookback.map(|lookback| lookback.0),
        settles_late_commits: known_source.is_some_and(|source| source.capabilities.settles_late_commits),
        window,
        deletes,
        null_cursor: cdc.null_cursor.unwrap_or(NullCursor::Error),
        chunk_rows: chunk.rows.unwrap_or_else(|| {
            filled.insert("chunk.rows".into(), CHUNK_ROWS.to_string());
            ChunkRows::Rows(Count(CHUNK_ROWS))
        }),
        chunk_bytes: chunk.bytes.map_or_else(
            || {
                filled.insert("chunk.bytes".into(), ByteSize(CHUNK_BYTES).to_string());
                CHUNK_BYTES
            },
            |bytes| bytes.0,
        ),
        parallel: chunk.parallel.map_or(1, |parallel| usize::try_from(parallel.0).unwrap_or(usize::MAX).max(1)),
        key_is_unique: !primary_key.is_empty() && primary_key.iter().all(|column| key.contains(column)),
        key,
        mode,
        to_connection: ends::target_connection(table, filled),
        to_table: bronze.to.as_ref().and_then(|to| to.table.clone()),
        layout: ends::layout(table),
        table_layout,
        schema_changes: bronze.schema_changes.unwrap_or(SchemaChanges::Evolve),
        guard: ends::guard(table),
        checks: check::work(table),
    }
}

/// What a window spans, and how many of the newest are read again.
fn window(cdc: &Cdc, filled: &mut Filled) -> (Window, u64) {
    let unit = cdc.window.unwrap_or_else(|| {
        filled.insert("cdc.window".into(), "month".into());
        Window::Month
    });
    let refresh_last = cdc.refresh_last.unwrap_or_else(|| {
        filled.insert("cdc.refresh_last".into(), "1".into());
        Count(1)
    });
    (unit, refresh_last.0.max(1))
}

/// Whoever chose columns, or asked that new ones are left out, knows that there are others.
fn extra_columns(bronze: &BronzeTable) -> ExtraColumns {
    let is_choice = bronze.select.is_some() || bronze.exclude.is_some() || bronze.schema_changes == Some(SchemaChanges::IgnoreNewColumns);
    if is_choice { ExtraColumns::Ignore } else { ExtraColumns::Refuse }
}

/// What `PRODUCT` says follows from the strategy.
fn default_mode(strategy: Strategy, may_have_key: bool) -> LoadMode {
    match strategy {
        Strategy::Full => LoadMode::Replace,
        Strategy::Id => LoadMode::Append,
        Strategy::Window => LoadMode::Window,
        Strategy::Timestamp | Strategy::Hybrid | Strategy::Diff | Strategy::Log if may_have_key => LoadMode::Upsert,
        Strategy::Timestamp | Strategy::Hybrid | Strategy::Diff | Strategy::Log => LoadMode::Append,
    }
}

/// True for CSV and NDJSON, where `types` is the whole schema.
#[must_use]
pub fn reads_declared_columns(spec: &ProjectSpec, catalog: &Catalog, table: &TableSpec) -> bool {
    let Some(from) = table.bronze().and_then(|bronze| bronze.from.as_ref()) else { return false };
    let connection = from.connection.as_deref().and_then(|name| spec.connection(table.pipeline, name));
    let source = connection.and_then(|connection| catalog.plugins.get(&connection.plugin));
    let (Some(connection), Some(source), Some(path)) = (connection, source, &from.path) else { return false };
    match connection.settings.get("format").and_then(|format| format.as_str()) {
        Some(format) => matches!(format, "csv" | "ndjson"),
        None => source.capabilities.declared_types_only || TEXT_FILES.iter().any(|ending| path.ends_with(ending)),
    }
}

fn declared_columns(bronze: &BronzeTable) -> Vec<ColumnChoice> {
    let all = bronze.types.iter().flatten().filter_map(|(name, written)| {
        let data_type = DeclaredType::parse(written).ok()?.data_type().clone();
        Some(ColumnChoice { name: name.clone(), data_type, nullable: true })
    });
    chosen(bronze, all.collect())
}

fn source_columns(bronze: &BronzeTable, schema: Option<&SourceSchema>) -> Vec<ColumnChoice> {
    let all = schema.iter().flat_map(|schema| &schema.columns).map(|column| {
        let written = bronze.types.as_ref().and_then(|types| types.get(&column.name)).and_then(|written| DeclaredType::parse(written).ok());
        let data_type = written.map_or_else(|| column.data_type.clone(), |declared| declared.data_type().clone());
        ColumnChoice { name: column.name.clone(), data_type, nullable: column.nullable }
    });
    chosen(bronze, all.collect())
}

/// What the source declares, but for columns whose type the user chose.
fn native_types(bronze: &BronzeTable, schema: &SourceSchema, plugin: &str) -> NativeTypes {
    let is_chosen = |name: &String| bronze.types.as_ref().is_some_and(|types| types.contains_key(name));
    let columns = schema.columns.iter().filter(|column| !is_chosen(&column.name)).map(|column| (column.name.clone(), column.declared.clone())).collect();
    NativeTypes { system: plugin.to_owned(), columns }
}

/// `select` in its own order, without `exclude`.
fn chosen(bronze: &BronzeTable, all: Vec<ColumnChoice>) -> Vec<ColumnChoice> {
    let picked = match &bronze.select {
        Some(names) => names.iter().filter_map(|name| all.iter().find(|column| column.name == *name).cloned()).collect(),
        None => all,
    };
    let is_excluded = |column: &ColumnChoice| bronze.exclude.iter().flatten().any(|name| *name == column.name);
    picked.into_iter().filter(|column| !is_excluded(column)).collect()
}

fn chunk_plan(work: &CopyWork) -> ChunkPlan {
    let rows = match work.chunk_rows {
        ChunkRows::Auto => "auto".to_owned(),
        ChunkRows::Rows(rows) => rows.to_string(),
    };
    ChunkPlan { rows, bytes: Some(ByteSize(work.chunk_bytes).to_string()), parallel: work.parallel as u64 }
}

fn reads(work: &CopyWork) -> String {
    match &work.object {
        SourceObject::Table(name) => format!("{}: {name}", work.connection),
        SourceObject::Query(_) => format!("{}: a query", work.connection),
        SourceObject::Files(glob) => format!("{}: {glob}", work.connection),
    }
}

fn warnings(input: &PlanInput<'_>, table: &TableSpec, work: &CopyWork, findings: &[Diagnostic]) -> Vec<String> {
    let mut lines: Vec<String> = findings.iter().filter(|finding| finding.severity == Severity::Warning).map(|finding| finding.message.clone()).collect();
    let before = ends::stream(input, table);
    if input.options.full_refresh && before.is_some() {
        lines.push("full refresh: what was delivered before is replaced".into());
    }
    let identity = before.and_then(|state| state.source_identity.as_ref());
    if let (Some(before), Some(now)) = (identity, &work.source_identity)
        && before != now
    {
        lines.push("the source is not the one that was read last time: it was exchanged or restored".into());
    }
    lines.extend(work.source_changes.iter().map(|change| format!("since the last run, at the source: {}", change.text)));
    lines
}
