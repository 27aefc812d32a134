//! What every sink made of files promises of whole loads that are compared with what it holds: only what differs is touched.

use super::lake::{Lake, LakeUnderTest, append, commit, content, expected, load, open, request, rows, schema, target};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use karat_plugin_api::{DELETED_AT, ErrorKind, FileLayout, LoadRequest, WriteMode};
use karat_spec::model::Deletes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

pub(super) fn marked_schema() -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DELETED_AT, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)));
    Arc::new(Schema::new(fields))
}

pub(super) fn marked(rows: &[(i64, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    let never: ArrayRef = arrow::array::new_null_array(marked_schema().field(2).data_type(), rows.len());
    RecordBatch::try_new(marked_schema(), vec![ids, names, never]).unwrap()
}

pub(super) async fn deletions(lake: &Lake) -> Vec<(i64, Option<i64>)> {
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
