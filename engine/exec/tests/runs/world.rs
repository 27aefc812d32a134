//! A project in memory: one source, one lake, one state file, and plans for them.

use arrow::array::{Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::DateTime;
use indexmap::IndexMap;
use karat_diagnostics::{SourceFile, SourceMap, Span};
use karat_exec::{Connections, Event, Home, Observer, RetryPolicy, RunOptions, RunReport, Services, run};
use karat_lake::{LakeTable, LakeTables, Scannable, memory_table};
use karat_plan::{CheckWork, CopyWork, Guarantee, GuardWork, RunPlan, StageKind, StageWork, TablePlan, TargetPlan, TransformWork};
use karat_plugin_api::{ColumnChoice, ConnectorError, CursorExpr, ErrorKind, ExtraColumns, FileLayout, Sink, Source, SourceObject, Staged, TableLayout, TargetObject};
use karat_spec::SqlText;
use karat_spec::model::{Check, ChunkRows, Count, Deletes, LoadMode, NullCursor, OnFail, SchemaChanges, Strategy, TableName, Window};
use karat_sql::{SqlEngine, SqlOptions};
use karat_state::{Owner, StateStore};
use karat_testkit::{Faults, FaultySink, FaultySource, ManualClock, MemorySink, MemorySource, sorted_row_texts};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Everything a run touches. Faults can be exchanged between runs.
pub(crate) struct World {
    pub(crate) source: Arc<MemorySource>,
    pub(crate) sink: MemorySink,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) folder: TempDir,
    pub(crate) events: Arc<Events>,
    sql: SqlEngine,
    runs: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Events(pub(crate) Mutex<Vec<Event>>);

impl Observer for Events {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::committing_every(4)
    }

    pub(crate) fn committing_every(rows: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let sql = SqlEngine::new(SqlOptions { memory_limit_bytes: 64 << 20, spill_dir: folder.path().join("spill"), parallelism: 1 }).unwrap();
        Self {
            source: Arc::new(MemorySource::new(schema(), "source-1")),
            sink: MemorySink::committing_every(rows),
            faults: Mutex::default(),
            folder,
            events: Arc::default(),
            sql,
            runs: AtomicU64::new(0),
        }
    }

    /// The same project, whose source ends windows without rows, too.
    pub(crate) fn with_empty_windows() -> Self {
        Self { source: Arc::new(MemorySource::new(schema(), "source-1").with_empty_windows()), ..Self::new() }
    }

    /// The same project, whose source has the primary key `id`.
    pub(crate) fn with_unique_ids(rows: u64) -> Self {
        Self { source: Arc::new(MemorySource::new(schema(), "source-1").with_primary_key(&["id"])), ..Self::committing_every(rows) }
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
    }

    pub(crate) async fn state(&self) -> StateStore {
        StateStore::open(&self.folder.path().join("state.db")).await.unwrap()
    }

    pub(crate) fn owner(&self) -> Owner {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        Owner { run_id: format!("run-{run}"), host: "here".into(), boot_id: "boot".into(), pid: 1, process_start: 1, since: DateTime::UNIX_EPOCH }
    }

    pub(crate) async fn services(&self, options: RunOptions) -> Services {
        let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
        let faults = self.faults.lock().unwrap().clone();
        let connections = MemoryConnections {
            source: Arc::new(FaultySource::new(self.source.clone(), faults.clone())),
            sink: Arc::new(FaultySink::new(Arc::new(self.sink.clone()), faults)),
            lake: MemoryLake(self.sink.clone()),
        };
        Services {
            connections: Arc::new(connections),
            state: self.state().await,
            sql: self.sql.clone(),
            clock: Arc::new(move || clock.now()),
            observer: self.events.clone(),
            owner: self.owner(),
            options,
        }
    }

    pub(crate) async fn run(&self, tables: &[TablePlan]) -> RunReport {
        self.run_with(tables, options()).await
    }

    pub(crate) async fn run_with(&self, tables: &[TablePlan], options: RunOptions) -> RunReport {
        run(plan(tables), self.services(options).await, CancellationToken::new()).await
    }

    pub(crate) async fn refresh(&self, tables: &[TablePlan]) -> RunReport {
        run(RunPlan { full_refresh: true, ..plan(tables) }, self.services(options()).await, CancellationToken::new()).await
    }

    /// Rows of a target, as sorted texts.
    pub(crate) fn rows(&self, target: &str) -> Vec<String> {
        self.sink.table(target, None).map(|table| sorted_row_texts(&[table.rows])).unwrap_or_default()
    }

    pub(crate) fn source_rows(&self) -> Vec<String> {
        sorted_row_texts(&[self.source.rows()])
    }
}

