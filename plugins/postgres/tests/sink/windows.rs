//! Whole windows of a table: what is touched, what is left alone, and what a broken connection leaves.

use crate::world::{World, commit, newest, request, sink, world};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use karat_plugin_api::{CommitRequest, CursorValue, ErrorKind, LoadRequest, Sink, WindowBounds, WriteMode};
use karat_testkit::servers::{ChaosProxy, Cut, PostgresServer};
use std::sync::Arc;
use std::time::Duration;

const DAY_MICROS: i64 = 86_400_000_000;

/// Rows of an id, a day and a name; `None` is NULL.
fn batch(rows: &[(i64, Option<i64>, &str)]) -> RecordBatch {
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("at", at, true), Field::new("name", DataType::Utf8, true)]);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.1.map(|day| day * DAY_MICROS))).with_timezone("UTC"));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2)));
    RecordBatch::try_new(Arc::new(schema), vec![ids, at, names]).unwrap()
}

fn days(from: Option<i64>, until: Option<i64>) -> WindowBounds {
    let bound = |day: i64| CursorValue::Timestamp(day * DAY_MICROS);
    WindowBounds { from: from.map(bound), until: until.map(bound), with_null: false }
}

fn windowed(key: &[&str], attempt: &str) -> LoadRequest {
    let mode = WriteMode::Window { column: "at".into(), key: key.iter().map(|name| (*name).to_owned()).collect() };
    let mut request = LoadRequest { schema: batch(&[]).schema(), ..request(mode, 1, attempt) };
    request.table.key = key.iter().map(|name| (*name).to_owned()).collect();
    request
}

fn window(seq: u64, attempt: &str, bounds: WindowBounds) -> CommitRequest {
    let hi = i64::try_from(seq).unwrap();
    CommitRequest { window: Some(bounds), ..commit(1, seq, attempt, hi - 1, hi) }
}

async fn load(sink: &Arc<dyn Sink>, key: &[&str], rows: &[(i64, Option<i64>, &str)], to_commit: CommitRequest) {
    let attempt = to_commit.record.attempt.rsplit_once('-').unwrap().0.to_owned();
    let mut open = sink.begin(windowed(key, &attempt)).await.unwrap();
    open.write(batch(rows)).await.unwrap();
    open.stage().await.unwrap();
    open.commit(to_commit).await.unwrap();
}

fn content(world: &World) -> String {
    world.database.query("SELECT coalesce(string_agg(id || name, ' ' ORDER BY id), '') FROM bronze.t").trim().to_owned()
}

fn versions(world: &World, ids: &str) -> String {
    world.database.query(&format!("SELECT id, xmin, ctid FROM bronze.t WHERE id IN ({ids}) ORDER BY id"))
}

#[tokio::test]
async fn rows_of_a_window_that_are_equal_stay_as_they_are() {
    let Some(world) = world("equal rows of a window") else { return };
    load(&world.sink, &["id"], &[(1, Some(5), "a"), (2, Some(6), "a"), (3, Some(7), "a"), (4, Some(50), "a")], window(1, "a", days(None, None))).await;
    assert_eq!(world.relations(), "karat_commits karat_commits_pkey t t_idx t_pkey", "the column of windows has an index");
    let before = versions(&world, "1, 4");

    load(&world.sink, &["id"], &[(1, Some(5), "a"), (2, Some(6), "b"), (5, Some(8), "b")], window(2, "b", days(Some(0), Some(31)))).await;

    assert_eq!(content(&world), "1a 2b 4a 5b");
    assert_eq!(versions(&world, "1, 4"), before);
    assert_eq!(world.database.query("SELECT table_rows FROM bronze.karat_commits").trim(), "4");
}

#[tokio::test]
async fn infinite_instants_belong_to_the_window_without_an_end() {
    let Some(world) = world("infinite instants") else { return };
    load(&world.sink, &["id"], &[(1, Some(5), "a"), (2, Some(50), "a"), (3, Some(60), "a"), (4, None, "a")], window(1, "a", days(None, None))).await;
    world.database.execute("UPDATE bronze.t SET at = 'infinity' WHERE id = 2; UPDATE bronze.t SET at = '-infinity' WHERE id = 1");

    load(&world.sink, &["id"], &[(5, Some(40), "b")], window(2, "b", days(Some(31), Some(59)))).await;
    assert_eq!(content(&world), "1a 2a 3a 4a 5b");
    load(&world.sink, &["id"], &[(6, Some(60), "c")], window(3, "c", days(Some(59), None))).await;
    assert_eq!(content(&world), "1a 4a 5b 6c");
    load(&world.sink, &["id"], &[(7, Some(0), "d")], window(4, "d", days(None, Some(31)))).await;

    assert_eq!(content(&world), "4a 5b 6c 7d");
}

