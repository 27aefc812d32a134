//! Random windows and diffs over random tables leave exactly what a plain list of rows would hold, and count what they did.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use karat_delta::DELTA;
use karat_lake::{LakePlugin, LakeTables};
use karat_plugin_api::{
    CommitRecord, CommitRequest, ConnectContext, CursorValue, ErrorKind, FileLayout, Generation, LoadRequest, Plugin, Position, Sink, StreamId, TableLayout, TargetObject,
    WindowBounds, WriteMode,
};
use karat_spec::model::{Deletes, PartitionTransform};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;

/// A row: key, quarter of a day, text, and whether it is marked as deleted.
type Row = (Option<i64>, Option<i64>, Option<String>, bool);

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Row>),
    Window { rows: Vec<Row>, from: Option<i64>, until: Option<i64>, with_null: bool, is_keyed: bool },
    Diff { rows: Vec<Row>, deletes: Deletes, max_delete: f64 },
}

/// What a step is expected to do.
#[derive(Debug, PartialEq)]
enum Done {
    Refused(ErrorKind),
    Rows { written: u64, removed: u64 },
}

#[derive(Debug, Clone, Copy)]
enum Split {
    Not,
    ByText,
    ByMonth,
}

fn row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![Just(None), Just(Some("a".to_owned())), Just(Some("b".to_owned()))];
    (proptest::option::weighted(0.9, 0..14_i64), proptest::option::weighted(0.85, -8..320_i64), text).prop_map(|(id, at, text)| (id, at, text, false))
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec(row(), 0..16)
}