/// Retries without pauses.
pub(crate) fn options() -> RunOptions {
    RunOptions { retry: RetryPolicy { attempts: 6, base: Duration::ZERO, cap: Duration::ZERO }, ..RunOptions::default() }
}

struct MemoryConnections {
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    lake: MemoryLake,
}

impl Connections for MemoryConnections {
    fn source(&self, _pipeline: usize, name: &str) -> Result<Arc<dyn Source>, ConnectorError> {
        match name {
            "shop" => Ok(self.source.clone()),
            other => Err(ConnectorError::new(ErrorKind::Unreachable, format!("`{other}` does not answer"))),
        }
    }

    fn sink(&self, _pipeline: usize, _name: &str) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(self.sink.clone())
    }

    fn lake(&self, _pipeline: usize, _name: &str) -> Result<Option<Arc<dyn LakeTables>>, ConnectorError> {
        Ok(Some(Arc::new(self.lake.clone())))
    }

    fn home(&self, _table: &TableName) -> Option<Home> {
        Some(Home { pipeline: 0, connection: "lake".into(), table: None })
    }
}

#[derive(Clone)]
struct MemoryLake(MemorySink);

#[async_trait]
impl LakeTables for MemoryLake {
    async fn table(&self, target: &TargetObject, version: Option<&str>) -> Result<Option<LakeTable>, ConnectorError> {
        let Some(table) = self.0.table(&target.table, version) else { return Ok(None) };
        let rows = table.rows.num_rows() as u64;
        let provider = memory_table(table.schema.clone(), vec![table.rows])?;
        Ok(Some(LakeTable { version: table.version, schema: table.schema, rows, bytes: 0, files: 1, provider }))
    }

    async fn staged(&self, schema: SchemaRef, staged: &Staged) -> Result<Scannable, ConnectorError> {
        memory_table(schema, self.0.staged(staged))
    }
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("changed", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
    ]))
}

/// Rows `(id, changed)`, named after both; `changed` counts weeks since 1970-01-01, too, except that negative ones have no day.
pub(crate) fn rows(of: &[(i64, i64)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(of.iter().map(|row| row.0));
    let changed = Int64Array::from_iter_values(of.iter().map(|row| row.1));
    let names = StringArray::from_iter_values(of.iter().map(|(id, changed)| format!("n{id}.{changed}")));
    let days: Date32Array = of.iter().map(|(_, changed)| i32::try_from(changed * 7).ok().filter(|day| *day >= 0)).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(changed), Arc::new(names), Arc::new(days)]).unwrap()
}

/// Rows with ids and change times from `range`.
pub(crate) fn numbered(range: std::ops::Range<i64>) -> RecordBatch {
    rows(&range.map(|number| (number, number)).collect::<Vec<_>>())
}

pub(crate) fn copy_work(name: &str, strategy: Strategy, mode: LoadMode) -> CopyWork {
    let table = TableName::parse(name).unwrap();
    let cursor = match strategy {
        Strategy::Full => None,
        Strategy::Id => Some("id"),
        Strategy::Window => Some("day"),
        _ => Some("changed"),
    };
    let column = |field: &Arc<Field>| ColumnChoice { name: field.name().clone(), data_type: field.data_type().clone(), nullable: field.is_nullable() };
    CopyWork {
        table,
        pipeline: 0,
        connection: "shop".into(),
        object: SourceObject::Table("t".into()),
        extra_columns: ExtraColumns::Refuse,
        columns: schema().fields().iter().map(column).collect(),
        source_identity: Some("source-1".into()),
        source_columns: Vec::new(),
        source_changes: Vec::new(),
        strategy,
        cursor: cursor.map(|column| CursorExpr::Column(column.into())),
        tie: if strategy == Strategy::Hybrid { vec!["id".into()] } else { Vec::new() },
        lookback: None,
        settles_late_commits: false,
        window: (strategy == Strategy::Window).then_some((Window::Month, 1)),
        deletes: Deletes::Ignore,
        null_cursor: NullCursor::Error,
        chunk_rows: ChunkRows::Rows(Count(2)),
        chunk_bytes: 1 << 20,
        parallel: 1,
        key: vec!["id".into()],
        key_is_unique: false,
        mode,
        to_connection: "lake".into(),
        to_table: None,
        layout: FileLayout::default(),
        table_layout: TableLayout::default(),
        schema_changes: SchemaChanges::Evolve,
        guard: GuardWork { max_shrink: 0.5, max_delete: 0.2, allow_empty: false },
        checks: Vec::new(),
    }
}

