//! A sink in memory that keeps every version, so that tests can look at what readers could have seen.

use crate::dated;
use crate::row_text::row_texts;
use arrow::array::{Array, BooleanArray, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectorError, DELETED_AT, ErrorKind, Generation, Load, LoadRequest, Position, Sink, Staged, StagedFile, StreamId, TargetObject,
    TargetState, WindowBounds, WriteMode, WriteProgress,
};
use karat_spec::model::{Deletes, TableName};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tables in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemorySink {
    tables: Arc<Mutex<Tables>>,
    rows_per_commit: Option<u64>,
}

#[derive(Default)]
struct Tables {
    /// All versions of each target, oldest first.
    versions: BTreeMap<String, Vec<MemoryTable>>,
    /// Rows that are durable and that no reader sees.
    staged: BTreeMap<PathBuf, RecordBatch>,
}

/// A table at one version.
#[derive(Debug, Clone)]
pub struct MemoryTable {
    /// The version.
    pub version: String,
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub rows: RecordBatch,
    /// The newest commit of each stream.
    pub records: BTreeMap<StreamId, CommitRecord>,
}

impl MemorySink {
    /// A sink that asks for a commit whenever it has taken this many rows.
    #[must_use]
    pub fn committing_every(rows: u64) -> Self {
        Self { rows_per_commit: Some(rows), ..Self::default() }
    }

    /// A table at its newest version, or at `version`.
    #[must_use]
    pub fn table(&self, target: &str, version: Option<&str>) -> Option<MemoryTable> {
        let tables = self.lock();
        let versions = tables.versions.get(target)?;
        match version {
            Some(version) => versions.iter().find(|table| table.version == version).cloned(),
            None => versions.last().cloned(),
        }
    }

    /// How many versions a target has had.
    #[must_use]
    pub fn version_count(&self, target: &str) -> usize {
        self.lock().versions.get(target).map_or(0, Vec::len)
    }

    /// Removes a target, as a person could.
    pub fn remove(&self, target: &str) {
        self.lock().versions.remove(target);
    }

    /// Takes back the newest version of a target, as a restored backup would.
    pub fn roll_back(&self, target: &str) {
        self.lock().versions.get_mut(target).and_then(Vec::pop);
    }

