//! Whole loads that are compared with a table: what is touched, what is left alone, and what a broken connection leaves.

use crate::world::{World, commit, newest, request, sink, world};
use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use karat_plugin_api::{Committed, ConnectorError, ErrorKind, Load, LoadRequest, NativeTypes, Sink, WriteMode};
use karat_spec::model::Deletes;
use karat_testkit::servers::{ChaosProxy, Cut, PostgresServer};
use std::sync::Arc;
use std::time::Duration;

fn batch(columns: Vec<(&str, ArrayRef, bool)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, array, nullable)| Field::new(*name, array.data_type().clone(), *nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array, _)| array).collect()).unwrap()
}

/// Rows of an id and a name.
fn rows(rows: &[(i64, &str)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    batch(vec![("id", ids, false), ("name", names, true)])
}

fn compared(batch: &RecordBatch, deletes: Deletes, max_delete: f64, attempt: &str) -> LoadRequest {
    let mode = WriteMode::Diff { key: vec!["id".into()], deletes, max_delete };
    LoadRequest { schema: batch.schema(), ..request(mode, 1, attempt) }
}

async fn staged(sink: &Arc<dyn Sink>, request: LoadRequest, batch: RecordBatch) -> Result<Box<dyn Load>, ConnectorError> {
    let mut open = sink.begin(request).await?;
    open.write(batch).await?;
    open.stage().await?;
    Ok(open)
}

async fn load(world: &World, request: LoadRequest, batch: RecordBatch, seq: u64) -> Result<Committed, ConnectorError> {
    let attempt = request.attempt.clone();
    let hi = i64::try_from(seq).unwrap();
    staged(&world.sink, request, batch).await?.commit(commit(1, seq, &attempt, hi - 1, hi)).await
}

async fn diff(world: &World, seq: u64, batch: RecordBatch) -> Committed {
    load(world, compared(&batch, Deletes::Hard, 1.0, &format!("d{seq}")), batch, seq).await.unwrap()
}

fn content(world: &World) -> String {
    world.database.query("SELECT coalesce(string_agg(id || name, ' ' ORDER BY id), '') FROM bronze.t").trim().to_owned()
}

#[tokio::test]
async fn only_rows_that_differ_are_written() {
    let Some(world) = world("rows that differ") else { return };
    diff(&world, 1, rows(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")])).await;
    let versions = || world.database.query("SELECT id, xmin, ctid FROM bronze.t WHERE id IN (1, 4) ORDER BY id");
    let before = versions();

    let committed = diff(&world, 2, rows(&[(4, "d"), (2, "x"), (1, "a"), (5, "e")])).await;

    assert_eq!((committed.rows_written, committed.rows_removed), (2, 2));
    assert_eq!((content(&world).as_str(), versions()), ("1a 2x 4d 5e", before));
    assert_eq!(world.database.query("SELECT table_rows FROM bronze.karat_commits").trim(), "4");
    let sizes = || world.database.query("SELECT pg_relation_size('bronze.t'), n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_all_tables WHERE relid = 'bronze.t'::regclass");
    let quiet = sizes();
    diff(&world, 3, rows(&[(4, "d"), (2, "x"), (1, "a"), (5, "e")])).await;
    assert_eq!(sizes(), quiet);
}

#[tokio::test]
async fn values_are_compared_by_their_bytes() {
    let Some(world) = world("bytes of values") else { return };
    let table = |price: &str, document: &str, real: f64, tags: &str| {
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let real: ArrayRef = Arc::new(Float64Array::from(vec![real]));
        let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        batch(vec![
            ("id", id, false),
            ("price", text(price), true),
            ("document", text(document), true),
            ("real", real, true),
            ("tags", text(tags), true),
            ("place", text("(1,2)"), true),
        ])
    };
    let native = [("price", "numeric"), ("document", "json"), ("tags", "jsonb"), ("place", "point")].map(|(name, declared)| (name.to_owned(), declared.to_owned()));
    let request = |batch: &RecordBatch, seq: u64| {
        let mut request = compared(batch, Deletes::Hard, 1.0, &format!("d{seq}"));
        request.table.native = Some(NativeTypes { system: "postgres".into(), columns: native.to_vec() });
        request
    };
    let first = table("1.0", "{\"a\": 1}", 0.0, "{\"a\": 1, \"b\": 2}");
    load(&world, request(&first, 1), first.clone(), 1).await.unwrap();
    let steps = [
        (first, 0),
        (table("1.0", "{\"a\": 1}", 0.0, "{ \"b\": 2, \"a\": 1 }"), 0),
        (table("1.00", "{\"a\": 1}", 0.0, "{\"a\": 1, \"b\": 2}"), 1),
        (table("1.00", "{\"a\":1}", 0.0, "{\"a\": 1, \"b\": 2}"), 1),
        (table("1.00", "{\"a\":1}", -0.0, "{\"a\": 1, \"b\": 2}"), 1),
        (table("1.00", "{\"a\":1}", f64::NAN, "{\"a\": 1, \"b\": 2}"), 1),
        (table("1.00", "{\"a\":1}", f64::NAN, "{\"a\": 1, \"b\": 2}"), 0),
    ];
    for (step, (batch, written)) in steps.into_iter().enumerate() {
        let seq = step as u64 + 2;
        let committed = load(&world, request(&batch, seq), batch, seq).await.unwrap();
        assert_eq!((committed.rows_written, committed.rows_removed), (written, written), "step {step}");
    }
    assert_eq!(world.database.query("SELECT price, document, \"real\" FROM bronze.t"), "1.00\t{\"a\":1}\tNaN\n");
}

#[tokio::test]
async fn keys_that_are_equal_and_not_the_same_are_replaced_once() {
    let Some(world) = world("keys of two forms") else { return };
    let keyed = |id: &str| batch(vec![("id", Arc::new(StringArray::from(vec![id])) as ArrayRef, false)]);
    let request = |batch: &RecordBatch, seq: u64| {
        let mut request = compared(batch, Deletes::Hard, 1.0, &format!("d{seq}"));
        request.table.native = Some(NativeTypes { system: "postgres".into(), columns: vec![("id".into(), "numeric".into())] });
        request
    };
    load(&world, request(&keyed("1.0"), 1), keyed("1.0"), 1).await.unwrap();

    for (seq, written) in [(2, 1), (3, 0)] {
        let committed = load(&world, request(&keyed("1.00"), seq), keyed("1.00"), seq).await.unwrap();
        assert_eq!((committed.rows_written, committed.rows_removed), (written, written));
    }

    assert_eq!(world.database.query("SELECT id FROM bronze.t"), "1.00\n");
}

#[tokio::test]
async fn columns_that_are_new_or_wider_are_compared_as_they_will_be() {
    let Some(world) = world("a diff that changes columns") else { return };
    let old = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2])), false), ("n", Arc::new(Int32Array::from(vec![1, 2])), false)]);
    diff(&world, 1, old).await;
    let before = world.database.query("SELECT xmin FROM bronze.t WHERE id = 1");
    let extra: ArrayRef = Arc::new(StringArray::from(vec![None, Some("new")]));
    let new = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2])), false), ("n", Arc::new(Int64Array::from(vec![1, 2])), false), ("extra", extra, true)]);

    let committed = diff(&world, 2, new).await;

    assert_eq!((committed.rows_written, committed.rows_removed), (1, 1));
    assert_eq!(world.database.query("SELECT id, n, extra FROM bronze.t ORDER BY id"), "1\t1\t\\N\n2\t2\tnew\n");
    assert_ne!(before, "", "a wider type rewrites the table, which is not ours to count");
}

