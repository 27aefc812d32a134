//! Several readers deliver what one delivers, of one snapshot, or the same error.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::row::{RowConverter, SortField};
use futures::StreamExt;
use karat_plugin_api::{ColumnChoice, ConnectContext, ConnectorError, ErrorKind, ExtraColumns, Plugin, ReadRequest, ReadStrategy, Source, SourceBatch, SourceObject};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Enough rows that several readers are used.
const ROWS: i64 = 130_000;

struct Fixture {
    folder: TempDir,
    /// Kept open, so that the files beside the database stay.
    _database: Connection,
    source: Arc<dyn Source>,
}

fn fixture(sql: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = Connection::open(folder.path().join("shop.db")).unwrap();
    database.execute_batch(&format!("PRAGMA synchronous = OFF; {sql}")).unwrap();
    let settings = serde_json::json!({"path": "shop.db"});
    let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().join("scratch") };
    let source = karat_sqlite::Sqlite.open_source(settings.as_object().unwrap(), &context).unwrap();
    Fixture { folder, _database: database, source }
}

/// Inserts one row for each number from 1 to [`ROWS`].
fn insert(table: &str, values: &str) -> String {
    format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) INSERT INTO {table} SELECT {values} FROM n;")
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

impl Fixture {
    fn request(&self, object: SourceObject, parallel: usize) -> ReadRequest {
        let schema = run(self.source.describe(&object)).unwrap();
        let columns = schema.columns.iter().map(|column| ColumnChoice { name: column.name.clone(), data_type: column.data_type.clone(), nullable: column.nullable }).collect();
        ReadRequest { object, columns, extra_columns: ExtraColumns::Refuse, strategy: ReadStrategy::Full, batch_rows: 1000, batch_bytes: 32 << 20, parallel }
    }

    fn table(&self, name: &str, parallel: usize) -> ReadRequest {
        self.request(SourceObject::Table(name.into()), parallel)
    }

    /// All batches; checks what holds for each read.
    fn read(&self, request: ReadRequest) -> Result<Vec<RecordBatch>, ConnectorError> {
        let batch_rows = request.batch_rows;
        run(async {
            let mut stream = self.source.read(request).await?.into_stream();
            let mut batches: Vec<RecordBatch> = Vec::new();
            let mut sum = 0;
            loop {
                match stream.next().await.expect("a stream ends with End or an error")? {
                    SourceBatch::Rows { batch, position } => {
                        assert!(position.is_none());
                        assert!(batch.num_rows() > 0);
                        assert!(sum % batch_rows + batch.num_rows() <= batch_rows, "a batch crosses a multiple of the rows per batch");
                        sum += batch.num_rows();
                        batches.push(batch);
                    }
                    SourceBatch::WindowEnd { .. } => panic!("no windows were asked for"),
                    SourceBatch::End { rows, .. } => {
                        assert_eq!(rows, sum as u64);
                        assert!(stream.next().await.is_none());
                        return Ok(batches);
                    }
                }
            }
        })
    }
}

/// The multiset of rows, in an order of its own.
fn multiset(batches: &[RecordBatch]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for batch in batches {
        let fields = batch.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let rows = RowConverter::new(fields).unwrap().convert_columns(batch.columns()).unwrap();
        all.extend(rows.iter().map(|row| row.as_ref().to_vec()));
    }
    all.sort_unstable();
    all
}

fn integers(batches: &[RecordBatch], column: &str) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn any_number_of_readers_delivers_the_same(fixture: &Fixture, table: &str) -> Vec<Vec<u8>> {
    let one = multiset(&fixture.read(fixture.table(table, 1)).unwrap());
    for parallel in [2, 4] {
        let several = multiset(&fixture.read(fixture.table(table, parallel)).unwrap());
        assert!(one == several, "{parallel} readers of `{table}` deliver {} rows, one delivers {}", several.len(), one.len());
    }
    one
}