/// Mostly rows with different keys.
fn keyed_rows() -> impl Strategy<Value = Vec<Row>> {
    (rows(), proptest::bool::weighted(0.1)).prop_map(|(rows, may_repeat)| {
        let mut seen = BTreeSet::new();
        rows.into_iter().filter(|row| seen.insert(row.0) || may_repeat).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let deletes = prop_oneof![Just(Deletes::Ignore), Just(Deletes::Soft), Just(Deletes::Hard)];
    let bound = || proptest::option::weighted(0.8, -10..330_i64);
    let window = (rows(), bound(), bound(), any::<bool>(), any::<bool>());
    prop_oneof![
        1 => rows().prop_map(Step::Append),
        3 => window.prop_map(|(rows, from, until, with_null, is_keyed)| Step::Window { rows, from, until, with_null, is_keyed }),
        3 => (keyed_rows(), deletes, prop_oneof![Just(1.0), Just(0.5)]).prop_map(|(rows, deletes, max_delete)| Step::Diff { rows, deletes, max_delete }),
    ]
}

/// What the step does to a list of rows.
fn apply(model: &mut Vec<Row>, step: &Step, quarter: i64) -> Done {
    let before = model.len();
    match step {
        Step::Append(rows) => {
            model.extend(rows.clone());
            Done::Rows { written: rows.len() as u64, removed: 0 }
        }
        Step::Window { rows, from, until, with_null, is_keyed } => {
            let lies_inside = |at: i64| from.is_none_or(|from| at * quarter >= from * (DAY / 4)) && until.is_none_or(|until| at * quarter < until * (DAY / 4));
            let is_cleared = |row: &Row| row.1.map_or(*with_null, lies_inside) || *is_keyed && rows.iter().any(|new| new.0 == row.0);
            model.retain(|row| !is_cleared(row));
            let removed = before - model.len();
            model.extend(rows.clone());
            Done::Rows { written: rows.len() as u64, removed: removed as u64 }
        }
        Step::Diff { rows, deletes, max_delete } => diff(model, rows, *deletes, *max_delete),
    }
}

fn diff(model: &mut Vec<Row>, rows: &[Row], deletes: Deletes, max_delete: f64) -> Done {
    let keys: BTreeSet<_> = rows.iter().map(|row| row.0).collect();
    if keys.len() < rows.len() {
        return Done::Refused(ErrorKind::BadData);
    }
    let (live, gone) = (model.iter().filter(|row| !row.3).count(), model.iter().filter(|row| !row.3 && !keys.contains(&row.0)).count());
    if deletes != Deletes::Ignore && live > 0 && gone as f64 / live as f64 > max_delete {
        return Done::Refused(ErrorKind::Refused);
    }
    let (mut written, mut removed) = (0, 0);
    for row in rows {
        let copies = model.iter().filter(|held| held.0 == row.0).count() as u64;
        let holds_it = model.contains(row);
        model.retain(|held| held.0 != row.0);
        model.push(row.clone());
        written += u64::from(!holds_it);
        removed += copies - u64::from(holds_it);
    }
    let vanishes = |row: &Row| !keys.contains(&row.0);
    match deletes {
        Deletes::Ignore => {}
        Deletes::Hard => {
            removed += model.iter().filter(|row| vanishes(row)).count() as u64;
            model.retain(|row| !vanishes(row));
        }
        Deletes::Soft => {
            removed += gone as u64;
            model.iter_mut().filter(|row| vanishes(row)).for_each(|row| row.3 = true);
        }
    }
    Done::Rows { written, removed }
}

struct World {
    sink: Arc<dyn Sink>,
    tables: Arc<dyn LakeTables>,
    time: DataType,
    split: Split,
    memory_bytes: u64,
    seq: u64,
}

impl World {
    fn schema(&self) -> SchemaRef {
        let deleted_at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = [("id", DataType::Int64), ("at", self.time.clone()), ("text", DataType::Utf8), ("_deleted_at", deleted_at)];
        Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
    }

    /// Microseconds of one step of `Row`'s time.
    fn quarter(&self) -> i64 {
        if self.time == DataType::Date32 { DAY } else { DAY / 4 }
    }

    fn batch(&self, rows: &[Row]) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0)));
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.1.map(|at| at * self.quarter()))));
        let texts: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.clone())));
        let schema = self.schema();
        let never = new_null_array(schema.field(3).data_type(), rows.len());
        RecordBatch::try_new(schema, vec![ids, cast(&micros, &self.time).unwrap(), texts, never]).unwrap()
    }

    async fn run(&mut self, step: &Step, number: usize) -> Done {
        let (mode, rows, window) = match step {
            Step::Append(rows) => (WriteMode::Append { once_by: None }, rows, None),
            Step::Window { rows, from, until, with_null, is_keyed } => {
                let key = if *is_keyed { vec!["id".to_owned()] } else { Vec::new() };
                let bound = |at: Option<i64>| {
                    at.map(|at| if at % 4 == 0 && self.seq.is_multiple_of(2) { CursorValue::Date((at / 4) as i32) } else { CursorValue::Timestamp(at * (DAY / 4)) })
                };
                (WriteMode::Window { column: "at".into(), key }, rows, Some(WindowBounds { from: bound(*from), until: bound(*until), with_null: *with_null }))
            }
            Step::Diff { rows, deletes, max_delete } => (WriteMode::Diff { key: vec!["id".into()], deletes: *deletes, max_delete: *max_delete }, rows, None),
        };
        let partition_by = match self.split {
            Split::Not => Vec::new(),
            Split::ByText => vec![PartitionTransform::Identity("text".into())],
            Split::ByMonth => vec![PartitionTransform::Month("at".into())],
        };
        let request = LoadRequest {
            stream: StreamId::new("p", "bronze.t"),
            generation: Generation(1),
            epoch: 1,
            attempt: format!("a{number}"),
            target: TargetObject { table: "t".into() },
            schema: self.schema(),
            mode,
            layout: FileLayout { min_file_rows: 5, partition_by, ..FileLayout::default() },
            table: TableLayout::default(),
            memory_bytes: self.memory_bytes,
        };
        let at = |seq: u64| if seq == 0 { Position::Start } else { Position::Cursor { values: vec![CursorValue::UInt(seq)], tail: None, unsettled: None } };
        let record = CommitRecord {
            stream: request.stream.clone(),
            generation: Generation(1),
            seq: self.seq + 1,
            epoch: 1,
            attempt: format!("a{number}-1"),
            lo: at(self.seq),
            hi: at(self.seq + 1),
            rows: 0,
        };
        let mut load = self.sink.begin(request).await.unwrap();
        for part in rows.chunks(6) {
            if let Err(error) = load.write(self.batch(part)).await {
                return Done::Refused(error.kind());
            }
        }
        if let Err(error) = load.stage().await {
            return Done::Refused(error.kind());
        }
        let committed = load.commit(CommitRequest { record, run_id: "r".into(), window }).await.unwrap();
        self.seq += 1;
        Done::Rows { written: committed.rows_written, removed: committed.rows_removed }
    }

    async fn content(&self) -> Vec<Row> {
        let Some(table) = self.tables.table(&TargetObject { table: "t".into() }, None).await.unwrap() else { return Vec::new() };
        let mut held = Vec::new();
        for batch in table.collect().await.unwrap() {
            let column = |name: &str| batch.column_by_name(name).unwrap();
            let ids = column("id").as_any().downcast_ref::<Int64Array>().unwrap();
            let micros = cast(column("at"), &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
            let micros = micros.as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
            let texts = column("text").as_any().downcast_ref::<StringArray>().unwrap();
            let marks = column("_deleted_at");
            held.extend((0..batch.num_rows()).map(|row| {
                let at = micros.is_valid(row).then(|| micros.value(row) / self.quarter());
                (ids.is_valid(row).then(|| ids.value(row)), at, texts.is_valid(row).then(|| texts.value(row).to_owned()), marks.is_valid(row))
            }));
        }
        assert_eq!(table.rows, held.len() as u64);
        held.sort();
        held
    }
}

async fn run(steps: Vec<Step>, time: DataType, split: Split, memory_bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let context = ConnectContext { root: folder.path().to_path_buf(), scratch: folder.path().to_path_buf() };
    let settings = json!({"path": "lake"}).as_object().cloned().unwrap();
    let mut world = World { sink: DELTA.open_sink(&settings, &context).unwrap(), tables: DELTA.open_lake(&settings, &context).unwrap(), time, split, memory_bytes, seq: 0 };
    let mut model: Vec<Row> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let done = world.run(step, number).await;

        assert_eq!(done, apply(&mut model, step, world.quarter()), "{step:?}");
        model.sort();
        assert_eq!(world.content().await, model, "{step:?}");
    }
}

fn time() -> impl Strategy<Value = DataType> {
    prop_oneof![Just(DataType::Date32), Just(DataType::Timestamp(TimeUnit::Microsecond, None)), Just(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_windows_and_diffs_equal_the_model(
        steps in proptest::collection::vec(step(), 1..8),
        time in time(),
        split in prop_oneof![Just(Split::Not), Just(Split::ByText), Just(Split::ByMonth)],
        is_tight in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(steps, time, split, if is_tight { 64 } else { 64 << 20 }));
    }
}
