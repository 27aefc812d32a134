//! A source in memory: one table, whose keyset columns are 64-bit whole numbers, and whose windows are of dates or microseconds.

use crate::memory_windows::Windows;
use crate::row_text::row_texts;
use arrow::array::{Array, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt, stream};
use karat_plugin_api::{
    BatchStream, Column, ConnectorError, CursorExpr, CursorValue, ErrorKind, Position, ReadRequest, ReadStrategy, SeesWriters, Source, SourceBatch, SourceObject, SourceRead,
    SourceSchema, Tail,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// One table in memory. Rows can be added between reads; each read sees one snapshot.
///
/// `full` and keyset reads work as the contract says: with tie columns exactly by tuple, without them by reading the group at the watermark again
/// when it changed. Files are not its business, and neither are parallel readers.
pub struct MemorySource {
    schema: SchemaRef,
    identity: String,
    primary_key: Vec<String>,
    now: Option<CursorValue>,
    walks: bool,
    rows: Mutex<RecordBatch>,
}

impl MemorySource {
    /// An empty table.
    #[must_use]
    pub fn new(schema: SchemaRef, identity: &str) -> Self {
        Self { rows: Mutex::new(RecordBatch::new_empty(schema.clone())), schema, identity: identity.to_owned(), primary_key: Vec::new(), now: None, walks: false }
    }

    /// The same table at a source that ends windows without rows, too, one by one.
    #[must_use]
    pub fn with_empty_windows(mut self) -> Self {
        self.walks = true;
        self
    }

    /// The same table at a source whose clock says `now`; windows behind that of `now` do not move the position. Without it all time is past.
    #[must_use]
    pub fn with_clock(mut self, now: CursorValue) -> Self {
        self.now = Some(now);
        self
    }

    /// The same table with a primary key; whoever adds rows keeps it unique.
    #[must_use]
    pub fn with_primary_key(mut self, columns: &[&str]) -> Self {
        self.primary_key = columns.iter().map(|column| (*column).to_owned()).collect();
        self
    }

    /// Adds rows.
    ///
    /// # Panics
    /// When the columns are not the table's.
    pub fn insert(&self, rows: &RecordBatch) {
        let mut table = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        *table = concat_batches(&self.schema, [&*table, rows]).expect("the columns are the table's");
    }

    /// Replaces all rows.
    pub fn replace(&self, rows: RecordBatch) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> RecordBatch {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn describe(&self, _object: &SourceObject) -> Result<SourceSchema, ConnectorError> {
        let columns = self.schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            declared: field.data_type().to_string(),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
        });
        Ok(SourceSchema {
            columns: columns.collect(),
            primary_key: self.primary_key.clone(),
            indexes: Vec::new(),
            estimated_rows: Some(self.rows().num_rows() as u64),
            estimated_bytes: None,
            identity: self.identity.clone(),
            sees_writers: SeesWriters::Unasked,
        })
    }

    async fn read(&self, request: ReadRequest) -> Result<Box<dyn SourceRead>, ConnectorError> {
        let names: Vec<usize> = request.columns.iter().map(|column| index_of(&self.schema, &column.name)).collect::<Result<_, _>>()?;
        let snapshot = self.rows();
        let steps = match &request.strategy {
            ReadStrategy::Full => full(&snapshot, &names, &request)?,
            ReadStrategy::Keyset { cursor: CursorExpr::Column(cursor), tie, after, .. } => {
                keyset(&snapshot, &names, &request, &Order { cursor, tie, is_unique: !tie.is_empty() || self.primary_key == [cursor.clone()] }, after)?
            }
            ReadStrategy::Windows { cursor, unit, after, refresh_last, null_cursor } => {
                let windows = Windows {
                    rows: &snapshot,
                    columns: &names,
                    batch_rows: request.batch_rows,
                    cursor,
                    unit: *unit,
                    after,
                    refresh_last: *refresh_last,
                    null_cursor: *null_cursor,
                    now: self.now.as_ref(),
                    walks: self.walks,
                };
                windows.read()?
            }
            ReadStrategy::Keyset { .. } | ReadStrategy::NewFiles { .. } => {
                return Err(ConnectorError::new(ErrorKind::Unsupported, "a table in memory has neither expressions nor files"));
            }
        };
        Ok(Box::new(MemoryRead { schema: std::sync::Arc::new(self.schema.project(&names).map_err(bug)?), steps }))
    }
}

struct MemoryRead {
    schema: SchemaRef,
    steps: Vec<SourceBatch>,
}

impl SourceRead for MemoryRead {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn into_stream(self: Box<Self>) -> BatchStream {
        stream::iter(self.steps.into_iter().map(Ok)).boxed()
    }
}