#[test]
fn any_number_of_readers_delivers_the_same_rows() {
    let tables: [(&str, &str, &str); 8] = [
        ("dense", "(id INTEGER PRIMARY KEY, name TEXT)", "i, 'name ' || i"),
        ("sparse", "(id INTEGER PRIMARY KEY, name TEXT)", "i * 551 + i % 7, 'name ' || i"),
        ("skewed", "(id INTEGER PRIMARY KEY, name TEXT)", "CASE WHEN i = 1 THEN 9223372036854775807 WHEN i = 2 THEN -9223372036854775807 - 1 ELSE i END, 'name'"),
        ("negative", "(id INTEGER PRIMARY KEY, name TEXT)", "i - 65000, NULL"),
        ("plain", "(a INTEGER, b TEXT)", "i % 10, 'always the same'"),
        ("shadowed", "(rowid TEXT, _rowid_ TEXT, oid TEXT)", "i % 10, 'x', 'y'"),
        ("taken", "(rowid TEXT, a INTEGER)", "'z' || i, i"),
        ("keyed", "(code TEXT PRIMARY KEY, a INTEGER) WITHOUT ROWID", "'c' || i, i"),
    ];
    for (name, columns, values) in tables {
        let (columns, without) = columns.split_once(')').map(|(columns, rest)| (format!("{columns})"), rest)).unwrap();
        let fixture = fixture(&format!("CREATE TABLE {name} {columns}{without}; {}", insert(name, values)));
        assert_eq!(any_number_of_readers_delivers_the_same(&fixture, name).len() as i64, ROWS, "{name}");
    }
}

#[test]
fn empty_and_small_tables_and_views_are_read_whole() {
    let fixture = fixture(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER); CREATE INDEX t_a ON t (b, a); {} CREATE VIEW v AS SELECT id + 1 AS id, a FROM t WHERE id % 3 > 0;
         CREATE TABLE empty (id INTEGER PRIMARY KEY); CREATE TABLE one (id INTEGER PRIMARY KEY); INSERT INTO one VALUES (9223372036854775807);",
        insert("t", "i, i % 100, i % 77")
    ));
    assert_eq!(any_number_of_readers_delivers_the_same(&fixture, "empty").len(), 0);
    assert_eq!(any_number_of_readers_delivers_the_same(&fixture, "one").len(), 1);
    let mut request = fixture.table("t", 3);
    request.columns.retain(|choice| choice.name != "id");
    assert_eq!(fixture.read(request).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>() as i64, ROWS, "an index that covers the columns changes nothing");
    let query = SourceObject::Query("SELECT id FROM t".into());
    assert_eq!(fixture.read(fixture.request(query, 4)).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>() as i64, ROWS);
}

#[test]
fn batches_end_at_multiples_even_where_bytes_end_them_first() {
    let fixture = fixture(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, pad TEXT); {}", insert("t", "i, hex(zeroblob(i % 50))")));
    for (batch_rows, batch_bytes) in [(1, 1 << 20), (777, 20_000), (1000, 33_333), (200_000, 1 << 30)] {
        let request = ReadRequest { batch_rows, batch_bytes, ..fixture.table("t", 4) };
        let mut ids = integers(&fixture.read(request).unwrap(), "id");
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=ROWS));
    }
}

#[test]
fn full_batches_are_not_broken_up() {
    let fixture = fixture(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY); {}", insert("t", "i")));
    let batches = fixture.read(fixture.table("t", 4)).unwrap();
    assert!(batches.iter().filter(|batch| batch.num_rows() == 1000).count() >= 126, "{} batches", batches.len());
}

