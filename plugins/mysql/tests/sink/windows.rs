//! Windows of every kind of column, and what a target must be to take them.

use crate::world::{World, load, staged};
use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use karat_plugin_api::{CommitRequest, Committed, ConnectorError, CursorValue, ErrorKind, LoadRequest, StreamId, WindowBounds, WriteMode};
use karat_testkit::servers::{ChaosProxy, Cut, Direction};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DAY_MICROS: i64 = 86_400_000_000;
/// 2024-01-01.
const JANUARY: i64 = 19_723;

macro_rules! world {
    ($name:literal) => {
        match World::new() {
            Ok(world) => world,
            Err(skip) => return skip.report($name),
        }
    };
}

/// Days since 2024-01-01 as values of a type.
fn instants(days: &[i64], data_type: &DataType) -> ArrayRef {
    let days = days.iter().map(|day| JANUARY + day);
    match data_type {
        DataType::Date32 => Arc::new(Date32Array::from_iter_values(days.map(|day| i32::try_from(day).unwrap()))),
        DataType::Timestamp(_, zone) => Arc::new(TimestampMicrosecondArray::from_iter_values(days.map(|day| day * DAY_MICROS)).with_timezone_opt(zone.clone())),
        DataType::Utf8 => Arc::new(StringArray::from_iter_values(days.map(|day| format!("day {day}")))),
        other => panic!("{other}"),
    }
}

fn rows(rows: &[(i64, i64)], data_type: &DataType, name: &str) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("at", data_type.clone(), true), Field::new("name", DataType::Utf8, true)]);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, rows.len())));
    let at = instants(&rows.iter().map(|row| row.1).collect::<Vec<_>>(), data_type);
    RecordBatch::try_new(Arc::new(schema), vec![ids, at, names]).unwrap()
}

fn naive() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn request(world: &World, batch: &RecordBatch, key: &[&str], attempt: &str) -> LoadRequest {
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    let mut request = world.request(WriteMode::Window { column: "at".into(), key: key.clone() }, 1, 1, attempt);
    (request.schema, request.table.key) = (batch.schema(), key);
    request
}

fn bounds(from: Option<i64>, until: Option<i64>, is_date: bool) -> WindowBounds {
    let value = |day: i64| match is_date {
        true => CursorValue::Date(i32::try_from(JANUARY + day).unwrap()),
        false => CursorValue::Timestamp((JANUARY + day) * DAY_MICROS),
    };
    WindowBounds { from: from.map(value), until: until.map(value), with_null: false }
}

fn commit(world: &World, seq: u64, attempt: &str, window: WindowBounds) -> CommitRequest {
    let hi = i64::try_from(seq).unwrap();
    CommitRequest { window: Some(window), ..world.commit(1, seq, attempt, hi - 1, hi) }
}

