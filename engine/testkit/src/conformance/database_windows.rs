//! What every sink made of a database promises of whole windows: each is replaced in one step, and nothing outside of it is touched.
//!
//! Read next: `database_diffs.rs`.

use super::database_reader::Form;
use super::database_sink::{DatabaseSinkUnderTest, at, commit, from_hex};
use super::database_watch::Watch;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use karat_plugin_api::{CommitRequest, CursorValue, ErrorKind, LoadRequest, WindowBounds, WriteMode};
use std::sync::Arc;

const DAY_MICROS: i64 = 86_400_000_000;

/// 2024-01-01.
const FIRST_DAY: i64 = 19_723;

/// Midnight, so many days after 2024-01-01.
fn midnight(day: i64) -> i64 {
    (FIRST_DAY + day) * DAY_MICROS
}

fn schema() -> SchemaRef {
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("at", at, true), Field::new("name", DataType::Utf8, true)]))
}

/// Rows of an id, an instant and a name.
fn rows(rows: &[(i64, Option<i64>, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let instants: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.1)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)));
    RecordBatch::try_new(schema(), vec![ids, instants, names]).unwrap()
}

/// A row in the middle of a day.
fn on(id: i64, day: i64, name: &str) -> (i64, Option<i64>, &str) {
    (id, Some(midnight(day) + DAY_MICROS / 2), name)
}

/// The bounds of the days `[from, until)`.
fn days(from: Option<i64>, until: Option<i64>) -> WindowBounds {
    WindowBounds { from: from.map(|day| CursorValue::Timestamp(midnight(day))), until: until.map(|day| CursorValue::Timestamp(midnight(day))), with_null: false }
}

fn all() -> WindowBounds {
    WindowBounds { from: None, until: None, with_null: true }
}

fn request(under_test: &DatabaseSinkUnderTest, key: &[&str], attempt: &str) -> LoadRequest {
    let mode = WriteMode::Window { column: "at".into(), key: key.iter().map(|name| (*name).to_owned()).collect() };
    LoadRequest { schema: schema(), ..under_test.request(mode, 1, attempt) }
}

fn window(seq: u64, attempt: &str, bounds: WindowBounds) -> CommitRequest {
    let hi = i64::try_from(seq).unwrap();
    CommitRequest { window: Some(bounds), ..commit(1, seq, attempt, hi - 1, hi) }
}

/// Ids and names, sorted.
fn content(under_test: &DatabaseSinkUnderTest) -> String {
    let rows = under_test.reader.rows(&under_test.target().table, &[("id", Form::Number), ("name", Form::Text)]);
    let mut rows: Vec<(i64, String)> = rows.into_iter().map(|row| (row[0].as_deref().unwrap().parse().unwrap(), from_hex(row[1].as_deref().unwrap()))).collect();
    rows.sort();
    rows.iter().map(|(id, name)| format!("{id}{name}")).collect::<Vec<_>>().join(" ")
}

/// A window replaces what lies in its bounds and nothing else.
pub async fn a_window_replaces_what_lies_in_its_bounds_and_nothing_else(under_test: DatabaseSinkUnderTest) {
    let first = rows(&[on(1, 5, "a"), (2, Some(midnight(31)), "a"), on(3, 40, "a"), (4, Some(midnight(60) - 1), "a"), (5, Some(midnight(60)), "a"), on(6, 70, "a")]);
    let committed = under_test.load(request(&under_test, &["id"], "a"), first, window(1, "a", all())).await.unwrap();
    assert_eq!((committed.rows_written, committed.rows_removed), (6, 0));

    let second = under_test.load(request(&under_test, &["id"], "b"), rows(&[on(3, 40, "b"), on(7, 41, "b")]), window(2, "b", days(Some(31), Some(60)))).await.unwrap();

    assert_eq!((second.rows_written, second.rows_removed), (2, 3));
    assert_eq!(content(&under_test), "1a 3b 5a 6a 7b");
    assert_eq!(under_test.record().await.map(|record| (record.seq, record.hi)), Some((2, at(2))));
    under_test.load(request(&under_test, &["id"], "c"), rows(&[on(8, -400, "c")]), window(3, "c", days(None, Some(31)))).await.unwrap();
    under_test.load(request(&under_test, &["id"], "d"), rows(&[on(9, 900, "d")]), window(4, "d", days(Some(60), None))).await.unwrap();
    assert_eq!(content(&under_test), "3b 7b 8c 9d");
}

/// A row that moved from another window is there once.
pub async fn a_row_that_moved_from_another_window_is_there_once(under_test: DatabaseSinkUnderTest) {
    under_test.load(request(&under_test, &["id"], "a"), rows(&[on(1, 5, "a"), on(2, 6, "a"), on(3, 40, "a")]), window(1, "a", all())).await.unwrap();

    under_test.load(request(&under_test, &["id"], "b"), rows(&[on(1, 45, "b"), on(3, 40, "b")]), window(2, "b", days(Some(31), Some(60)))).await.unwrap();

    assert_eq!(content(&under_test), "1b 2a 3b");
}