/// Commits all the time: moves amounts between accounts, and adds two accounts that cancel each other out. The sum is always zero.
fn keeps_writing(fixture: &Fixture, work: impl FnOnce(&AtomicU64)) {
    let stop = AtomicBool::new(false);
    let commits = AtomicU64::new(0);
    let path = fixture.folder.path().join("shop.db");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let database = Connection::open(path).unwrap();
            database.busy_timeout(Duration::from_secs(30)).unwrap();
            database.execute_batch("PRAGMA synchronous = OFF").unwrap();
            let mut turn = 0_i64;
            while !stop.load(Ordering::Relaxed) {
                let (low, high, amount) = (1 + turn % 1000, ROWS - turn % 1000, turn % 97);
                database
                    .execute_batch(&format!(
                        "BEGIN IMMEDIATE; UPDATE t SET amount = amount - {amount} WHERE id = {low}; UPDATE t SET amount = amount + {amount} WHERE id = {high};
                         INSERT INTO t VALUES ({}, 5), ({}, -5); COMMIT;",
                        -1 - turn,
                        ROWS + 1 + turn
                    ))
                    .unwrap();
                turn += 1;
                commits.fetch_add(1, Ordering::Relaxed);
            }
        });
        work(&commits);
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}

fn every_read_is_one_snapshot(journal_mode: &str, reads: usize) {
    let fixture = fixture(&format!("PRAGMA journal_mode = {journal_mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL); {}", insert("t", "i, 0")));
    let request = fixture.table("t", 4);
    keeps_writing(&fixture, |commits| {
        for _ in 0..reads {
            let before = commits.load(Ordering::Relaxed);
            let batches = fixture.read(request.clone()).unwrap();
            assert_eq!(integers(&batches, "amount").iter().sum::<i64>(), 0);
            let mut ids = integers(&batches, "id");
            ids.sort_unstable();
            let added = (ids.len() as i64 - ROWS) / 2;
            let expected = (-added..=ROWS + added).filter(|id| *id != 0);
            assert!(ids.into_iter().eq(expected), "both rows of each commit, or none");
            assert!(added as u64 >= before, "a read sees what was committed before it");
        }
        assert!(commits.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn readers_agree_on_a_snapshot_while_a_writer_commits_in_wal_mode() {
    every_read_is_one_snapshot("WAL", 50);
}

#[test]
fn readers_agree_on_a_snapshot_while_a_writer_commits_with_a_rollback_journal() {
    every_read_is_one_snapshot("DELETE", 10);
}

#[test]
fn a_row_that_does_not_fit_stops_all_readers_with_the_words_of_one() {
    let fixture = fixture(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); {} UPDATE t SET n = 'many' WHERE id = 300001;", insert("t", "i * 3 - 2, i")));
    let one = fixture.read(fixture.table("t", 1)).unwrap_err();
    assert_eq!(one.kind(), ErrorKind::BadData);
    assert!(one.to_string().contains("the row with rowid 300001"), "{one}");
    for parallel in [2, 4] {
        let several = fixture.read(fixture.table("t", parallel)).unwrap_err();
        assert_eq!((several.kind(), several.to_string(), several.help()), (one.kind(), one.to_string(), one.help()));
    }
}

#[test]
fn a_damaged_page_is_corruption_for_several_readers_too() {
    let fixture = fixture(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, pad TEXT); {}", insert("t", "i, hex(zeroblob(20))")));
    let request = fixture.table("t", 4);
    let path = fixture.folder.path().join("shop.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let late = bytes.len() / 10 * 9 / 4096 * 4096;
    bytes[late..late + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(fixture.read(request).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[cfg(target_os = "linux")]
#[test]
fn dropping_the_stream_ends_all_readers() {
    let fixture = fixture(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY); {}", insert("t", "i")));
    let mut request = fixture.table("t", 4);
    request.batch_rows = 10;
    let open_files = || {
        let held = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.unwrap().path()).is_ok_and(|target| target.starts_with(fixture.folder.path()));
        std::fs::read_dir("/proc/self/fd").unwrap().map(held).filter(|held| *held).count()
    };
    let before = open_files();
    run(async {
        let mut stream = fixture.source.read(request).await.unwrap().into_stream();
        assert!(matches!(stream.next().await, Some(Ok(SourceBatch::Rows { .. }))));
        assert!(open_files() >= before + 4, "four readers have the database open");
    });
    for _ in 0..500 {
        if open_files() == before {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("readers still hold {} files", open_files() - before);
}
