//! What every sink made of files promises: loads, commits, conflicts, damage, seen through the sink and through the readable side.
//!
//! Read next: `lake_windows.rs` and `lake_diffs.rs`, for what whole windows and whole loads replace.

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_lake::{LakePlugin, LakeTables};
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectContext, CursorValue, ErrorKind, FileLayout, Generation, Load, LoadRequest, Position, Sink, StreamId, TableLayout, TargetObject,
    TargetState, WriteMode, WriteProgress,
};
use karat_spec::model::PartitionTransform;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// The plugin that is tested. Its connection has one key, `path`.
#[derive(Clone, Copy)]
pub struct LakeUnderTest {
    /// The plugin.
    pub plugin: &'static dyn LakePlugin,
    /// Folder of a table's log, relative to the table's folder.
    pub log: &'static str,
    /// File of the table's first version in that folder.
    pub first_version: &'static str,
    /// File of the table's second version in that folder.
    pub second_version: &'static str,
}

pub(super) struct Lake {
    pub(super) folder: tempfile::TempDir,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) tables: Arc<dyn LakeTables>,
}

fn settings() -> Map<String, Value> {
    json!({"path": "lake"}).as_object().cloned().unwrap()
}

pub(super) fn open(under_test: &LakeUnderTest) -> Lake {
    let folder = tempfile::tempdir().unwrap();
    let context = ConnectContext { root: folder.path().to_path_buf(), scratch: folder.path().join("scratch") };
    Lake { sink: under_test.plugin.open_sink(&settings(), &context).unwrap(), tables: under_test.plugin.open_lake(&settings(), &context).unwrap(), folder }
}

pub(super) fn target() -> TargetObject {
    TargetObject { table: "bronze/t".into() }
}

fn stream() -> StreamId {
    StreamId::new("p", "bronze.t")
}

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
}

pub(super) fn rows(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

pub(super) fn request(mode: WriteMode, generation: u64, attempt: &str) -> LoadRequest {
    LoadRequest {
        stream: stream(),
        generation: Generation(generation),
        epoch: 1,
        attempt: attempt.into(),
        target: target(),
        schema: schema(),
        mode,
        layout: FileLayout { min_file_rows: 4, ..FileLayout::default() },
        table: TableLayout::default(),
        memory_bytes: 64 << 20,
    }
}

fn at(value: i64) -> Position {
    if value == 0 { Position::Start } else { Position::Cursor { values: vec![CursorValue::Int(value)], tail: None, unsettled: None } }
}

pub(super) fn commit(generation: u64, seq: u64, attempt: &str, lo: i64, hi: i64) -> CommitRequest {
    let record = CommitRecord { stream: stream(), generation: Generation(generation), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(lo), hi: at(hi), rows: 0 };
    CommitRequest { record, run_id: "run".into(), window: None }
}

pub(super) fn append() -> WriteMode {
    WriteMode::Append { once_by: None }
}

pub(super) async fn load(lake: &Lake, request: LoadRequest, batch: RecordBatch, commit: CommitRequest) -> Committed {
    let mut load = lake.sink.begin(request).await.unwrap();
    load.write(batch).await.unwrap();
    load.stage().await.unwrap();
    load.commit(commit).await.unwrap()
}

pub(super) async fn content(lake: &Lake) -> Vec<(i64, Option<String>)> {
    content_at(lake, None).await
}

async fn content_at(lake: &Lake, version: Option<&str>) -> Vec<(i64, Option<String>)> {
    let Some(table) = lake.tables.table(&target(), version).await.unwrap() else { return Vec::new() };
    let batches = table.collect().await.unwrap();
    let batch = concat_batches(&table.schema, &batches).unwrap();
    let ids = batch.column_by_name("id").unwrap().as_any().downcast_ref::<Int64Array>().unwrap().clone();
    let names = batch.column_by_name("name").unwrap().as_any().downcast_ref::<StringArray>().unwrap().clone();
    let mut found: Vec<_> = (0..batch.num_rows()).map(|row| (ids.value(row), names.is_valid(row).then(|| names.value(row).to_owned()))).collect();
    found.sort();
    assert_eq!(table.rows, found.len() as u64);
    found
}

pub(super) fn expected(rows: &[(i64, Option<&str>)]) -> Vec<(i64, Option<String>)> {
    rows.iter().map(|(id, name)| (*id, name.map(str::to_owned))).collect()
}

fn data_files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { data_files(&path) } else { usize::from(path.extension().is_some_and(|extension| extension == "parquet")) })
        .sum()
}