/// An empty window removes what it covers.
pub async fn an_empty_window_removes_what_it_covers(under_test: DatabaseSinkUnderTest) {
    let mut open = under_test.sink.begin(request(&under_test, &["id"], "a")).await.unwrap();
    open.stage().await.unwrap();
    open.commit(window(1, "a", all())).await.unwrap();
    assert_eq!(content(&under_test), "");
    open.write(rows(&[on(1, 5, "a"), on(2, 40, "a")])).await.unwrap();
    open.stage().await.unwrap();
    open.commit(window(2, "a", all())).await.unwrap();
    assert_eq!(content(&under_test), "1a 2a");

    open.stage().await.unwrap();
    let committed = open.commit(window(3, "a", days(Some(0), Some(31)))).await.unwrap();

    assert_eq!((committed.rows_written, committed.rows_removed), (0, 1));
    assert_eq!(content(&under_test), "2a");
}

/// Rows without a value belong to the window that says so.
pub async fn rows_without_a_value_belong_to_the_window_that_says_so(under_test: DatabaseSinkUnderTest) {
    under_test.load(request(&under_test, &["id"], "a"), rows(&[on(1, 5, "a"), (2, None, "a"), (3, None, "a")]), window(1, "a", all())).await.unwrap();

    under_test.load(request(&under_test, &["id"], "b"), rows(&[on(1, 5, "b")]), window(2, "b", days(None, None))).await.unwrap();
    assert_eq!(content(&under_test), "1b 2a 3a");
    let last = WindowBounds { with_null: true, ..days(Some(31), None) };
    under_test.load(request(&under_test, &["id"], "c"), rows(&[(3, None, "c"), on(4, 31, "c")]), window(3, "c", last)).await.unwrap();

    assert_eq!(content(&under_test), "1b 3c 4c");
}

/// One load commits window after window.
pub async fn one_load_commits_window_after_window(under_test: DatabaseSinkUnderTest) {
    under_test.load(request(&under_test, &["id"], "a"), rows(&[on(1, 5, "a"), on(2, 40, "a"), on(3, 70, "a"), on(4, 100, "a")]), window(1, "a", all())).await.unwrap();

    let mut open = under_test.sink.begin(request(&under_test, &["id"], "b")).await.unwrap();
    for (seq, bounds, batch) in [
        (2, days(Some(0), Some(31)), Some(rows(&[on(1, 5, "b"), on(5, 6, "b")]))),
        (3, days(Some(31), Some(60)), None),
        (4, days(Some(60), Some(91)), Some(rows(&[on(6, 71, "b")]))),
        (5, days(Some(91), None), Some(rows(&[on(4, 101, "b"), on(5, 102, "moved")]))),
    ] {
        if let Some(batch) = batch {
            open.write(batch.slice(0, 1)).await.unwrap();
            open.write(batch.slice(1, batch.num_rows() - 1)).await.unwrap();
        }
        open.stage().await.unwrap();
        open.commit(window(seq, "b", bounds)).await.unwrap();
    }

    assert_eq!(content(&under_test), "1b 4b 5moved 6b");
}

/// Without a key only the window counts.
pub async fn without_a_key_only_the_window_counts(under_test: DatabaseSinkUnderTest) {
    let (twice, other) = (on(1, 5, "a"), on(2, 40, "a"));
    under_test.load(request(&under_test, &[], "a"), rows(&[twice, twice, other, other]), window(1, "a", all())).await.unwrap();

    under_test.load(request(&under_test, &[], "b"), rows(&[on(1, 5, "b"), on(1, 5, "b"), on(1, 5, "b")]), window(2, "b", days(Some(0), Some(31)))).await.unwrap();

    assert_eq!(content(&under_test), "1b 1b 1b 2a 2a");
}

/// A reader sees only whole windows.
pub async fn a_reader_sees_only_whole_windows(under_test: DatabaseSinkUnderTest) {
    const ROWS: i64 = 500;
    // Every other row moves between two windows, and each round has other ids.
    let round = |number: i64| {
        let name = format!("{number:03}");
        let all: Vec<_> = (0..ROWS).map(|row| (number * ROWS / 2 + row, Some(midnight(31 + (row + number) % 20)), name.clone())).collect();
        rows(&all.iter().map(|(id, at, name)| (*id, *at, name.as_str())).collect::<Vec<_>>())
    };
    under_test.load(request(&under_test, &["id"], "r1"), round(1), window(1, "r1", days(Some(31), Some(60)))).await.unwrap();
    let watch = Watch::names(&under_test);

    for number in 2..=10 {
        let attempt = format!("r{number}");
        let to_commit = window(u64::try_from(number).unwrap(), &attempt, days(Some(31), Some(60)));
        under_test.load(request(&under_test, &["id"], &attempt), round(number), to_commit).await.unwrap();
    }

    watch.saw_one_name_in(ROWS);
}

/// A window that does not follow the newest record is a conflict, and one that was committed is not committed twice.
pub async fn a_window_extends_exactly_the_newest_record(under_test: DatabaseSinkUnderTest) {
    under_test.load(request(&under_test, &["id"], "a"), rows(&[on(1, 5, "a")]), window(1, "a", all())).await.unwrap();

    let refused = under_test.load(request(&under_test, &["id"], "b"), rows(&[on(2, 5, "b")]), window(3, "b", all())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", refused.chain());
    let again = under_test.load(request(&under_test, &["id"], "a"), rows(&[on(1, 5, "a")]), window(1, "a", all())).await.unwrap();

    assert!(again.was_already_applied);
    assert_eq!(content(&under_test), "1a");
}
