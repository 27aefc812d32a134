//! Whole loads against tables whose collations, types and columns are not ours.

use crate::world::{World, load, staged};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use karat_plugin_api::{CommitRequest, Committed, ConnectorError, ErrorKind, LoadRequest, WindowBounds, WriteMode};
use karat_spec::model::Deletes;
use karat_testkit::servers::{ChaosProxy, Cut, Direction, Flavour};
use std::sync::Arc;

macro_rules! world {
    ($name:literal) => {
        match World::new() {
            Ok(world) => world,
            Err(skip) => return skip.report($name),
        }
    };
}

fn texts(columns: &[(&str, &[Option<&str>])]) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().enumerate().map(|(at, (name, _))| Field::new(*name, DataType::Utf8, at > 0)).collect();
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, values)| Arc::new(StringArray::from_iter(values.iter().copied())) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn request(world: &World, batch: &RecordBatch, deletes: Deletes, attempt: &str) -> LoadRequest {
    let key = vec![batch.schema().field(0).name().clone()];
    let mut request = world.request(WriteMode::Diff { key: key.clone(), deletes, max_delete: 1.0 }, 1, 1, attempt);
    (request.schema, request.table.key) = (batch.schema(), key);
    request
}

async fn diff(world: &World, seq: u64, batch: RecordBatch, deletes: Deletes) -> Result<Committed, ConnectorError> {
    let attempt = format!("d{seq}");
    let hi = i64::try_from(seq).unwrap();
    load(&world.sink, request(world, &batch, deletes, &attempt), batch, world.commit(1, seq, &attempt, hi - 1, hi)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_collation_hides_a_change() {
    let world = world!("no_collation_hides_a_change");
    world.database.execute(
        "CREATE TABLE bronze_t (k varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, ci varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, \
         bin varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, latin varchar(20) CHARACTER SET latin1 COLLATE latin1_german1_ci, doc json, label enum('x','y'));",
    );
    let batch = |rows: [[Option<&str>; 6]; 2]| {
        let column = |at: usize| [rows[0][at], rows[1][at]];
        let columns = [0, 1, 2, 3, 4, 5].map(column);
        texts(&["k", "ci", "bin", "latin", "doc", "label"].iter().zip(&columns).map(|(name, values)| (*name, values.as_slice())).collect::<Vec<_>>())
    };
    let first = [[Some("a"), Some("a"), Some("a"), Some("ä"), Some("{\"a\": 1}"), Some("x")], [Some("b"), None, Some(""), None, None, Some("y")]];
    let done = diff(&world, 1, batch(first), Deletes::Hard).await.unwrap();
    assert_eq!((done.rows_written, done.rows_removed), (2, 0));

    let idle = diff(&world, 2, batch(first), Deletes::Hard).await.unwrap();
    assert_eq!((idle.rows_written, idle.rows_removed), (0, 0));
    let mut seq = 2;
    // MySQL keeps what a document says, and not how it is spelled.
    let document = if Flavour::of_this_run() == Flavour::MariaDb { "{\"a\":1}" } else { "{\"a\": \"1\"}" };
    for (column, value) in [(0, "A"), (1, "A"), (2, "a "), (3, "Ä"), (4, document), (5, "y")] {
        let mut next = first;
        next[0][column] = Some(value);
        for rows in [next, first] {
            seq += 1;
            let done = diff(&world, seq, batch(rows), Deletes::Hard).await.unwrap();
            assert_eq!((done.rows_written, done.rows_removed), (1, 1), "column {column}: {value}");
            let held = world.database.query("SELECT CONCAT_WS('|', k, ci, bin, latin, doc, label) FROM bronze_t ORDER BY k LIMIT 1");
            assert_eq!(held, format!("{}\n", rows[0].map(Option::unwrap).join("|").replace('\\', "\\\\")), "{column}");
        }
    }
    let twice = texts(&[("k", &[Some("a"), Some("A")]), ("ci", &[None, None]), ("bin", &[None, None]), ("latin", &[None, None]), ("doc", &[None, None]), ("label", &[None, None])]);
    assert_eq!(diff(&world, seq + 1, twice, Deletes::Hard).await.unwrap_err().kind(), ErrorKind::BadData);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_gone_are_marked_in_utc_whatever_the_column_is() {
    for declared in ["datetime(6) NULL", "timestamp(6) NULL", ""] {
        let world = world!("rows_that_are_gone_are_marked_in_utc_whatever_the_column_is");
        let column = if declared.is_empty() { String::new() } else { format!(", _deleted_at {declared}") };
        world.database.execute(&format!("CREATE TABLE bronze_t (id bigint NOT NULL PRIMARY KEY, name text{column});"));
        let batch = |ids: &[i64]| {
            let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            let names: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n("x", ids.len())));
            let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec())), names, new_null_array(&instant, ids.len())];
            let fields = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true), Field::new("_deleted_at", instant, true)];
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
        };
        diff(&world, 1, batch(&[1, 2, 3]), Deletes::Soft).await.unwrap();

        let gone = diff(&world, 2, batch(&[2]), Deletes::Soft).await.unwrap();

        assert_eq!((gone.rows_written, gone.rows_removed), (0, 2));
        let marks = "SET time_zone = '+00:00'; SELECT id FROM bronze_t WHERE ABS(TIMESTAMPDIFF(SECOND, _deleted_at, UTC_TIMESTAMP(6))) < 60 ORDER BY id";
        assert_eq!(world.database.query(marks), "1\n3\n", "{declared}");
        assert_eq!(world.database.query("SELECT table_rows FROM karat_commits"), "3\n", "they are still there");
        let all = diff(&world, 3, batch(&[]), Deletes::Soft).await.unwrap();
        assert_eq!((all.rows_written, all.rows_removed), (0, 1));
        assert_eq!(world.database.query("SELECT COUNT(_deleted_at) FROM bronze_t"), "3\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_unique_key_is_refused_before_anything_is_read() {
    let world = world!("a_table_without_a_unique_key_is_refused_before_anything_is_read");
    world.database.execute("CREATE TABLE bronze_t (k varchar(20) NOT NULL, v text, KEY (k));");
    let batch = texts(&[("k", &[Some("a")]), ("v", &[None])]);

    let Err(error) = world.sink.begin(request(&world, &batch, Deletes::Hard, "a")).await else { panic!("a key that is not unique was taken") };

    assert!(error.kind() == ErrorKind::Refused && error.help().is_some_and(|help| help.contains("ADD UNIQUE INDEX")), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_commit_of_a_diff_is_found_out_from_the_target() {
    for (is_applied, cut) in [(true, Cut::reply_to(b"\x03COMMIT").times(1)), (false, Cut::before(Direction::ToServer, b"\x03COMMIT").times(1))] {
        let world = world!("a_lost_answer_to_the_commit_of_a_diff_is_found_out_from_the_target");
        let batch = |rows: &[Option<&str>]| texts(&[("id", rows), ("name", rows)]);
        diff(&world, 1, batch(&[Some("a"), Some("b")]), Deletes::Hard).await.unwrap();
        let proxy = ChaosProxy::to(world.database.port());
        let next = batch(&[Some("b"), Some("c")]);
        let mut open = staged(&world.through(&proxy), request(&world, &next, Deletes::Hard, "b"), next).await.unwrap();
        proxy.cut(cut);

        let error = open.commit(world.commit(1, 2, "b", 1, 2)).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::UnknownOutcome, "{}", error.chain());
        assert_eq!(world.record().await.unwrap().seq, if is_applied { 2 } else { 1 });
        assert_eq!(world.content(), if is_applied { ["b=b", "c=c"] } else { ["a=a", "b=b"] });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_load_that_differs_in_little_costs_little() {
    let world = world!("a_large_load_that_differs_in_little_costs_little");
    let batch = |ids: std::ops::Range<i64>, changed: i64| {
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(ids.clone().map(|id| if id % changed == 0 { format!("new {id}") } else { format!("name {id}") })));
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from_iter_values(ids)), names]).unwrap()
    };
    diff(&world, 1, batch(0..60_000, 100_000), Deletes::Hard).await.unwrap();

    let next = diff(&world, 2, batch(100..60_010, 1_000), Deletes::Hard).await.unwrap();

    // 60 names changed (0 is gone), 10 rows came, 100 went.
    assert_eq!((next.rows_written, next.rows_removed), (10 + 59, 100 + 59));
    assert_eq!(world.database.query("SELECT table_rows FROM karat_commits"), "59910\n");
    assert_eq!(world.database.query("SELECT COUNT(*), SUM(name LIKE 'new%') FROM bronze_t"), "59910\t60\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_locked_takes_whole_loads_and_windows() {
    for deletes in [Deletes::Hard, Deletes::Soft] {
        let world = world!("a_table_that_is_locked_takes_whole_loads_and_windows");
        let batch = |ids: &[i64]| {
            let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.to_vec())), new_null_array(&instant, ids.len())];
            RecordBatch::try_new(Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("_deleted_at", instant, true)])), columns).unwrap()
        };
        for (seq, ids, expected) in [(1, &[1, 2, 3][..], (3, 0)), (2, &[2, 4][..], (1, 2)), (3, &[4][..], (0, 1))] {
            let (attempt, hi) = (format!("d{seq}"), i64::try_from(seq).unwrap());
            let mut request = request(&world, &batch(ids), deletes, &attempt);
            request.table.table_lock = true;
            let done = load(&world.sink, request, batch(ids), world.commit(1, seq, &attempt, hi - 1, hi)).await.unwrap();
            assert_eq!((done.rows_written, done.rows_removed), expected);
        }
        let mut request = request(&world, &batch(&[]), deletes, "w");
        request.table.table_lock = true;
        request.mode = WriteMode::Window { column: "_deleted_at".into(), key: vec!["id".into()] };
        let everything = WindowBounds { from: None, until: None, with_null: true };
        load(&world.sink, request, batch(&[7]), CommitRequest { window: Some(everything), ..world.commit(1, 4, "w", 3, 4) }).await.unwrap();
        assert_eq!(world.database.query("SELECT id FROM bronze_t"), "7\n");
    }
}