#[tokio::test]
async fn a_row_takes_over_what_a_vanished_one_held_in_another_unique_index() {
    let Some(world) = world("a value of another unique index") else { return };
    diff(&world, 1, rows(&[(1, "a"), (2, "b")])).await;
    world.database.execute("CREATE UNIQUE INDEX ON bronze.t (name)");

    diff(&world, 2, rows(&[(2, "b"), (3, "a")])).await;

    assert_eq!(content(&world), "2b 3a");
}

#[tokio::test]
async fn a_table_without_a_unique_index_on_the_key_is_refused() {
    let Some(world) = world("a diff without a unique index") else { return };
    world.database.execute("CREATE SCHEMA bronze; CREATE TABLE bronze.t (id bigint, name text)");
    let now = rows(&[(1, "a")]);

    let refused = world.sink.begin(compared(&now, Deletes::Hard, 1.0, "a")).await.err().unwrap();

    assert_eq!(refused.kind(), ErrorKind::Refused, "{}", refused.chain());
}

#[tokio::test]
async fn soft_deletes_begin_with_a_new_column_and_keep_their_time() {
    let Some(world) = world("soft deletes of an older table") else { return };
    diff(&world, 1, rows(&[(1, "a"), (2, "b"), (3, "c")])).await;
    let soft = |now: &[(i64, &str)]| {
        let plain = rows(now);
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let columns = plain.columns().to_vec();
        batch(vec![("id", columns[0].clone(), false), ("name", columns[1].clone(), true), ("_deleted_at", new_null_array(&instant, plain.num_rows()), true)])
    };
    let now = soft(&[(1, "a"), (2, "b")]);
    let committed = load(&world, compared(&now, Deletes::Soft, 0.5, "d2"), now, 2).await.unwrap();
    assert_eq!((committed.rows_written, committed.rows_removed), (0, 1));
    assert_eq!(
        world.database.query("SELECT id FROM bronze.t WHERE _deleted_at = (SELECT committed_at FROM bronze.karat_commits) OR _deleted_at > now() - interval '1 minute'"),
        "3\n"
    );
    assert_eq!(
        world.database.query("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'bronze.t'::regclass AND attname = '_deleted_at'").trim(),
        "timestamp with time zone"
    );
    assert_eq!(world.database.query("SELECT table_rows FROM bronze.karat_commits").trim(), "3", "the row is still there");
    let marked = world.database.query("SELECT _deleted_at, xmin FROM bronze.t WHERE id = 3");

    let now = soft(&[(1, "a"), (2, "x")]);
    load(&world, compared(&now, Deletes::Soft, 0.5, "d3"), now, 3).await.unwrap();

    assert_eq!(world.database.query("SELECT _deleted_at, xmin FROM bronze.t WHERE id = 3"), marked);
    // Hard deletes end what was marked before, and count only the row that vanishes now: half of the two that are left.
    let now = soft(&[(2, "x")]);
    let committed = load(&world, compared(&now, Deletes::Hard, 0.5, "d4"), now, 4).await.unwrap();
    assert_eq!((committed.rows_written, committed.rows_removed), (0, 2));
    assert_eq!((content(&world).as_str(), world.database.query("SELECT table_rows FROM bronze.karat_commits").trim()), ("2x", "1"));
}