fn full(rows: &RecordBatch, columns: &[usize], request: &ReadRequest) -> Result<Vec<SourceBatch>, ConnectorError> {
    let rows = rows.project(columns).map_err(bug)?;
    let mut steps = Vec::new();
    let mut at = 0;
    while at < rows.num_rows() {
        let length = request.batch_rows.min(rows.num_rows() - at);
        steps.push(SourceBatch::Rows { batch: rows.slice(at, length), position: None });
        at += length;
    }
    let count = rows.num_rows() as u64;
    let position = Position::Snapshot { rows: count, digest: Some(digest(&rows)) };
    steps.push(SourceBatch::End { rows: count, position, future_rows: 0, skipped_rows: 0 });
    Ok(steps)
}

/// What rows are ordered by; a unique order resumes exactly.
struct Order<'a> {
    cursor: &'a str,
    tie: &'a [String],
    is_unique: bool,
}

fn keyset(rows: &RecordBatch, columns: &[usize], request: &ReadRequest, order: &Order<'_>, after: &Position) -> Result<Vec<SourceBatch>, ConnectorError> {
    let is_unique = order.is_unique;
    let order: Vec<&Int64Array> = std::iter::once(order.cursor).chain(order.tie.iter().map(String::as_str)).map(|name| numbers(rows, name)).collect::<Result<_, _>>()?;
    let tuple = |row: usize| -> Vec<i64> { order.iter().map(|column| column.value(row)).collect() };
    let mut sorted: Vec<usize> = (0..rows.num_rows()).collect();
    sorted.sort_by_key(|row| tuple(*row));
    let pick = |rows_of: &[usize]| -> Result<RecordBatch, ConnectorError> {
        let indices = UInt64Array::from_iter_values(rows_of.iter().map(|row| *row as u64));
        take_record_batch(rows, &indices).and_then(|picked| picked.project(columns)).map_err(bug)
    };
    let (start, tail) = match after {
        Position::Start => (None, None),
        Position::Cursor { values, tail, .. } => (Some(values.iter().map(number).collect::<Result<Vec<i64>, _>>()?), tail.clone()),
        other => return Err(ConnectorError::new(ErrorKind::Bug, format!("a keyset read cannot start at {other}"))),
    };
    let group_of = |tuple_of: &[i64]| -> Vec<usize> { sorted.iter().copied().filter(|row| tuple(*row) == tuple_of).collect() };
    let mut skipped = 0;
    let mut wanted = sorted.clone();
    if let Some(start) = &start {
        let boundary = group_of(start);
        let is_known = is_unique || Some(tail_of(&pick(&boundary)?)) == tail;
        skipped = if is_known { boundary.len() as u64 } else { 0 };
        wanted.retain(|row| tuple(*row) > *start || (!is_known && tuple(*row) == *start));
    }
    let mut steps = Vec::new();
    for (number, chunk) in wanted.chunks(request.batch_rows.max(1)).enumerate() {
        let last = chunk.last().map(|row| tuple(*row)).unwrap_or_default();
        let next = wanted.get((number + 1) * request.batch_rows.max(1)).map(|row| tuple(*row));
        // Without tie columns a position inside a tie group would lose the rest of the group.
        let position = (next.as_ref() != Some(&last)).then(|| position(&last, None));
        steps.push(SourceBatch::Rows { batch: pick(chunk)?, position });
    }
    let end = match wanted.last().map(|row| tuple(*row)).or(start) {
        Some(last) if !is_unique => position(&last, Some(tail_of(&pick(&group_of(&last))?))),
        Some(last) => position(&last, None),
        None => Position::Start,
    };
    steps.push(SourceBatch::End { rows: wanted.len() as u64, position: end, future_rows: 0, skipped_rows: skipped });
    Ok(steps)
}

fn position(tuple: &[i64], tail: Option<Tail>) -> Position {
    Position::Cursor { values: tuple.iter().map(|value| CursorValue::Int(*value)).collect(), tail, unsettled: None }
}

fn number(value: &CursorValue) -> Result<i64, ConnectorError> {
    match value {
        CursorValue::Int(value) => Ok(*value),
        other => Err(ConnectorError::new(ErrorKind::Bug, format!("a table in memory never stood at {other}"))),
    }
}

fn numbers<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, ConnectorError> {
    let column = rows.column(index_of(&rows.schema(), name)?);
    column.as_any().downcast_ref().ok_or_else(|| ConnectorError::new(ErrorKind::Unsupported, format!("cursor and key `{name}` of a table in memory must be bigint")))
}

fn index_of(schema: &SchemaRef, name: &str) -> Result<usize, ConnectorError> {
    schema.index_of(name).map_err(|error| ConnectorError::new(ErrorKind::SchemaMismatch, format!("there is no column `{name}`")).with_source(error))
}

fn tail_of(group: &RecordBatch) -> Tail {
    Tail { rows: group.num_rows() as u64, digest: digest(group) }
}

/// Independent of the order of rows.
fn digest(rows: &RecordBatch) -> String {
    let hash = |text: &String| {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish()
    };
    let sum = row_texts(rows, &[]).iter().map(hash).fold(0_u64, u64::wrapping_add);
    format!("{sum:016x}")
}

pub(crate) fn bug(error: arrow::error::ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Bug, "a table in memory cannot be read").with_source(error)
}
