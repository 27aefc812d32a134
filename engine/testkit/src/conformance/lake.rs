//! What every sink made of files promises: loads, commits, conflicts, damage, seen through the sink and through the readable side.

use arrow::array::{Array, ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use karat_lake::{LakePlugin, LakeTables};
use karat_plugin_api::{
    CommitRecord, CommitRequest, Committed, ConnectContext, CursorValue, DELETED_AT, ErrorKind, FileLayout, Generation, Load, LoadRequest, Position, Sink, StreamId, TableLayout,
    TargetObject, TargetState, WindowBounds, WriteMode, WriteProgress,
};
use karat_spec::model::{Deletes, PartitionTransform};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
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

struct Lake {
    folder: tempfile::TempDir,
    sink: Arc<dyn Sink>,
    tables: Arc<dyn LakeTables>,
}

fn settings() -> Map<String, Value> {
    json!({"path": "lake"}).as_object().cloned().unwrap()
}

fn open(under_test: &LakeUnderTest) -> Lake {
    let folder = tempfile::tempdir().unwrap();
    let context = ConnectContext { root: folder.path().to_path_buf(), scratch: folder.path().join("scratch") };
    Lake { sink: under_test.plugin.open_sink(&settings(), &context).unwrap(), tables: under_test.plugin.open_lake(&settings(), &context).unwrap(), folder }
}

fn target() -> TargetObject {
    TargetObject { table: "bronze/t".into() }
}

fn stream() -> StreamId {
    StreamId::new("p", "bronze.t")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
}

fn rows(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    RecordBatch::try_new(schema(), vec![ids, names]).unwrap()
}

fn request(mode: WriteMode, generation: u64, attempt: &str) -> LoadRequest {
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

fn commit(generation: u64, seq: u64, attempt: &str, lo: i64, hi: i64) -> CommitRequest {
    let record = CommitRecord { stream: stream(), generation: Generation(generation), seq, epoch: 1, attempt: format!("{attempt}-{seq}"), lo: at(lo), hi: at(hi), rows: 0 };
    CommitRequest { record, run_id: "run".into(), window: None }
}

fn append() -> WriteMode {
    WriteMode::Append { once_by: None }
}

async fn load(lake: &Lake, request: LoadRequest, batch: RecordBatch, commit: CommitRequest) -> Committed {
    let mut load = lake.sink.begin(request).await.unwrap();
    load.write(batch).await.unwrap();
    load.stage().await.unwrap();
    load.commit(commit).await.unwrap()
}

async fn content(lake: &Lake) -> Vec<(i64, Option<String>)> {
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

fn expected(rows: &[(i64, Option<&str>)]) -> Vec<(i64, Option<String>)> {
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

/// A dated row: its key, its day since 1970-01-01, its text.
type Dated = (i64, Option<i32>, Option<&'static str>);

fn dated_schema() -> SchemaRef {
    let fields = [("id", DataType::Int64), ("day", DataType::Date32), ("name", DataType::Utf8)];
    Arc::new(Schema::new(fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect::<Vec<_>>()))
}

fn dated(rows: &[Dated]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let days: ArrayRef = Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.1)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2)));
    RecordBatch::try_new(dated_schema(), vec![ids, days, names]).unwrap()
}

fn windowed(key: &[&str], attempt: &str) -> LoadRequest {
    let mode = WriteMode::Window { column: "day".into(), key: key.iter().map(|name| (*name).to_owned()).collect() };
    LoadRequest { schema: dated_schema(), ..request(mode, 1, attempt) }
}

fn over(bounds: (Option<i32>, Option<i32>), with_null: bool, commit: CommitRequest) -> CommitRequest {
    let (from, until) = (bounds.0.map(CursorValue::Date), bounds.1.map(CursorValue::Date));
    CommitRequest { window: Some(WindowBounds { from, until, with_null }), ..commit }
}

async fn loaded(lake: &Lake, rows: &[Dated]) {
    load(lake, LoadRequest { schema: dated_schema(), ..request(append(), 1, "a") }, dated(rows), commit(1, 1, "a", 0, 1)).await;
}

/// A window takes the place of the rows inside its bounds.
pub async fn a_window_takes_the_place_of_the_rows_inside_its_bounds(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let old = [
        (1, Some(9), None),
        (2, Some(10), None),
        (3, Some(19), None),
        (4, Some(20), None),
        (5, Some(12), None),
        (6, Some(13), None),
        (7, Some(14), None),
        (8, Some(15), None),
        (9, None, None),
    ];
    loaded(&lake, &old).await;

    let middle = load(&lake, windowed(&[], "b"), dated(&[(2, Some(10), Some("new"))]), over((Some(10), Some(20)), false, commit(1, 2, "b", 1, 2))).await;
    assert_eq!((middle.rows_written, middle.rows_removed, middle.files), (1, 6, 2));
    assert_eq!(content(&lake).await, expected(&[(1, None), (2, Some("new")), (4, None), (9, None)]));

    let empty = load(&lake, windowed(&[], "c"), dated(&[]), over((None, Some(10)), false, commit(1, 3, "c", 2, 3))).await;
    assert_eq!((empty.rows_written, empty.rows_removed), (0, 1));
    assert_eq!(content(&lake).await, expected(&[(2, Some("new")), (4, None), (9, None)]));

    let last = load(&lake, windowed(&[], "d"), dated(&[(7, None, Some("x"))]), over((Some(20), None), true, commit(1, 4, "d", 3, 4))).await;
    assert_eq!((last.rows_written, last.rows_removed), (1, 2));
    assert_eq!(content(&lake).await, expected(&[(2, Some("new")), (7, Some("x"))]));
}

/// A row that moves to another window is there once.
pub async fn a_row_that_moves_to_another_window_is_there_once(under_test: LakeUnderTest) {
    for memory_bytes in [1, 64 << 20] {
        let lake = open(&under_test);
        loaded(&lake, &[(1, Some(1), None), (2, Some(1), None), (3, None, None), (4, Some(30), None), (5, Some(10), None)]).await;
        let moved = dated(&[(2, Some(11), Some("a")), (3, Some(12), Some("b")), (4, Some(13), Some("c")), (6, Some(14), None)]);

        let request = LoadRequest { memory_bytes, ..windowed(&["id"], "b") };
        let committed = load(&lake, request, moved, over((Some(10), Some(20)), false, commit(1, 2, "b", 1, 2))).await;

        assert_eq!((committed.rows_written, committed.rows_removed), (4, 4));
        assert_eq!(content(&lake).await, expected(&[(1, None), (2, Some("a")), (3, Some("b")), (4, Some("c")), (6, None)]));
    }
}

/// A window clears the table as it is when it is committed.
pub async fn a_window_clears_the_table_as_it_is_when_it_is_committed(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    loaded(&lake, &[(1, Some(1), None), (2, Some(10), None)]).await;
    let mut opens = Vec::new();
    for attempt in ["b", "c"] {
        let mut open = lake.sink.begin(windowed(&["id"], attempt)).await.unwrap();
        open.write(dated(&[(2, Some(11), Some("new"))])).await.unwrap();
        open.stage().await.unwrap();
        opens.push(open);
    }
    let other = LoadRequest { stream: StreamId::new("q", "bronze.t"), schema: dated_schema(), ..request(append(), 1, "o") };
    let mut others = commit(1, 1, "o", 0, 1);
    others.record.stream = other.stream.clone();
    load(&lake, other, dated(&[(7, Some(12), None), (8, Some(2), None)]), others).await;

    let late = opens[0].commit(over((Some(10), Some(20)), false, commit(1, 3, "b", 1, 2))).await.unwrap_err();
    assert_eq!((late.kind(), content(&lake).await.len()), (ErrorKind::Conflict, 4));
    let next = over((Some(10), Some(20)), false, commit(1, 2, "c", 1, 2));
    let committed = opens[1].commit(next.clone()).await.unwrap();
    let again = opens[1].commit(next).await.unwrap();

    assert_eq!((committed.rows_removed, again.was_already_applied), (2, true));
    assert_eq!(content(&lake).await, expected(&[(1, None), (2, Some("new")), (8, None)]));
}

/// A window never takes a column away that another load added meanwhile.
pub async fn a_window_never_takes_a_column_away_that_another_load_added_meanwhile(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    loaded(&lake, &[(1, Some(1), None), (2, Some(10), None)]).await;
    let begin = async |attempt| {
        let mut open = lake.sink.begin(windowed(&[], attempt)).await.unwrap();
        open.write(dated(&[(3, Some(1), None)])).await.unwrap();
        open.stage().await.unwrap();
        open
    };
    let mut early = begin("b").await;
    let other = LoadRequest { stream: StreamId::new("q", "bronze.t"), schema: marked_schema(), ..request(append(), 1, "o") };
    let mut others = commit(1, 1, "o", 0, 1);
    others.record.stream = other.stream.clone();
    load(&lake, other, marked(&[(7, "x")]), others).await;

    let next = || over((Some(1), Some(2)), true, commit(1, 2, "b", 1, 2));
    let refused = early.commit(next()).await.unwrap_err();
    let committed = begin("c").await.commit(next()).await.unwrap();

    assert_eq!((refused.kind(), committed.rows_removed), (ErrorKind::Busy, 2));
    assert_eq!(deletions(&lake).await, [(2, None), (3, None)]);
}

fn diff(deletes: Deletes, max_delete: f64) -> WriteMode {
    WriteMode::Diff { key: vec!["id".into()], deletes, max_delete }
}

/// A diff writes only what differs.
pub async fn a_diff_writes_only_what_differs(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let mode = || diff(Deletes::Hard, 0.5);
    let first = load(&lake, request(mode(), 1, "a"), rows(&[(1, None), (2, Some("")), (3, Some("c")), (4, Some("d")), (5, Some("e"))]), commit(1, 1, "a", 0, 1)).await;
    assert_eq!((first.rows_written, first.rows_removed, first.files), (5, 0, 2));
    let names = data_names(&lake);

    let same = load(&lake, request(mode(), 1, "b"), rows(&[(5, Some("e")), (3, Some("c")), (4, Some("d")), (1, None), (2, Some(""))]), commit(1, 2, "b", 1, 2)).await;
    assert_eq!((same.rows_written, same.rows_removed, same.files), (0, 0, 0));
    assert_eq!(data_names(&lake), names);

    let changed = load(&lake, request(mode(), 1, "c"), rows(&[(1, None), (2, None), (3, Some("c")), (5, Some("e")), (6, Some("f"))]), commit(1, 3, "c", 2, 3)).await;
    assert_eq!((changed.rows_written, changed.rows_removed, changed.files), (2, 2, 2));
    assert_eq!(content(&lake).await, expected(&[(1, None), (2, None), (3, Some("c")), (5, Some("e")), (6, Some("f"))]));

    let once_more = load(&lake, request(mode(), 1, "d"), rows(&[(1, None), (2, None), (3, Some("c")), (5, Some("e")), (6, Some("f"))]), commit(1, 4, "d", 3, 4)).await;
    assert_eq!((once_more.rows_written, once_more.rows_removed, once_more.files), (0, 0, 0));
}

/// A table that changes row by row does not crumble into small files.
pub async fn a_table_that_changes_row_by_row_does_not_crumble_into_small_files(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let mut all: Vec<(i64, Option<&str>)> = Vec::new();
    for number in 1..=30 {
        all.push((number as i64, Some("x")));
        let attempt = format!("a{number}");
        let step = LoadRequest { layout: FileLayout { min_file_rows: 40, ..FileLayout::default() }, ..request(diff(Deletes::Hard, 0.0), 1, &attempt) };
        let done = load(&lake, step, rows(&all), commit(1, number, &attempt, number as i64 - 1, number as i64)).await;

        let table = lake.tables.table(&target(), None).await.unwrap().unwrap();
        assert_eq!((done.rows_written, done.rows_removed, content(&lake).await.len()), (1, 0, all.len()));
        assert!(table.files <= 9, "{} files", table.files);
    }
}

/// A diff refuses a key that comes twice.
pub async fn a_diff_refuses_a_key_that_comes_twice(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    load(&lake, request(diff(Deletes::Hard, 1.0), 1, "a"), rows(&[(1, None), (2, None)]), commit(1, 1, "a", 0, 1)).await;

    for (attempt, twice) in [("b", [(1, None), (1, None)]), ("c", [(1, Some("x")), (1, None)]), ("d", [(3, None), (3, None)])] {
        let mut open = lake.sink.begin(request(diff(Deletes::Hard, 1.0), 1, attempt)).await.unwrap();
        let mut refused = open.write(rows(&twice)).await.map(|_| ());
        if refused.is_ok() {
            refused = open.stage().await.map(|_| ());
        }
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::BadData, "{attempt}");
    }
    assert_eq!(content(&lake).await, expected(&[(1, None), (2, None)]));
}