/// Appended rows are read back with their position.
pub async fn appended_rows_are_read_back_with_their_position(under_test: LakeUnderTest) {
    let lake = open(&under_test);

    let mut open = lake.sink.begin(request(append(), 1, "a")).await.unwrap();
    assert_eq!(open.write(rows(&[(1, Some("x")), (2, None)])).await.unwrap(), WriteProgress::Accepted);
    assert_eq!(open.write(rows(&[(3, Some("")), (4, Some("y")), (5, None)])).await.unwrap(), WriteProgress::ReadyToCommit);
    let staged = open.stage().await.unwrap();
    assert_eq!((staged.rows, staged.files.iter().map(|file| file.rows).collect::<Vec<_>>()), (5, vec![4, 1]));
    assert!(content(&lake).await.is_empty());
    let committed = open.commit(commit(1, 1, "a", 0, 5)).await.unwrap();
    assert_eq!((committed.rows_written, committed.files, committed.was_already_applied), (5, 2, false));
    open.write(rows(&[(6, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 2, "a", 5, 6)).await.unwrap();

    assert_eq!(content(&lake).await, expected(&[(1, Some("x")), (2, None), (3, Some("")), (4, Some("y")), (5, None), (6, None)]));
    let TargetState::Present { record: Some(record), rows, .. } = lake.sink.target_state(&stream(), &target()).await.unwrap() else { panic!("a table") };
    assert_eq!((record.seq, record.hi, rows), (2, at(6), Some(6)));
}

/// A replacement swaps all rows and old versions stay readable.
pub async fn a_replacement_swaps_all_rows_and_old_versions_stay_readable(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let first = load(&lake, request(WriteMode::Replace, 1, "a"), rows(&[(1, None), (2, None)]), commit(1, 1, "a", 0, 2)).await;

    let second = load(&lake, request(WriteMode::Replace, 2, "b"), rows(&[(9, Some("z"))]), commit(2, 1, "b", 0, 9)).await;

    assert_eq!((second.rows_written, second.rows_removed), (1, 2));
    assert_eq!(content(&lake).await, expected(&[(9, Some("z"))]));
    assert_eq!(content_at(&lake, Some(&first.version)).await, expected(&[(1, None), (2, None)]));
}

/// What was staged but not committed is invisible and cleaned up.
pub async fn what_was_staged_but_not_committed_is_invisible_and_cleaned_up(under_test: LakeUnderTest) {
    let lake = open(&under_test);

    let mut open = lake.sink.begin(request(append(), 1, "a")).await.unwrap();
    open.write(rows(&[(1, None)])).await.unwrap();
    open.stage().await.unwrap();
    assert_eq!(data_files(lake.folder.path()), 1);
    drop(open);

    assert!(content(&lake).await.is_empty());
    assert_eq!(data_files(lake.folder.path()), 0);
    assert!(matches!(lake.sink.target_state(&stream(), &target()).await.unwrap(), TargetState::Absent));
}

/// Of two committers of one batch exactly one wins.
pub async fn of_two_committers_of_one_batch_exactly_one_wins(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let mut opens: Vec<(String, Box<dyn Load>)> = Vec::new();
    for attempt in ["a", "b", "c"] {
        let mut open = lake.sink.begin(request(append(), 1, attempt)).await.unwrap();
        open.write(rows(&[(1, Some(attempt))])).await.unwrap();
        open.stage().await.unwrap();
        opens.push((attempt.to_owned(), open));
    }

    let tries = opens.into_iter().map(|(attempt, mut open)| tokio::spawn(async move { open.commit(commit(1, 1, &attempt, 0, 1)).await.map_err(|error| error.kind()) }));
    let outcomes: Vec<_> = futures::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(ErrorKind::Conflict)).count(), 2);
    assert_eq!(content(&lake).await.len(), 1);
}