async fn window(world: &World, seq: u64, batch: RecordBatch, bounds: WindowBounds) -> Result<Committed, ConnectorError> {
    let attempt = format!("w{seq}");
    load(&world.sink, request(world, &batch, &["id"], &attempt), batch, commit(world, seq, &attempt, bounds)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_dates_and_of_instants_with_and_without_a_zone_are_the_same() {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (declared, data_type) in [("date", DataType::Date32), ("datetime(6)", naive()), ("datetime(6)", utc.clone()), ("timestamp(6) NULL", utc), ("datetime", DataType::Date32)] {
        let world = world!("windows_of_dates_and_of_instants_with_and_without_a_zone_are_the_same");
        world.database.execute(&format!("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, at {declared}, name text, KEY (at));"));
        let first = rows(&[(1, -1), (2, 0), (3, 30), (4, 31), (5, 60)], &data_type, "a");
        window(&world, 1, first, bounds(None, None, false)).await.unwrap();

        for (seq, is_date) in [(2, true), (3, false)] {
            let name = format!("w{seq}");
            let done = window(&world, seq, rows(&[(2, 0)], &data_type, &name), bounds(Some(0), Some(31), is_date)).await.unwrap();
            assert_eq!((done.rows_written, done.rows_removed), (1, if seq == 2 { 2 } else { 1 }), "{declared} {data_type}");
        }

        assert_eq!(world.content(), ["1=a", "2=w3", "4=a", "5=a"], "{declared} {data_type}");
        // Days that the server does not know.
        window(&world, 4, rows(&[], &data_type, ""), bounds(Some(-900_000), Some(-800_000), true)).await.unwrap();
        window(&world, 5, rows(&[], &data_type, ""), bounds(Some(3_000_000), None, true)).await.unwrap();
        assert_eq!(world.content().len(), 4);
        let emptied = window(&world, 6, rows(&[], &data_type, ""), bounds(Some(-900_000), Some(3_000_000), true)).await.unwrap();
        assert_eq!((emptied.rows_written, emptied.rows_removed, world.content().len()), (0, 4, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_window_that_stay_the_same_are_not_written() {
    let world = world!("rows_of_a_window_that_stay_the_same_are_not_written");
    let first = rows(&[(1, 0), (2, 1), (3, 2), (4, 40)], &naive(), "a");
    window(&world, 1, first.clone(), bounds(None, None, false)).await.unwrap();
    world.database.execute(
        "CREATE TABLE log (what text); CREATE TRIGGER a AFTER INSERT ON bronze_t FOR EACH ROW INSERT INTO log VALUES (CONCAT('+', NEW.id)); \
         CREATE TRIGGER b AFTER UPDATE ON bronze_t FOR EACH ROW INSERT INTO log VALUES (CONCAT('=', NEW.id)); \
         CREATE TRIGGER c AFTER DELETE ON bronze_t FOR EACH ROW INSERT INTO log VALUES (CONCAT('-', OLD.id));",
    );

    let same = window(&world, 2, first.slice(0, 3), bounds(Some(0), Some(31), false)).await.unwrap();
    assert_eq!((same.rows_written, same.rows_removed, world.database.query("SELECT what FROM log")), (0, 0, String::new()));
    let moved = window(&world, 3, rows(&[(1, 0), (4, 5), (5, 6)], &naive(), "a"), bounds(Some(0), Some(31), false)).await.unwrap();

    assert_eq!((moved.rows_written, moved.rows_removed), (2, 3));
    let written = world.database.query("SELECT what FROM log");
    assert_eq!(written.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["+5", "-2", "-3", "=4"]));
    assert!(world.database.query("SHOW CREATE TABLE bronze_t").contains("KEY `karat_window` (`at`)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_needs_a_column_of_dates_and_a_key_that_is_unique() {
    for (made, data_type, kind) in [
        ("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, at varchar(20), name text);", DataType::Utf8, ErrorKind::SchemaMismatch),
        ("CREATE TABLE bronze_t (id bigint NOT NULL, at datetime(6), name text, KEY (id));", naive(), ErrorKind::Refused),
    ] {
        let world = world!("a_window_needs_a_column_of_dates_and_a_key_that_is_unique");
        world.database.execute(made);
        let error = window(&world, 1, rows(&[(1, 0)], &data_type, "a"), bounds(None, None, false)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", error.chain());
    }
    let world = world!("a_window_needs_a_column_of_dates_and_a_key_that_is_unique");
    window(&world, 1, rows(&[(1, 0)], &naive(), "a"), bounds(None, None, false)).await.unwrap();
    let twice = window(&world, 2, rows(&[(1, 0), (1, 1)], &naive(), "b"), bounds(None, None, false)).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::BadData, "{}", twice.chain());
    assert_eq!(world.content(), ["1=a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_commit_of_a_window_is_found_out_from_the_target() {
    for (is_applied, cut) in [(true, Cut::reply_to(b"\x03COMMIT").times(1)), (false, Cut::before(Direction::ToServer, b"\x03COMMIT").times(1))] {
        let world = world!("a_lost_answer_to_the_commit_of_a_window_is_found_out_from_the_target");
        window(&world, 1, rows(&[(1, 0), (2, 40)], &naive(), "a"), bounds(None, None, false)).await.unwrap();
        let proxy = ChaosProxy::to(world.database.port());
        let batch = rows(&[(1, 1)], &naive(), "b");
        let mut open = staged(&world.through(&proxy), request(&world, &batch, &["id"], "b"), batch).await.unwrap();
        proxy.cut(cut);

        let error = open.commit(commit(&world, 2, "b", bounds(Some(0), Some(31), false))).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{}", error.chain());
        assert_eq!(world.record().await.unwrap().seq, if is_applied { 2 } else { 1 });
        assert_eq!(world.content(), [if is_applied { "1=b" } else { "1=a" }, "2=a"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_loads_of_windows_of_one_table_all_succeed() {
    const ROUNDS: u64 = 15;
    let world = world!("four_loads_of_windows_of_one_table_all_succeed");
    window(&world, 1, rows(&[(1, 0)], &naive(), "first"), bounds(None, None, false)).await.unwrap();

    let writers = (0..4_i64).map(|worker| {
        let stream = StreamId::new("p", &format!("writer.w{worker}"));
        let sink = Arc::clone(&world.sink);
        // Each has a window of its own, and all want the same keys.
        let (from, until) = (31 * worker, 31 * (worker + 1));
        let batch = rows(&(1..=300).map(|id| (id, from + id % 31)).collect::<Vec<_>>(), &naive(), &format!("w{worker}"));
        let request = LoadRequest { stream: stream.clone(), ..request(&world, &batch, &["id"], &format!("w{worker}")) };
        let commits: Vec<_> = (1..=ROUNDS)
            .map(|seq| {
                let mut commit = commit(&world, seq, &format!("w{worker}"), bounds(Some(from), Some(until), false));
                commit.record.stream = stream.clone();
                commit
            })
            .collect();
        tokio::spawn(async move {
            let mut open = sink.begin(request).await.unwrap();
            let mut longest = Duration::ZERO;
            for commit in commits {
                open.write(batch.clone()).await.unwrap();
                open.stage().await.unwrap();
                let started = Instant::now();
                open.commit(commit).await.unwrap();
                longest = longest.max(started.elapsed());
            }
            longest
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        let longest = writer.await.unwrap();
        assert!(longest < Duration::from_secs(10), "a window took {longest:?}");
    }

    let content = world.content();
    assert_eq!(content.len(), 300, "each key is there once");
    assert_eq!(world.database.query("SELECT COUNT(DISTINCT name) FROM bronze_t"), "1\n", "the last window has them all");
}