/// A diff that would delete too much is refused and changes nothing.
pub async fn a_diff_that_would_delete_too_much_is_refused_and_changes_nothing(under_test: LakeUnderTest) {
    for deletes in [Deletes::Hard, Deletes::Soft, Deletes::Ignore] {
        let lake = open(&under_test);
        let begin = |max_delete, attempt| LoadRequest { schema: marked_schema(), ..request(diff(deletes, max_delete), 1, attempt) };
        load(&lake, begin(0.0, "a"), marked(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")]), commit(1, 1, "a", 0, 1)).await;
        let before = content(&lake).await;

        let mut open = lake.sink.begin(begin(0.25, "b")).await.unwrap();
        open.write(marked(&[(1, "new"), (5, "e")])).await.unwrap();
        let staged = open.stage().await;
        drop(open);

        assert_eq!(staged.err().map(|error| error.kind()), (deletes != Deletes::Ignore).then_some(ErrorKind::Refused));
        assert_eq!(content(&lake).await, before);
        load(&lake, begin(0.25, "c"), marked(&[(1, "new"), (3, "c"), (4, "d")]), commit(1, 2, "c", 1, 2)).await;
    }
}

fn marked_schema() -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DELETED_AT, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)));
    Arc::new(Schema::new(fields))
}

fn marked(rows: &[(i64, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    let never: ArrayRef = arrow::array::new_null_array(marked_schema().field(2).data_type(), rows.len());
    RecordBatch::try_new(marked_schema(), vec![ids, names, never]).unwrap()
}

async fn deletions(lake: &Lake) -> Vec<(i64, Option<i64>)> {
    let table = lake.tables.table(&target(), None).await.unwrap().unwrap();
    let batch = concat_batches(&table.schema, &table.collect().await.unwrap()).unwrap();
    let ids = batch.column_by_name("id").unwrap().as_any().downcast_ref::<Int64Array>().unwrap().clone();
    let times = batch.column_by_name(DELETED_AT).unwrap().as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap().clone();
    let mut found: Vec<_> = (0..batch.num_rows()).map(|row| (ids.value(row), times.is_valid(row).then(|| times.value(row)))).collect();
    found.sort_unstable();
    found
}

/// A row that vanishes is marked once and comes back unmarked.
pub async fn a_row_that_vanishes_is_marked_once_and_comes_back_unmarked(under_test: LakeUnderTest) {
    let lake = open(&under_test);
    let begin = |attempt| LoadRequest { schema: marked_schema(), ..request(diff(Deletes::Soft, 0.5), 1, attempt) };
    load(&lake, request(append(), 1, "a"), rows(&[(1, Some("a")), (2, Some("b")), (3, Some("c"))]), commit(1, 1, "a", 0, 1)).await;

    let gone = load(&lake, begin("b"), marked(&[(1, "a"), (3, "c")]), commit(1, 2, "b", 1, 2)).await;
    let first = deletions(&lake).await;
    let still = load(&lake, begin("c"), marked(&[(1, "a"), (3, "c")]), commit(1, 3, "c", 2, 3)).await;
    let second = deletions(&lake).await;
    let back = load(&lake, begin("d"), marked(&[(1, "a"), (2, "b"), (3, "c")]), commit(1, 4, "d", 3, 4)).await;

    assert_eq!((gone.rows_written, gone.rows_removed), (0, 1));
    assert!(first[0].1.is_none() && first[1].1.is_some_and(|at| at > 1_700_000_000_000_000) && first[2].1.is_none());
    assert_eq!((still.rows_written, still.rows_removed, still.files, second), (0, 0, 0, first));
    assert_eq!((back.rows_written, back.rows_removed), (1, 1));
    assert_eq!(deletions(&lake).await, [(1, None), (2, None), (3, None)]);
}

/// Names of all data files on the disk.
fn data_names(lake: &Lake) -> Vec<PathBuf> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(lake.folder.path(), &mut found);
    found.sort();
    found
}