#[tokio::test]
async fn a_table_without_a_unique_index_takes_windows_too() {
    let Some(world) = world("windows without a unique index") else { return };
    world.database.execute("CREATE SCHEMA bronze; CREATE TABLE bronze.t (id bigint, at timestamptz, name text)");
    load(&world.sink, &["id"], &[(1, Some(5), "a"), (2, Some(6), "a"), (3, Some(40), "a")], window(1, "a", days(None, None))).await;

    load(&world.sink, &["id"], &[(3, Some(7), "b"), (2, Some(6), "b")], window(2, "b", days(Some(0), Some(31)))).await;

    assert_eq!(content(&world), "2b 3b");
}

#[tokio::test]
async fn rows_of_a_partitioned_table_are_counted_as_those_of_any_other() {
    let Some(world) = world("windows of a partitioned table") else { return };
    world.database.execute(
        "CREATE SCHEMA bronze; CREATE TABLE bronze.t (id bigint, at timestamptz, name text, UNIQUE (id, at)) PARTITION BY RANGE (at); \
         CREATE TABLE bronze.t_old PARTITION OF bronze.t FOR VALUES FROM (MINVALUE) TO ('1970-02-01'); CREATE TABLE bronze.t_new PARTITION OF bronze.t DEFAULT",
    );
    load(&world.sink, &["id", "at"], &[(1, Some(5), "a"), (2, Some(6), "a"), (3, Some(40), "a")], window(1, "a", days(None, None))).await;

    load(&world.sink, &["id", "at"], &[(1, Some(5), "b"), (2, Some(6), "a"), (3, Some(41), "b")], window(2, "b", days(None, None))).await;

    assert_eq!(content(&world), "1b 2a 3b");
    assert_eq!(world.database.query("SELECT table_rows FROM bronze.karat_commits").trim(), "3");
}

#[tokio::test]
async fn a_key_that_is_twice_in_a_window_is_refused_and_changes_nothing() {
    let Some(world) = world("a key twice in a window") else { return };
    load(&world.sink, &["id"], &[(1, Some(5), "a")], window(1, "a", days(None, None))).await;
    let mut open = world.sink.begin(windowed(&["id"], "b")).await.unwrap();
    open.write(batch(&[(2, Some(5), "b"), (2, Some(6), "c")])).await.unwrap();
    open.stage().await.unwrap();

    let refused = open.commit(window(2, "b", days(None, None))).await.unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::BadData, "{}", refused.chain());
    assert_eq!((content(&world).as_str(), newest(&world.sink).await), ("1a", Some((1, "a-1".into()))));
}

#[tokio::test]
async fn a_window_whose_reply_is_lost_is_found_in_the_target() {
    let Some(world) = world("lost reply of a window") else { return };
    load(&world.sink, &["id"], &[(1, Some(5), "a"), (2, Some(50), "a")], window(1, "a", days(None, None))).await;
    let proxy = ChaosProxy::to(world.database.port());
    let through = sink(&world.database.url_through(&proxy));
    let mut open = through.begin(windowed(&["id"], "b")).await.unwrap();
    open.write(batch(&[(3, Some(5), "b")])).await.unwrap();
    open.stage().await.unwrap();

    proxy.cut(Cut::reply_to(b"COMMIT").times(1));
    let error = open.commit(window(2, "b", days(Some(0), Some(31)))).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{}", error.chain());
    assert_eq!(newest(&through).await, Some((2, "b-2".into())));
    assert_eq!(content(&world), "2a 3b");
}

#[tokio::test]
async fn windows_killed_at_random_moments_are_whole_or_not_there() {
    let server = match PostgresServer::start() {
        Ok(server) => server,
        Err(skip) => return skip.report("windows and random kills"),
    };
    let world = crate::world::on(&server);
    let all = |name: &'static str| (0..1_000).map(|id| (id, Some(id % 31), name)).collect::<Vec<_>>();
    load(&world.sink, &["id"], &all("x"), window(1, "x", days(None, None))).await;
    let mut seq = 1;
    for (round, attempt) in ["b0", "b1", "b2", "b3", "b4", "b5"].into_iter().enumerate() {
        let mut open = world.sink.begin(windowed(&["id"], attempt)).await.unwrap();
        open.write(batch(&all(attempt))).await.unwrap();
        open.stage().await.unwrap();
        let next = window(seq + 1, attempt, days(Some(0), Some(31)));
        let committing = tokio::spawn(async move { open.commit(next).await });
        tokio::time::sleep(Duration::from_micros(2_000 * round as u64)).await;
        server.kill();
        let answer = committing.await.unwrap();
        server.restart();

        let (found, by) = newest(&world.sink).await.unwrap();
        assert!(answer.is_err() || found == seq + 1, "an acknowledged window is gone");
        seq = found;
        assert_eq!(world.database.query("SELECT count(*), min(name), max(name) FROM bronze.t").trim(), format!("1000\t{0}\t{0}", by.rsplit_once('-').unwrap().0), "half a window");
    }
}