pub(crate) fn copy(name: &str, strategy: Strategy, mode: LoadMode) -> TablePlan {
    copy_of(copy_work(name, strategy, mode))
}

pub(crate) fn copy_of(work: CopyWork) -> TablePlan {
    table_plan(StageKind::Copy, work.strategy.as_str(), work.mode, &[], StageWork::Copy(Box::new(work)))
}

pub(crate) fn transform_work(name: &str, sql: &str, inputs: &[&str]) -> TransformWork {
    TransformWork {
        table: TableName::parse(name).unwrap(),
        pipeline: 0,
        sql: SqlText::new(sql, Vec::new(), Span::start_of(SourceMap::default().add(SourceFile::new("p.yaml", "")))),
        inputs: inputs.iter().map(|name| TableName::parse(name).unwrap()).collect(),
        dedup: None,
        types: IndexMap::new(),
        key: Vec::new(),
        to_connection: "lake".into(),
        to_table: None,
        layout: FileLayout::default(),
        table_layout: TableLayout::default(),
        schema_changes: SchemaChanges::Evolve,
        guard: GuardWork { max_shrink: 0.5, max_delete: 0.2, allow_empty: false },
        checks: Vec::new(),
        code: sql.to_owned(),
    }
}

pub(crate) fn transform(name: &str, sql: &str, inputs: &[&str]) -> TablePlan {
    transform_of(transform_work(name, sql, inputs))
}

pub(crate) fn transform_of(work: TransformWork) -> TablePlan {
    let inputs: Vec<String> = work.inputs.iter().map(ToString::to_string).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    table_plan(StageKind::Transform, "recompute", LoadMode::Replace, &inputs, StageWork::Transform(Box::new(work)))
}

fn table_plan(stage: StageKind, strategy: &str, mode: LoadMode, depends_on: &[&str], work: StageWork) -> TablePlan {
    TablePlan {
        stage,
        pipeline: "market".into(),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        blocks: Vec::new(),
        strategy: strategy.into(),
        watermark: None,
        predicate: None,
        key: Vec::new(),
        load_mode: mode.as_str().into(),
        target: TargetPlan { connection: "lake".into(), plugin: "memory".into(), table: String::new() },
        guarantee: Guarantee::G1,
        guarantee_reason: String::new(),
        chunk: None,
        layout: None,
        estimated_rows: None,
        estimated_bytes: None,
        estimated_files: None,
        ddl: Vec::new(),
        checks: Vec::new(),
        schedule: None,
        reads: Vec::new(),
        defaults: IndexMap::new(),
        warnings: Vec::new(),
        work: Some(work),
    }
}

pub(crate) fn plan(tables: &[TablePlan]) -> RunPlan {
    let name = |plan: &TablePlan| match plan.work.as_ref().unwrap() {
        StageWork::Copy(work) => work.table.to_string(),
        StageWork::Transform(work) => work.table.to_string(),
    };
    RunPlan { project: "p".into(), offline: false, full_refresh: false, waves: Vec::new(), tables: tables.iter().map(|plan| (name(plan), plan.clone())).collect() }
}

pub(crate) fn not_null(column: &str, on_fail: OnFail) -> CheckWork {
    let check = Check::NotNull { columns: vec![column.into()], name: None, r#where: None, on_fail: Some(on_fail), max_failed: None };
    CheckWork { name: format!("{column}_is_there"), check, sql: None }
}

/// Status of each table.
pub(crate) fn statuses(report: &RunReport) -> BTreeMap<String, &'static str> {
    report.tables.iter().map(|(name, table)| (name.clone(), table.status.as_str())).collect()
}
