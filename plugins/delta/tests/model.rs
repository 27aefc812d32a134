//! Random histories of loads, commits and crashes leave exactly what a plain map or list would hold.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_delta::DELTA;
use karat_lake::LakePlugin;
use karat_plugin_api::{
    CommitRecord, CommitRequest, ConnectContext, CursorValue, FileLayout, Generation, LoadRequest, Plugin, Position, StreamId, TableLayout, TargetObject, TargetState, WriteMode,
};
use karat_spec::model::PartitionTransform;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use serde_json::json;
use std::sync::Arc;

/// What one load does: its mode, its batches of (key, value), and where it ends.
#[derive(Debug, Clone)]
struct Step {
    mode: Mode,
    batches: Vec<Vec<(i64, Option<i64>)>>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Append,
    AppendOnce,
    Upsert,
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    CommitAll,
    CommitEach,
    DropBeforeStage,
    DropAfterStage,
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(Mode::Append), Just(Mode::AppendOnce), Just(Mode::Upsert), Just(Mode::Upsert), Just(Mode::Replace)];
    let end = prop_oneof![Just(End::CommitAll), Just(End::CommitEach), Just(End::DropBeforeStage), Just(End::DropAfterStage)];
    let row = (0..12_i64, proptest::option::of(0..3_i64));
    let batches = proptest::collection::vec(proptest::collection::vec(row, 0..9), 1..4);
    (mode, batches, end).prop_map(|(mode, batches, end)| Step { mode, batches, end })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("value", DataType::Int64, true)]))
}

fn batch(rows: &[(i64, Option<i64>)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let values = Int64Array::from_iter(rows.iter().map(|row| row.1));
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(values)]).unwrap()
}

/// What the rows of one commit do to the model; `known` is the table when the load began.
fn apply(model: &mut Vec<(i64, Option<i64>)>, known: &[(i64, Option<i64>)], mode: Mode, rows: &[(i64, Option<i64>)]) {
    for row in rows {
        match mode {
            Mode::AppendOnce if known.iter().any(|held| held.0 == row.0) => {}
            Mode::Append | Mode::AppendOnce | Mode::Replace => model.push(*row),
            Mode::Upsert => {
                model.retain(|held| held.0 != row.0);
                model.push(*row);
            }
        }
    }
}

async fn run(steps: Vec<Step>, is_partitioned: bool, memory_bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let context = ConnectContext { root: folder.path().to_path_buf(), scratch: folder.path().to_path_buf() };
    let settings = json!({"path": "lake"}).as_object().cloned().unwrap();
    let (sink, tables) = (DELTA.open_sink(&settings, &context).unwrap(), DELTA.open_lake(&settings, &context).unwrap());
    let (target, stream) = (TargetObject { table: "t".into() }, StreamId::new("p", "bronze.t"));
    let partition_by = if is_partitioned { vec![PartitionTransform::Identity("value".into())] } else { Vec::new() };
    let mut model: Vec<(i64, Option<i64>)> = Vec::new();
    let mut seq = 0;
    let at = |seq: u64| if seq == 0 { Position::Start } else { Position::Cursor { values: vec![CursorValue::UInt(seq)], tail: None, unsettled: None } };
    for (number, step) in steps.into_iter().enumerate() {
        let mode = match step.mode {
            Mode::Append => WriteMode::Append { once_by: None },
            Mode::AppendOnce => WriteMode::Append { once_by: Some(vec!["id".into()]) },
            Mode::Upsert => WriteMode::Upsert { key: vec!["id".into()], unique_in_read: false, order_by: Vec::new() },
            Mode::Replace => WriteMode::Replace,
        };
        let request = LoadRequest {
            stream: stream.clone(),
            generation: Generation(1),
            epoch: 1,
            attempt: format!("a{number}"),
            target: target.clone(),
            schema: schema(),
            mode,
            layout: FileLayout { min_file_rows: 5, partition_by: partition_by.clone(), ..FileLayout::default() },
            table: TableLayout::default(),
            memory_bytes,
        };
        let known = model.clone();
        let mut load = sink.begin(request).await.unwrap();
        let mut uncommitted: Vec<(i64, Option<i64>)> = Vec::new();
        let last = step.batches.len() - 1;
        for (place, rows) in step.batches.iter().enumerate() {
            load.write(batch(rows)).await.unwrap();
            uncommitted.extend(rows);
            let commits = step.end == End::CommitAll && place == last || step.end == End::CommitEach && step.mode != Mode::Replace || step.end == End::CommitEach && place == last;
            if commits || step.end == End::DropAfterStage {
                load.stage().await.unwrap();
            }
            if commits {
                let record = CommitRecord {
                    stream: stream.clone(),
                    generation: Generation(1),
                    seq: seq + 1,
                    epoch: 1,
                    attempt: format!("a{number}-{}", seq + 1),
                    lo: at(seq),
                    hi: at(seq + 1),
                    rows: 0,
                };
                load.commit(CommitRequest { record, run_id: "r".into(), window: None }).await.unwrap();
                seq += 1;
                if step.mode == Mode::Replace {
                    model.clear();
                }
                apply(&mut model, &known, step.mode, &uncommitted);
                uncommitted.clear();
            }
        }
        drop(load);

        let mut held = Vec::new();
        if let Some(table) = tables.table(&target, None).await.unwrap() {
            for batch in table.collect().await.unwrap() {
                let column = |name: &str| batch.column_by_name(name).unwrap().as_any().downcast_ref::<Int64Array>().unwrap().clone();
                let (ids, values) = (column("id"), column("value"));
                held.extend((0..batch.num_rows()).map(|row| (ids.value(row), values.is_valid(row).then(|| values.value(row)))));
            }
            assert_eq!(table.rows, held.len() as u64);
        }
        held.sort_unstable();
        model.sort_unstable();
        assert_eq!(held, model);
        let found = match sink.target_state(&stream, &target).await.unwrap() {
            TargetState::Absent => 0,
            TargetState::Present { record, .. } => record.map_or(0, |record| record.seq),
        };
        assert_eq!(found, seq);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_the_model(steps in proptest::collection::vec(step(), 1..7), is_partitioned in any::<bool>(), is_tight in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(steps, is_partitioned, if is_tight { 64 } else { 64 << 20 }));
    }
}