/// Committing the same attempt again changes nothing.
pub async fn committing_the_same_attempt_again_changes_nothing(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let mut open = lake.sink.begin(request(append(), 1, "a")).await.unwrap();
    open.write(rows(&[(1, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 1, "a", 0, 1)).await.unwrap();

    let again = open.commit(commit(1, 1, "a", 0, 1)).await.unwrap();

    assert!(again.was_already_applied);
    assert_eq!(content(&lake).await.len(), 1);
}

/// Partitions keep null and special characters.
pub async fn partitions_keep_null_and_special_characters(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let batch = [(1, Some("a/b=c %")), (2, None), (3, Some("ä")), (4, Some("a/b=c %"))];
    let layout = FileLayout { partition_by: vec![PartitionTransform::Identity("name".into())], ..FileLayout::default() };

    load(&lake, LoadRequest { layout, ..request(append(), 1, "a") }, rows(&batch), commit(1, 1, "a", 0, 4)).await;

    assert_eq!(content(&lake).await, expected(&batch));
}

/// A lost or damaged log is noticed.
pub async fn a_lost_or_damaged_log_is_noticed(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    load(&lake, request(append(), 1, "a"), rows(&[(1, None)]), commit(1, 1, "a", 0, 1)).await;
    load(&lake, request(append(), 1, "b"), rows(&[(2, None)]), commit(1, 2, "b", 1, 2)).await;
    let log = lake.folder.path().join("lake/bronze/t").join(under_test.log);
    let kind = || async {
        let fresh = under_test.plugin.open_sink(&settings(), &ConnectContext { root: lake.folder.path().to_path_buf(), scratch: lake.folder.path().to_path_buf() }).unwrap();
        fresh.target_state(&stream(), &target()).await.unwrap_err().kind()
    };

    let newest = log.join(under_test.second_version);
    let text = std::fs::read_to_string(&newest).unwrap();
    std::fs::write(&newest, &text[..text.len() - 9]).unwrap();
    assert_eq!(kind().await, ErrorKind::Corrupt);
    std::fs::write(&newest, text).unwrap();
    std::fs::remove_file(log.join(under_test.first_version)).unwrap();
    assert_eq!(kind().await, ErrorKind::Corrupt);
    let top = Path::new(under_test.log).components().next().unwrap();
    std::fs::remove_dir_all(lake.folder.path().join("lake/bronze/t").join(top)).unwrap();
    assert_eq!(kind().await, ErrorKind::Refused);
}

/// A table never lies outside the connection.
pub async fn a_table_never_lies_outside_the_connection(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    std::fs::create_dir_all(lake.folder.path().join("lake")).unwrap();
    std::os::unix::fs::symlink("/tmp", lake.folder.path().join("lake/out")).unwrap();

    for table in ["../t", "/tmp/t", "a/../../t", "", "out/t"] {
        let refused = lake.sink.target_state(&stream(), &TargetObject { table: table.into() }).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{table}");
    }
}

fn upsert(unique_in_read: bool) -> WriteMode {
    WriteMode::Upsert { key: vec!["id".into()], unique_in_read, order_by: vec!["name".into()] }
}

/// An upsert replaces rows of earlier commits and the greater value wins inside a batch.
pub async fn an_upsert_replaces_rows_of_earlier_commits_and_the_greater_value_wins_inside_a_batch(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    load(&lake, request(upsert(false), 1, "a"), rows(&[(1, Some("b")), (1, Some("a")), (2, Some("x")), (2, Some("x")), (3, None)]), commit(1, 1, "a", 0, 3)).await;
    assert_eq!(content(&lake).await, expected(&[(1, Some("b")), (2, Some("x")), (3, None)]));

    let second = load(&lake, request(upsert(false), 1, "b"), rows(&[(2, Some("new")), (4, None)]), commit(1, 2, "b", 3, 4)).await;

    assert_eq!((second.rows_written, second.rows_removed), (2, 1));
    assert_eq!(content(&lake).await, expected(&[(1, Some("b")), (2, Some("new")), (3, None), (4, None)]));
}

/// An idle upsert writes nothing but the position.
pub async fn an_idle_upsert_writes_nothing_but_the_position(under_test: LakeUnderTest) {
    for unique_in_read in [true, false] {
        let lake = open(&under_test);
        let batch = [(1, Some("a")), (2, None), (3, Some(""))];
        load(&lake, request(upsert(unique_in_read), 1, "a"), rows(&batch), commit(1, 1, "a", 0, 3)).await;

        let idle = load(&lake, request(upsert(unique_in_read), 1, "b"), rows(&batch), commit(1, 2, "b", 3, 3)).await;

        assert_eq!((idle.rows_written, idle.rows_removed, idle.files), (0, 0, 0));
        assert_eq!(content(&lake).await, expected(&batch));
    }
}

/// A row that moves to another partition leaves the old one.
pub async fn a_row_that_moves_to_another_partition_leaves_the_old_one(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let layout = FileLayout { partition_by: vec![PartitionTransform::Identity("name".into())], ..FileLayout::default() };
    let open = |attempt| LoadRequest { layout: layout.clone(), ..request(upsert(true), 1, attempt) };
    load(&lake, open("a"), rows(&[(1, Some("x")), (2, Some("x")), (3, None)]), commit(1, 1, "a", 0, 3)).await;

    load(&lake, open("b"), rows(&[(2, None), (3, Some("y"))]), commit(1, 2, "b", 3, 4)).await;

    assert_eq!(content(&lake).await, expected(&[(1, Some("x")), (2, None), (3, Some("y"))]));
}

/// Rows that were delivered before are appended once.
pub async fn rows_that_were_delivered_before_are_appended_once(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let once = || WriteMode::Append { once_by: Some(vec!["id".into()]) };
    load(&lake, request(once(), 1, "a"), rows(&[(1, None), (2, None)]), commit(1, 1, "a", 0, 2)).await;

    let again = load(&lake, request(once(), 1, "b"), rows(&[(2, None), (3, None)]), commit(1, 2, "b", 2, 3)).await;

    assert_eq!(again.rows_written, 1);
    assert_eq!(content(&lake).await, expected(&[(1, None), (2, None), (3, None)]));
}

/// Without a key equal rows are counted.
pub async fn without_a_key_equal_rows_are_counted(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let once = || WriteMode::Append { once_by: Some(vec!["id".into(), "name".into()]) };
    load(&lake, request(once(), 1, "a"), rows(&[(1, None), (1, None)]), commit(1, 1, "a", 0, 1)).await;

    let mut open = lake.sink.begin(request(once(), 1, "b")).await.unwrap();
    open.write(rows(&[(1, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 2, "b", 1, 1)).await.unwrap();
    open.write(rows(&[(1, None), (1, None)])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(commit(1, 3, "b", 1, 1)).await.unwrap();

    assert_eq!(content(&lake).await, expected(&[(1, None), (1, None), (1, None)]));
}