    /// Rows of staged files.
    #[must_use]
    pub fn staged(&self, staged: &Staged) -> Vec<RecordBatch> {
        let tables = self.lock();
        staged.files.iter().filter_map(|file| tables.staged.get(&file.path).cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn default_target(&self, table: &TableName) -> TargetObject {
        TargetObject { table: format!("{}/{}", table.layer().as_str(), table.name()) }
    }

    fn describe_target(&self, target: &TargetObject) -> String {
        format!("memory:{}", target.table)
    }

    async fn target_state(&self, stream: &StreamId, target: &TargetObject) -> Result<TargetState, ConnectorError> {
        Ok(match self.table(&target.table, None) {
            None => TargetState::Absent,
            Some(table) => {
                let record = table.records.get(stream).or_else(|| table.records.values().next()).cloned();
                TargetState::Present { record, version: table.version, rows: Some(table.rows.num_rows() as u64), schema: table.schema }
            }
        })
    }

    async fn begin(&self, request: LoadRequest) -> Result<Box<dyn Load>, ConnectorError> {
        let before = self.table(&request.target.table, None);
        Ok(Box::new(MemoryLoad { sink: self.clone(), request, before, taken: Vec::new(), staged: None, files: 0 }))
    }
}

struct MemoryLoad {
    sink: MemorySink,
    request: LoadRequest,
    /// The table when the load began: what earlier runs delivered.
    before: Option<MemoryTable>,
    taken: Vec<RecordBatch>,
    staged: Option<RecordBatch>,
    files: u64,
}

#[async_trait]
impl Load for MemoryLoad {
    async fn write(&mut self, batch: RecordBatch) -> Result<WriteProgress, ConnectorError> {
        self.taken.push(batch);
        let rows: u64 = self.taken.iter().map(|batch| batch.num_rows() as u64).sum();
        Ok(if self.sink.rows_per_commit.is_some_and(|most| rows >= most) { WriteProgress::ReadyToCommit } else { WriteProgress::Accepted })
    }

    async fn stage(&mut self) -> Result<Staged, ConnectorError> {
        let batches = std::mem::take(&mut self.taken);
        let rows = concat_batches(&self.request.schema, &batches).map_err(mismatch)?;
        self.files += 1;
        let path = PathBuf::from(format!("/memory/{}/{}-{}", self.request.target.table, self.request.attempt, self.files));
        self.sink.lock().staged.insert(path.clone(), rows.clone());
        let count = rows.num_rows() as u64;
        let size = rows.get_array_memory_size() as u64;
        self.staged = Some(rows);
        Ok(Staged { rows: count, files: vec![StagedFile { path, size, rows: count, partition_values: Vec::new() }] })
    }

    async fn commit(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError> {
        let Some(rows) = self.staged.take() else { return Err(ConnectorError::new(ErrorKind::Bug, "a commit without a stage before it")) };
        let mut tables = self.sink.lock();
        let versions = tables.versions.entry(self.request.target.table.clone()).or_default();
        let newest = versions.last();
        let known = newest.and_then(|table| table.records.get(&request.record.stream));
        if let (Some(known), Some(table)) = (known, newest)
            && known.attempt == request.record.attempt
        {
            return Ok(Committed { version: table.version.clone(), rows_written: known.rows, rows_removed: 0, files: 1, bytes: 0, was_already_applied: true });
        }
        if !follows(known, &request) {
            return Err(ConnectorError::new(ErrorKind::Conflict, format!("another commit to `{}` came first", self.request.target.table)));
        }
        let old = newest.filter(|_| self.request.mode != WriteMode::Replace).map(|table| in_columns(&table.rows, &self.request.schema)).transpose()?;
        let old = old.unwrap_or_else(|| RecordBatch::new_empty(self.request.schema.clone()));
        let removed_by_replace = newest.filter(|_| self.request.mode == WriteMode::Replace).map_or(0, |table| table.rows.num_rows() as u64);
        let Merged { kept, added, marked } = self.merge(&old, &rows, request.window.as_ref(), versions.len() + 1)?;
        let removed = (old.num_rows() - kept.num_rows()) as u64 + removed_by_replace;
        let mut records = newest.map(|table| table.records.clone()).unwrap_or_default();
        let written = added.num_rows() as u64;
        records.insert(request.record.stream.clone(), CommitRecord { rows: written, ..request.record });
        let version = (versions.len() + 1).to_string();
        let bytes = added.get_array_memory_size() as u64;
        let rows = concat_batches(&self.request.schema, [&kept, &marked, &added]).map_err(mismatch)?;
        versions.push(MemoryTable { version: version.clone(), schema: self.request.schema.clone(), rows, records });
        Ok(Committed { version, rows_written: written, rows_removed: removed, files: 1, bytes, was_already_applied: false })
    }
}

impl MemoryLoad {
    fn merge(&self, old: &RecordBatch, new: &RecordBatch, window: Option<&WindowBounds>, version: usize) -> Result<Merged, ConnectorError> {
        let (kept, added) = match &self.request.mode {
            WriteMode::Diff { key, deletes, max_delete } => return diff(old, new, &Diff { key, deletes: *deletes, max_delete: *max_delete, version }),
            WriteMode::Replace | WriteMode::Append { once_by: None } => (old.clone(), new.clone()),
            WriteMode::Window { column, key } => {
                let Some(bounds) = window else { return Err(ConnectorError::new(ErrorKind::Bug, "a window without bounds")) };
                let staged: HashSet<String> = if key.is_empty() { HashSet::new() } else { row_texts(new, key).into_iter().collect() };
                let keys = if key.is_empty() { vec![String::new(); old.num_rows()] } else { row_texts(old, key) };
                let cells = dated::cells(old, column)?;
                let kept = keep(old, cells.iter().zip(&keys).map(|(cell, key)| !contains(bounds, cell.as_ref().and_then(dated::number)) && !staged.contains(key)))?;
                (kept, new.clone())
            }
            WriteMode::Append { once_by: Some(identity) } if identity.len() == new.num_columns() => {
                // As a multiset: each row that was there before this load began takes away one of the same.
                let before = self.before.as_ref().map(|table| in_columns(&table.rows, &self.request.schema)).transpose()?;
                let mut there: HashMap<String, u64> = HashMap::new();
                for text in before.iter().flat_map(|rows| row_texts(rows, identity)) {
                    *there.entry(text).or_default() += 1;
                }
                let is_new = |text: String| match there.get_mut(&text).filter(|count| **count > 0) {
                    Some(count) => {
                        *count -= 1;
                        false
                    }
                    None => true,
                };
                (old.clone(), keep(new, row_texts(new, identity).into_iter().map(is_new))?)
            }
            WriteMode::Append { once_by: Some(identity) } => {
                let mut there: HashSet<String> = row_texts(old, identity).into_iter().collect();
                (old.clone(), keep(new, row_texts(new, identity).into_iter().map(|text| there.insert(text)))?)
            }
            WriteMode::Upsert { key, order_by, .. } => {
                let keys = row_texts(new, key);
                let ranks = if order_by.is_empty() { vec![String::new(); keys.len()] } else { row_texts(new, order_by) };
                let rank = |row: usize| ranks[row].parse::<i64>().map_or((0, ranks[row].clone()), |number| (number, String::new()));
                let mut winner: HashMap<&str, usize> = HashMap::new();
                for (row, key) in keys.iter().enumerate() {
                    let best = winner.entry(key).or_insert(row);
                    if rank(row) >= rank(*best) {
                        *best = row;
                    }
                }
                let kept = keep(old, row_texts(old, key).iter().map(|text| !winner.contains_key(text.as_str())))?;
                let added = keep(new, keys.iter().enumerate().map(|(row, key)| winner.get(key.as_str()) == Some(&row)))?;
                (kept, added)
            }
        };
        let marked = RecordBatch::new_empty(old.schema());
        Ok(Merged { kept, added, marked })
    }
}

/// What becomes of a table.
struct Merged {
    /// Rows that stay as they are.
    kept: RecordBatch,
    /// Rows that come.
    added: RecordBatch,
    /// Rows that stay, and say from now on that they are gone at the source.
    marked: RecordBatch,
}

fn contains(bounds: &WindowBounds, cell: Option<i64>) -> bool {
    let Some(cell) = cell else { return bounds.with_null };
    let limit = |bound: &Option<karat_plugin_api::CursorValue>| bound.as_ref().and_then(dated::number);
    limit(&bounds.from).is_none_or(|from| from <= cell) && limit(&bounds.until).is_none_or(|until| cell < until)
}

/// How a load is compared with the table.
struct Diff<'a> {
    key: &'a [String],
    deletes: Deletes,
    max_delete: f64,
    /// There is no clock in memory: rows are marked with the number of the version, as microseconds.
    version: usize,
}

fn diff(old: &RecordBatch, new: &RecordBatch, how: &Diff<'_>) -> Result<Merged, ConnectorError> {
    let (old_keys, new_keys) = (row_texts(old, how.key), row_texts(new, how.key));
    let there: HashMap<&str, String> = old_keys.iter().map(String::as_str).zip(row_texts(old, &[])).collect();
    let loaded: HashSet<&str> = new_keys.iter().map(String::as_str).collect();
    if loaded.len() < new_keys.len() {
        return Err(ConnectorError::new(ErrorKind::BadData, format!("two rows of the source have the same key ({})", how.key.join(", "))));
    }
    let is_changed: Vec<bool> = new_keys.iter().zip(row_texts(new, &[])).map(|(key, row)| there.get(key.as_str()) != Some(&row)).collect();
    let changed: HashSet<&str> = new_keys.iter().zip(&is_changed).filter(|(_, is_changed)| **is_changed).map(|(key, _)| key.as_str()).collect();
    let marks = old.column_by_name(DELETED_AT);
    let is_marked = |row: usize| marks.is_some_and(|marks| marks.is_valid(row));
    let present = (0..old.num_rows()).filter(|row| !is_marked(*row)).count();
    let has_vanished = |row: usize| !loaded.contains(old_keys[row].as_str());
    let vanished = (0..old.num_rows()).filter(|row| !is_marked(*row) && has_vanished(*row)).count();
    #[expect(clippy::cast_precision_loss, reason = "a test has no 2^52 rows")]
    if how.deletes != Deletes::Ignore && vanished as f64 > how.max_delete * present as f64 {
        return Err(ConnectorError::new(ErrorKind::Refused, format!("{vanished} of {present} rows are gone at the source")));
    }
    let goes = |row: usize| match how.deletes {
        Deletes::Ignore => false,
        Deletes::Soft => has_vanished(row) && !is_marked(row),
        Deletes::Hard => has_vanished(row),
    };
    let kept = keep(old, (0..old.num_rows()).map(|row| !goes(row) && !changed.contains(old_keys[row].as_str())))?;
    let gone = keep(old, (0..old.num_rows()).map(|row| how.deletes == Deletes::Soft && goes(row)))?;
    Ok(Merged { kept, added: keep(new, is_changed.into_iter())?, marked: mark(&gone, how.version)? })
}

fn mark(rows: &RecordBatch, version: usize) -> Result<RecordBatch, ConnectorError> {
    let Some((at, _)) = rows.schema().column_with_name(DELETED_AT) else { return Ok(rows.clone()) };
    let mut columns = rows.columns().to_vec();
    let time = i64::try_from(version).unwrap_or(i64::MAX);
    columns[at] = Arc::new(TimestampMicrosecondArray::from(vec![time; rows.num_rows()]).with_timezone("UTC"));
    RecordBatch::try_new(rows.schema(), columns).map_err(mismatch)
}

/// The compare-and-set of [`CommitRequest`].
fn follows(known: Option<&CommitRecord>, request: &CommitRequest) -> bool {
    let new = &request.record;
    let (seq, lo) = request.expects();
    match known {
        Some(known) if known.generation == new.generation => (known.seq, &known.hi) == (seq, lo),
        Some(known) => known.generation.0 + 1 == new.generation.0 && seq == 0 && *lo == Position::Start,
        None => new.generation >= Generation(1) && seq == 0 && *lo == Position::Start,
    }
}

/// Rows in the columns of `schema`, NULL where they have none.
fn in_columns(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ConnectorError> {
    let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), rows.num_rows()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).map_err(mismatch)
}

fn keep(rows: &RecordBatch, which: impl Iterator<Item = bool>) -> Result<RecordBatch, ConnectorError> {
    filter_record_batch(rows, &BooleanArray::from(which.collect::<Vec<_>>())).map_err(mismatch)
}

fn mismatch(error: arrow::error::ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::SchemaMismatch, "rows do not have the columns of their load").with_source(error)
}
