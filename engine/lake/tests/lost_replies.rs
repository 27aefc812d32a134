//! A commit whose reply is lost may have taken effect: nothing that a reader may see goes, and a second try finds out.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use karat_lake::{ChainStep, CommitLog, CommitOutcome, DataFile, LakeSink, LakeTables, TableChange, TableSnapshot, chain_step};
use karat_plugin_api::{
    CommitRecord, CommitRequest, ConnectorError, CursorValue, ErrorKind, FileLayout, Generation, LoadRequest, Position, Sink, StreamId, TableLayout, TargetObject, WindowBounds,
    WriteMode,
};
use karat_spec::model::Deletes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What becomes of the next commit.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    AppliedUnheard,
    LostOnTheWay,
}

/// A log in memory, of one table.
#[derive(Clone)]
struct MemoryLog {
    newest: Arc<Mutex<Option<TableSnapshot>>>,
    fate: Arc<Mutex<Fate>>,
}

fn unheard() -> ConnectorError {
    ConnectorError::new(ErrorKind::UnknownOutcome, "no reply")
}

#[async_trait]
impl CommitLog for MemoryLog {
    fn data_prefix(&self, _generation: Generation) -> String {
        String::new()
    }

    fn declares_partition_columns(&self) -> bool {
        false
    }

    fn storage_schema(&self, schema: &SchemaRef) -> Result<SchemaRef, ConnectorError> {
        Ok(Arc::clone(schema))
    }

    async fn prepare(&self, folder: &Path) -> Result<(), ConnectorError> {
        std::fs::create_dir_all(folder).map_err(|error| ConnectorError::io("create folder", folder, error))
    }

    async fn load(&self, _folder: &Path, _version: Option<&str>) -> Result<Option<TableSnapshot>, ConnectorError> {
        Ok(self.newest.lock().unwrap().clone())
    }

    async fn commit(&self, _folder: &Path, change: TableChange) -> Result<CommitOutcome, ConnectorError> {
        let fate = std::mem::replace(&mut *self.fate.lock().unwrap(), Fate::Answered);
        if fate == Fate::LostOnTheWay {
            return Err(unheard());
        }
        let mut newest = self.newest.lock().unwrap();
        let record = newest.as_ref().and_then(|table| table.records.get(&change.record.stream));
        match chain_step(record, &change.record) {
            ChainStep::Extends => {}
            ChainStep::AlreadyApplied => return Ok(CommitOutcome::AlreadyApplied { version: newest.as_ref().unwrap().version.clone() }),
            ChainStep::Conflict => return Ok(CommitOutcome::Conflict { newest: record.cloned() }),
        }
        let mut files: Vec<Arc<DataFile>> = newest.as_ref().map(|table| table.files.clone()).unwrap_or_default();
        files.retain(|file| change.remove.iter().all(|removed| removed.path != file.path));
        files.extend(change.add.into_iter().map(Arc::new));
        let version = change.record.seq.to_string();
        let records = BTreeMap::from([(change.record.stream.clone(), change.record)]);
        *newest = Some(TableSnapshot { version: version.clone(), schema: change.schema, partition_columns: Vec::new(), files, records });
        if fate == Fate::AppliedUnheard { Err(unheard()) } else { Ok(CommitOutcome::Applied { version }) }
    }
}

fn rows(ids: &[i64]) -> RecordBatch {
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(ids.iter().map(|id| *id as i32)));
    RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef), ("day", days)]).unwrap()
}

fn request(mode: WriteMode, attempt: &str) -> LoadRequest {
    LoadRequest {
        stream: StreamId::new("p", "bronze.t"),
        generation: Generation(1),
        epoch: 1,
        attempt: attempt.into(),
        target: TargetObject { table: "t".into() },
        schema: rows(&[]).schema(),
        mode,
        layout: FileLayout { min_file_rows: 4, ..FileLayout::default() },
        table: TableLayout::default(),
        memory_bytes: 64 << 20,
    }
}

fn commit(seq: u64, attempt: &str, window: Option<WindowBounds>) -> CommitRequest {
    let at = |through: u64| if through == 0 { Position::Start } else { Position::Snapshot { rows: through, digest: None } };
    let stream = StreamId::new("p", "bronze.t");
    let record = CommitRecord { stream, generation: Generation(1), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(seq - 1), hi: at(seq), rows: 0 };
    CommitRequest { record, run_id: "run".into(), window }
}

async fn content(tables: &impl LakeTables) -> Vec<i64> {
    let table = tables.table(&TargetObject { table: "t".into() }, None).await.unwrap().unwrap();
    let mut ids: Vec<i64> = Vec::new();
    for batch in table.collect().await.unwrap() {
        ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
    }
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_second_try_finds_out_whether_the_first_took_effect() {
    let window = WindowBounds { from: Some(CursorValue::Date(3)), until: Some(CursorValue::Date(7)), with_null: false };
    let windowed = || (WriteMode::Window { column: "day".into(), key: vec!["id".into()] }, rows(&[5, 8]), Some(window.clone()), [1, 2, 5, 8]);
    let diff = || (WriteMode::Diff { key: vec!["id".into()], deletes: Deletes::Hard, max_delete: 1.0 }, rows(&[2, 1, 9, 8]), None, [1, 2, 8, 9]);
    for fate in [Fate::AppliedUnheard, Fate::LostOnTheWay] {
        for (mode, new, bounds, expected) in [windowed(), diff()] {
            let folder = tempfile::tempdir().unwrap();
            let log = MemoryLog { newest: Arc::default(), fate: Arc::new(Mutex::new(Fate::Answered)) };
            let sink = LakeSink::new(log.clone(), folder.path().to_path_buf());
            let mut first = sink.begin(request(WriteMode::Append { once_by: None }, "a")).await.unwrap();
            first.write(rows(&[1, 2, 3, 4, 5, 8])).await.unwrap();
            first.stage().await.unwrap();
            first.commit(commit(1, "a", None)).await.unwrap();

            let mut load = sink.begin(request(mode, "b")).await.unwrap();
            load.write(new).await.unwrap();
            load.stage().await.unwrap();
            *log.fate.lock().unwrap() = fate;
            let lost = load.commit(commit(2, "b", bounds.clone())).await.unwrap_err();
            let again = load.commit(commit(2, "b", bounds)).await.unwrap();
            drop(load);

            assert_eq!((lost.kind(), again.was_already_applied), (ErrorKind::UnknownOutcome, fate == Fate::AppliedUnheard));
            assert_eq!(content(&sink).await, expected);
        }
    }
}