#[tokio::test]
async fn a_comparison_that_is_no_longer_true_is_a_conflict() {
    let Some(world) = world("a late comparison") else { return };
    diff(&world, 1, rows(&[(1, "a"), (2, "b")])).await;
    let late = rows(&[(1, "late")]);
    let mut open = staged(&world.sink, compared(&late, Deletes::Hard, 1.0, "late"), late).await.unwrap();
    diff(&world, 2, rows(&[(1, "a"), (2, "b"), (3, "c")])).await;

    let refused = open.commit(commit(1, 2, "late", 1, 2)).await.unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::Conflict, "{}", refused.chain());
    assert_eq!(content(&world), "1a 2b 3c");
}

#[tokio::test]
async fn readers_go_on_and_other_writers_wait() {
    let Some(world) = world("locks of a diff") else { return };
    diff(&world, 1, rows(&[(1, "a"), (2, "b")])).await;
    let mut writer = world.database.session();
    writer.execute("BEGIN; INSERT INTO bronze.t VALUES (100, 'somebody');");
    let now = rows(&[(1, "a"), (2, "new")]);
    let mut open = staged(&world.sink, compared(&now, Deletes::Hard, 1.0, "d2"), now).await.unwrap();

    let committing = tokio::spawn(async move { open.commit(commit(1, 2, "d2", 1, 2)).await });
    while world.database.query("SELECT count(*) FROM pg_locks WHERE NOT granted").trim() == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(content(&world), "1a 2b", "readers do not wait");
    writer.execute("COMMIT;");

    committing.await.unwrap().unwrap();
    assert_eq!(content(&world), "1a 2new 100somebody");
}

#[tokio::test]
async fn a_diff_whose_reply_is_lost_is_found_in_the_target() {
    let Some(world) = world("lost reply of a diff") else { return };
    diff(&world, 1, rows(&[(1, "a"), (2, "b")])).await;
    let proxy = ChaosProxy::to(world.database.port());
    let through = sink(&world.database.url_through(&proxy));
    let now = rows(&[(2, "c"), (3, "d")]);
    let mut open = staged(&through, compared(&now, Deletes::Hard, 1.0, "d2"), now).await.unwrap();

    proxy.cut(Cut::reply_to(b"COMMIT").times(1));
    let error = open.commit(commit(1, 2, "d2", 1, 2)).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{}", error.chain());
    assert_eq!((newest(&through).await, content(&world).as_str()), (Some((2, "d2-2".into())), "2c 3d"));
}

#[tokio::test]
async fn diffs_killed_at_random_moments_are_whole_or_not_there() {
    let server = match PostgresServer::start() {
        Ok(server) => server,
        Err(skip) => return skip.report("diffs and random kills"),
    };
    let world = crate::world::on(&server);
    // Each load has other keys, and the same name in all rows.
    let all = |round: i64, name: &'static str| rows(&(0..1_000).map(|id| (id + 300 * round, name)).collect::<Vec<_>>());
    diff(&world, 1, all(0, "d")).await;
    let mut seq = 1;
    for (round, name) in ["b0", "b1", "b2", "b3", "b4", "b5"].into_iter().enumerate() {
        let now = all(round as i64 + 1, name);
        let mut open = staged(&world.sink, compared(&now, Deletes::Hard, 1.0, name), now).await.unwrap();
        let hi = i64::try_from(seq).unwrap() + 1;
        let next = commit(1, seq + 1, name, hi - 1, hi);
        let committing = tokio::spawn(async move { open.commit(next).await });
        tokio::time::sleep(Duration::from_micros(2_000 * round as u64)).await;
        server.kill();
        let answer = committing.await.unwrap();
        server.restart();

        let (found, by) = newest(&world.sink).await.unwrap();
        assert!(answer.is_err() || found == seq + 1, "an acknowledged diff is gone");
        seq = found;
        let expected = if by == "d1-1" { "d" } else { by.rsplit_once('-').unwrap().0 };
        assert_eq!(world.database.query("SELECT count(*), min(name), max(name) FROM bronze.t").trim(), format!("1000\t{expected}\t{expected}"), "half a diff");
    }
}
