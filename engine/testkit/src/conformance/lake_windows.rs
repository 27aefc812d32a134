//! What every sink made of files promises of whole windows: each is replaced in one step, and nothing outside of it is touched.

use super::lake::{Lake, LakeUnderTest, append, commit, content, expected, load, open, request};
use super::lake_diffs::{deletions, marked, marked_schema};
use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::{CommitRequest, CursorValue, ErrorKind, LoadRequest, StreamId, WindowBounds, WriteMode};
use std::sync::Arc;

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
