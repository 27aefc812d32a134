//! What a read of a real database delivers, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt64Type};
use futures::StreamExt;
use karat_plugin_api::{
    ColumnChoice, ConnectContext, ConnectorError, CursorExpr, DeclaredType, ErrorKind, ExtraColumns, Plugin, Position, ReadRequest, ReadStrategy, Source, SourceBatch,
    SourceObject, SourceSchema,
};
use karat_spec::model::NullCursor;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

struct Fixture {
    folder: TempDir,
    database: Connection,
    source: Arc<dyn Source>,
}

fn open_source(folder: &Path) -> Arc<dyn Source> {
    let settings = serde_json::json!({"path": "shop.db"});
    let context = ConnectContext { root: folder.to_owned(), scratch: folder.join("scratch") };
    karat_sqlite::Sqlite.open_source(settings.as_object().unwrap(), &context).unwrap()
}

fn fixture(sql: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = Connection::open(folder.path().join("shop.db")).unwrap();
    database.execute_batch(sql).unwrap();
    let source = open_source(folder.path());
    Fixture { folder, database, source }
}

#[derive(Debug)]
struct Outcome {
    batches: Vec<RecordBatch>,
    positions: Vec<Option<Position>>,
    rows: u64,
    position: Position,
    future_rows: u64,
    skipped_rows: u64,
}

impl Outcome {
    fn integers(&self, column: &str) -> Vec<i64> {
        self.batches.iter().flat_map(|batch| batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    fn column(&self, column: &str) -> Arc<dyn Array> {
        let columns: Vec<_> = self.batches.iter().map(|batch| batch.column_by_name(column).unwrap().as_ref()).collect();
        arrow::compute::concat(&columns).unwrap()
    }
}

impl Fixture {
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    fn describe(&self, table: &str) -> Result<SourceSchema, ConnectorError> {
        self.run(self.source.describe(&SourceObject::Table(table.into())))
    }

    fn request(&self, object: SourceObject, types: &[(&str, &str)], strategy: ReadStrategy) -> ReadRequest {
        let schema = self.run(self.source.describe(&object)).unwrap();
        let columns = schema
            .columns
            .iter()
            .map(|column| {
                let declared = types.iter().find(|(name, _)| *name == column.name).map(|(_, text)| DeclaredType::parse(text).unwrap().data_type().clone());
                ColumnChoice { name: column.name.clone(), data_type: declared.unwrap_or(column.data_type.clone()), nullable: column.nullable }
            })
            .collect();
        ReadRequest { object, columns, extra_columns: ExtraColumns::Refuse, strategy, batch_rows: 1000, batch_bytes: 32 << 20, parallel: 1 }
    }

    fn read(&self, request: ReadRequest) -> Result<Outcome, ConnectorError> {
        self.run(async {
            let read = self.source.read(request).await?;
            let schema = read.schema();
            let mut stream = read.into_stream();
            let mut outcome = Outcome { batches: Vec::new(), positions: Vec::new(), rows: 0, position: Position::Start, future_rows: 0, skipped_rows: 0 };
            let mut ended = false;
            while let Some(item) = stream.next().await {
                assert!(!ended, "nothing follows the end");
                match item? {
                    SourceBatch::Rows { batch, position } => {
                        assert_eq!(batch.schema(), schema);
                        assert!(batch.num_rows() > 0);
                        outcome.batches.push(batch);
                        outcome.positions.push(position);
                    }
                    SourceBatch::WindowEnd { .. } => panic!("no windows were asked for"),
                    SourceBatch::End { rows, position, future_rows, skipped_rows } => {
                        ended = true;
                        outcome.rows = rows;
                        outcome.position = position;
                        outcome.future_rows = future_rows;
                        outcome.skipped_rows = skipped_rows;
                    }
                }
            }
            assert!(ended, "a stream ends with End or an error");
            assert_eq!(outcome.rows, outcome.batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
            Ok(outcome)
        })
    }

    fn full(&self, table: &str, types: &[(&str, &str)]) -> Result<Outcome, ConnectorError> {
        self.read(self.request(SourceObject::Table(table.into()), types, ReadStrategy::Full))
    }

    fn keyset(&self, table: &str, keyset: &Keyset<'_>, after: &Position) -> Result<Outcome, ConnectorError> {
        self.read(self.keyset_request(table, keyset, after))
    }

    fn keyset_request(&self, table: &str, keyset: &Keyset<'_>, after: &Position) -> ReadRequest {
        let strategy = ReadStrategy::Keyset {
            cursor: keyset.sql.map_or(CursorExpr::Column(keyset.cursor.into()), |sql| CursorExpr::Sql(sql.into())),
            tie: keyset.tie.iter().map(|name| (*name).to_owned()).collect(),
            after: after.clone(),
            lookback: keyset.lookback.map(Duration::from_secs),
            null_cursor: keyset.null_cursor,
        };
        let mut request = self.request(SourceObject::Table(table.into()), &[], strategy);
        request.batch_rows = keyset.batch_rows;
        request
    }
}

struct Keyset<'a> {
    cursor: &'a str,
    sql: Option<&'a str>,
    tie: &'a [&'a str],
    lookback: Option<u64>,
    null_cursor: NullCursor,
    batch_rows: usize,
}

const ID: Keyset<'_> = Keyset { cursor: "id", sql: None, tie: &[], lookback: None, null_cursor: NullCursor::Error, batch_rows: 1000 };
const HYBRID: Keyset<'_> = Keyset { cursor: "changed", tie: &["id"], ..ID };
const TIMESTAMP: Keyset<'_> = Keyset { cursor: "changed", ..ID };

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, changed TEXT NOT NULL, note TEXT);";

fn insert(fixture: &Fixture, id: i64, changed: &str, note: &str) {
    fixture.database.execute("INSERT OR REPLACE INTO orders VALUES (?1, ?2, ?3)", (id, changed, note)).unwrap();
}

#[test]
fn the_catalogue_is_described_with_types_keys_and_nullability() {
    let fixture = fixture(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, price DECIMAL(10,2) NOT NULL, sold TIMESTAMP, whatever, \"odd \"\" name\" VARCHAR(3));
         CREATE UNIQUE INDEX by_price ON t (price, sold); CREATE INDEX partial ON t (sold) WHERE sold > 'a'; CREATE INDEX expression ON t (lower(sold));
         CREATE TABLE w (a TEXT, b INTEGER, PRIMARY KEY (b, a)) WITHOUT ROWID;
         CREATE TABLE loose (code TEXT PRIMARY KEY);
         CREATE VIEW v AS SELECT price, price * 2 AS twice FROM t;
         INSERT INTO t (price) VALUES (1), (2);",
    );

    let table = fixture.describe("T").unwrap();
    assert_eq!(table.primary_key, ["id"]);
    assert_eq!(table.indexes, [["price", "sold"]]);
    assert_eq!(table.estimated_rows, Some(2));
    let types: Vec<_> = table.columns.iter().map(|column| (column.name.as_str(), DeclaredType::name_of(&column.data_type), column.nullable)).collect();
    let name = |text: &str| Some(text.to_owned());
    assert_eq!(
        types,
        [("id", name("bigint"), false), ("price", name("decimal(10,2)"), false), ("sold", name("timestamp"), true), ("whatever", None, true), ("odd \" name", name("text"), true)]
    );

    let without_rowid = fixture.describe("w").unwrap();
    assert_eq!(without_rowid.primary_key, ["b", "a"]);
    assert!(without_rowid.columns.iter().all(|column| !column.nullable));
    assert!(fixture.describe("loose").unwrap().columns[0].nullable, "SQLite lets NULL into such keys");
    let view = fixture.describe("v").unwrap();
    assert_eq!(view.columns[0].data_type, DataType::Decimal128(10, 2));
    assert_eq!(view.columns[1].data_type, DataType::Null, "an expression has no declared type");

    let error = fixture.describe("losse").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.help().unwrap().contains("`loose`"), "{error:?}");
}

#[test]
fn the_identity_survives_new_columns_and_differs_between_tables() {
    let fixture = fixture("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY);");
    let before = fixture.describe("a").unwrap().identity;
    fixture.database.execute_batch("ALTER TABLE a ADD COLUMN more TEXT").unwrap();
    assert_eq!(fixture.describe("a").unwrap().identity, before);
    assert_ne!(fixture.describe("b").unwrap().identity, before);
}

#[test]
fn extremes_of_every_type_arrive_exactly() {
    let fixture = fixture(
        "CREATE TABLE t (i INTEGER, u TEXT, r REAL, d DECIMAL(38,10), w DECIMAL(50,4), b BOOLEAN, s TEXT, x BLOB, day DATE, clock TIME, at TIMESTAMP, z TIMESTAMPTZ);
         INSERT INTO t VALUES
          (-9223372036854775808, '18446744073709551615', 1.7976931348623157e308, NULL, NULL, 1, '', x'', '0000-01-01', '00:00', '0000-01-01 00:00:00', '9999-12-31T23:59:59.999999+00:00'),
          (9223372036854775807, '0', 5e-324, -1.5, 12345, 'false', 'zażółć 🦀', x'00ff', '9999-12-31', '23:59:59.999999', 1357034400, '2013-01-01T05:00:00-05:00'),
          (NULL, NULL, 3, 0.1, -0.25, 0, NULL, NULL, NULL, NULL, NULL, NULL);",
    );

    let read = fixture.full("t", &[("u", "bigint unsigned")]).unwrap();

    assert_eq!(read.position, Position::Snapshot { rows: 3, digest: None });
    assert_eq!(read.column("i").as_primitive::<Int64Type>().values()[..2], [i64::MIN, i64::MAX]);
    assert_eq!(read.column("u").as_primitive::<UInt64Type>().values()[..2], [u64::MAX, 0]);
    assert_eq!(read.column("r").as_primitive::<Float64Type>().values()[..], [f64::MAX, 5e-324, 3.0]);
    assert_eq!(read.column("d").as_primitive::<Decimal128Type>().values()[1..], [-15_000_000_000, 1_000_000_000]);
    assert_eq!(read.column("w").as_primitive::<Decimal256Type>().value(1).to_string(), "123450000");
    assert_eq!(read.column("b").as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false), Some(false)]);
    assert_eq!(read.column("s").as_string::<i32>().iter().collect::<Vec<_>>(), [Some(""), Some("zażółć 🦀"), None]);
    assert_eq!(read.column("x").as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&b""[..]), Some(&b"\x00\xff"[..]), None]);
    assert_eq!(read.column("day").as_primitive::<Date32Type>().values()[..2], [-719_528, 2_932_896]);
    assert_eq!(read.column("clock").as_primitive::<Time64MicrosecondType>().values()[..2], [0, 86_399_999_999]);
    assert_eq!(read.column("at").as_primitive::<TimestampMicrosecondType>().values()[..2], [-62_167_219_200_000_000, 1_357_034_400_000_000]);
    assert_eq!(read.column("z").as_primitive::<TimestampMicrosecondType>().values()[..2], [253_402_300_799_999_999, 1_357_034_400_000_000]);
    assert_eq!(read.column("z").data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
}

#[test]
fn a_value_that_does_not_fit_names_table_column_row_and_cure_but_not_itself() {
    for (column, value) in [
        ("INTEGER", "'secret'"),
        ("INTEGER", "1.5"),
        ("DECIMAL(5,2)", "1.005"),
        ("DECIMAL(5,2)", "100000"),
        ("DATE", "20130101"),
        ("DATE", "'2013-01-01 12:00:00'"),
        ("TIMESTAMP", "2456293.5"),
        ("TIMESTAMP", "'2013-01-01T00:00:00+01:00'"),
        ("TIMESTAMP", "1357034400000"),
        ("BOOLEAN", "2"),
        ("TEXT", "x'ff'"),
        ("TEXT", "CAST(x'ff' AS TEXT)"),
        ("REAL", "'secret'"),
        ("BLOB", "17"),
    ] {
        let fixture = fixture(&format!("CREATE TABLE t (ok INTEGER, v {column}); INSERT INTO t (rowid, ok, v) VALUES (5, 1, NULL), (71, 1, {value});"));
        let error = fixture.full("t", &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadData, "{column} {value}: {}", error.chain());
        let text = format!("{} {}", error.chain(), error.help().unwrap());
        assert!(text.contains("column `v` of table `t`") && text.contains("rowid 71") && text.contains("types: {v: "), "{text}");
        assert!(!text.contains("secret") && !text.contains("2456293"), "{text}");
    }
}

#[test]
fn a_column_without_a_type_is_refused_until_types_names_one() {
    let fixture = fixture("CREATE TABLE t (a, b NUMERIC); INSERT INTO t VALUES (1, 2.5), ('x', 3);");
    let error = fixture.full("t", &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(error.help().unwrap().contains("types: {a: text}"), "{error:?}");

    let read = fixture.full("t", &[("a", "text"), ("b", "decimal(5,1)")]).unwrap();
    assert_eq!(read.column("a").as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), Some("x")]);
    assert_eq!(read.column("b").as_primitive::<Decimal128Type>().values()[..], [25, 30]);
}

#[test]
fn batches_never_cross_a_multiple_of_their_size() {
    let fixture = fixture(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, pad TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1050) INSERT INTO t SELECT i, hex(zeroblob(50)) FROM n;",
    );
    let mut request = fixture.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full);
    request.batch_rows = 100;
    request.batch_bytes = 30 * 116;
    let read = fixture.read(request).unwrap();
    let sizes: Vec<usize> = read.batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes[..5], [30, 30, 30, 10, 30]);
    assert_eq!(read.integers("id"), (1..=1050).collect::<Vec<i64>>());
}

#[test]
fn queries_views_and_hostile_names_are_read() {
    let fixture = fixture("CREATE TABLE \"a\"\"; DROP TABLE x; --\" (\"c\"\"'\" INTEGER, \"select\" TEXT); INSERT INTO \"a\"\"; DROP TABLE x; --\" VALUES (1, 'one'), (2, 'two');");
    let table = "a\"; DROP TABLE x; --";
    assert_eq!(fixture.full(table, &[]).unwrap().integers("c\"'"), [1, 2]);
    let query = SourceObject::Query("SELECT \"c\"\"'\" AS c, upper(\"select\") AS s FROM \"a\"\"; DROP TABLE x; --\" WHERE c > 1 -- the end".into());
    let read = fixture.read(fixture.request(query, &[("s", "text")], ReadStrategy::Full)).unwrap();
    assert_eq!((read.integers("c"), read.column("s").as_string::<i32>().value(0)), (vec![2], "TWO"));
    for sql in ["DELETE FROM x", "SELECT 1; SELECT 2", "SELEC 1", "SELECT nothing FROM nowhere"] {
        let error = fixture.run(fixture.source.describe(&SourceObject::Query(sql.into()))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadConfiguration, "{sql}: {}", error.chain());
    }
}

#[test]
fn an_empty_table_ends_properly() {
    let fixture = fixture(ORDERS);
    assert_eq!(fixture.full("orders", &[]).unwrap().position, Position::Snapshot { rows: 0, digest: None });
    for keyset in [&ID, &HYBRID, &TIMESTAMP] {
        assert_eq!(fixture.keyset("orders", keyset, &Position::Start).unwrap().position, Position::Start);
    }
}

#[test]
fn sparse_ids_are_read_in_order_and_a_second_run_reads_nothing() {
    let fixture = fixture(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299999) INSERT INTO t SELECT 1 + i * 239 + (i * i) % 200, i FROM n;
         INSERT OR IGNORE INTO t VALUES (71714083, -1);",
    );
    let mut keyset = ID;
    keyset.batch_rows = 50_000;
    let read = fixture.keyset("t", &keyset, &Position::Start).unwrap();
    let ids = read.integers("id");
    let expected: i64 = fixture.database.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!((ids.len() as i64, ids.last()), (expected, Some(&71_714_083)));
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert!(read.batches[..6].iter().all(|batch| batch.num_rows() == 50_000));

    let again = fixture.keyset("t", &keyset, &read.position).unwrap();
    assert_eq!((again.rows, again.position == read.position), (0, true));

    fixture.database.execute_batch("INSERT INTO t VALUES (71714084, 1)").unwrap();
    assert_eq!(fixture.keyset("t", &keyset, &read.position).unwrap().integers("id"), [71_714_084]);
}

#[test]
fn every_batch_is_a_place_to_resume_from() {
    let fixture = fixture(ORDERS);
    for id in 0..95 {
        insert(&fixture, id, ["2026-01-01 00:00:00", "2026-01-02 00:00:00", "2026-01-03 00:00:00"][(id / 40) as usize], "");
    }
    for keyset in [&HYBRID, &TIMESTAMP, &ID] {
        let keyset = Keyset { batch_rows: 7, ..*keyset };
        let whole = fixture.keyset("orders", &keyset, &Position::Start).unwrap();
        assert_eq!(whole.integers("id"), (0..95).collect::<Vec<_>>());
        let mut delivered = 0;
        for (batch, position) in whole.batches.iter().zip(&whole.positions) {
            delivered += batch.num_rows() as i64;
            let rest = fixture.keyset("orders", &keyset, position.as_ref().unwrap()).unwrap();
            let ids = rest.integers("id");
            let expected: Vec<i64> = (delivered..95).collect();
            assert!(ids.ends_with(&expected), "everything after row {delivered} comes");
            if keyset.cursor == "id" || !keyset.tie.is_empty() {
                assert_eq!(ids, expected, "and nothing before, where a tuple can say so");
            }
            assert_eq!(rest.position, whole.position);
        }
    }
}

#[test]
fn an_idle_run_reads_nothing_and_ends_where_it_began() {
    let fixture = fixture(ORDERS);
    for id in 0..10 {
        insert(&fixture, id, "2026-01-01 00:00:00", "");
    }
    for keyset in [&HYBRID, &TIMESTAMP, &Keyset { lookback: Some(3600), ..HYBRID }, &Keyset { sql: Some("upper(changed)"), ..HYBRID }] {
        let first = fixture.keyset("orders", keyset, &Position::Start).unwrap();
        let second = fixture.keyset("orders", keyset, &first.position).unwrap();
        assert_eq!((second.rows, second.skipped_rows, &second.position), (0, 10, &first.position));
    }
}

#[test]
fn a_late_row_in_the_boundary_group_is_delivered_whatever_its_key() {
    for keyset in [&HYBRID, &TIMESTAMP] {
        let fixture = fixture(ORDERS);
        insert(&fixture, 1, "2026-01-01 00:00:00", "old");
        insert(&fixture, 5, "2026-01-02 00:00:00", "boundary");
        let first = fixture.keyset("orders", keyset, &Position::Start).unwrap();

        insert(&fixture, 3, "2026-01-02 00:00:00", "late, before the boundary's key");
        let second = fixture.keyset("orders", keyset, &first.position).unwrap();
        assert_eq!(second.integers("id"), [3, 5], "the group is delivered again, whole");

        insert(&fixture, 9, "2026-01-02 00:00:00", "late, after it");
        let third = fixture.keyset("orders", keyset, &second.position).unwrap();
        assert!(third.integers("id").ends_with(&[9]));
        if !keyset.tie.is_empty() {
            assert_eq!((third.rows, third.skipped_rows), (1, 2), "nothing else of the group changed");
        }
        assert_eq!(fixture.keyset("orders", keyset, &third.position).unwrap().rows, 0);
    }
}

#[test]
fn a_second_update_within_the_same_second_is_seen() {
    let fixture = fixture(ORDERS);
    insert(&fixture, 1, "2026-01-01 00:00:00", "first");
    let first = fixture.keyset("orders", &HYBRID, &Position::Start).unwrap();
    insert(&fixture, 1, "2026-01-01 00:00:00", "second");
    let second = fixture.keyset("orders", &HYBRID, &first.position).unwrap();
    assert_eq!(second.column("note").as_string::<i32>().value(0), "second");
}

#[test]
fn lookback_reads_late_rows_below_the_watermark() {
    let fixture = fixture(ORDERS);
    insert(&fixture, 1, "2026-01-01 00:00:00.000", "");
    insert(&fixture, 2, "2026-01-01 01:00:00.000", "");
    let keyset = Keyset { lookback: Some(600), ..HYBRID };
    let first = fixture.keyset("orders", &keyset, &Position::Start).unwrap();
    insert(&fixture, 3, "2026-01-01 00:55:00.000", "late");
    insert(&fixture, 4, "2026-01-01 00:45:00.000", "too late");
    let second = fixture.keyset("orders", &keyset, &first.position).unwrap();
    assert_eq!(second.integers("id"), [3, 2]);
    assert_eq!(fixture.keyset("orders", &keyset, &second.position).unwrap().rows, 0);
    let Position::Cursor { values, .. } = second.position else { panic!("a cursor") };
    assert_eq!(values[0].to_string(), "'2026-01-01 01:00:00.000'", "the watermark did not move back");
}

#[test]
fn a_row_dated_in_the_future_is_delivered_but_moves_nothing() {
    let fixture = fixture(ORDERS);
    insert(&fixture, 1, "2026-01-01 00:00:00", "");
    insert(&fixture, 2, "9999-12-31 00:00:00", "placeholder");
    for keyset in [&HYBRID, &TIMESTAMP] {
        let first = fixture.keyset("orders", keyset, &Position::Start).unwrap();
        assert_eq!((first.rows, first.future_rows), (2, 1));
        let idle = fixture.keyset("orders", keyset, &first.position).unwrap();
        assert_eq!((idle.rows, idle.skipped_rows, &idle.position), (0, 2, &first.position));

        insert(&fixture, 3, "2026-01-02 00:00:00", "today");
        let second = fixture.keyset("orders", keyset, &first.position).unwrap();
        assert!(second.integers("id").contains(&3));
        assert_eq!(fixture.keyset("orders", keyset, &second.position).unwrap().rows, 0);
        fixture.database.execute_batch("DELETE FROM orders WHERE id = 3").unwrap();
    }
}

#[test]
fn only_rows_dated_in_the_future_are_remembered_too() {
    let fixture = fixture(ORDERS);
    insert(&fixture, 2, "9999-12-31 00:00:00", "placeholder");
    let first = fixture.keyset("orders", &HYBRID, &Position::Start).unwrap();
    assert_eq!((first.rows, first.future_rows), (1, 1));
    assert_eq!(fixture.keyset("orders", &HYBRID, &first.position).unwrap().rows, 0);
    insert(&fixture, 1, "2026-01-01 00:00:00", "");
    assert_eq!(fixture.keyset("orders", &HYBRID, &first.position).unwrap().integers("id"), [1, 2]);
}

#[test]
fn rows_without_a_cursor_are_refused_or_read_whenever_they_change() {
    let fixture = fixture("CREATE TABLE orders (id INTEGER PRIMARY KEY, changed TEXT, note TEXT); INSERT INTO orders VALUES (1, NULL, 'a'), (2, '2026-01-01 00:00:00', 'b');");
    let error = fixture.keyset("orders", &HYBRID, &Position::Start).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadData);
    assert!(error.chain().contains("1 rows of table `orders` have no cursor value"), "{}", error.chain());

    let keyset = Keyset { null_cursor: NullCursor::AlwaysReread, ..HYBRID };
    let first = fixture.keyset("orders", &keyset, &Position::Start).unwrap();
    assert_eq!(first.integers("id"), [2, 1]);
    assert_eq!(fixture.keyset("orders", &keyset, &first.position).unwrap().rows, 0);
    fixture.database.execute_batch("UPDATE orders SET note = 'changed' WHERE id = 1").unwrap();
    let second = fixture.keyset("orders", &keyset, &first.position).unwrap();
    assert!(second.integers("id").contains(&1));
    assert_eq!(fixture.keyset("orders", &keyset, &second.position).unwrap().rows, 0);
}

#[test]
fn deleted_boundary_rows_do_not_move_the_watermark_back() {
    let fixture = fixture(ORDERS);
    for id in 1..4 {
        insert(&fixture, id, &format!("2026-01-0{id} 00:00:00"), "");
    }
    let first = fixture.keyset("orders", &HYBRID, &Position::Start).unwrap();
    fixture.database.execute_batch("DELETE FROM orders WHERE id = 3").unwrap();
    let second = fixture.keyset("orders", &HYBRID, &first.position).unwrap();
    assert_eq!(second.rows, 0);
    assert!(second.position.to_string().contains("2026-01-03"), "{}", second.position);
    assert_eq!(fixture.keyset("orders", &HYBRID, &second.position).unwrap().position, second.position);
}

#[test]
fn text_cursors_are_compared_in_their_own_collation() {
    let fixture = fixture("CREATE TABLE orders (id INTEGER PRIMARY KEY, changed TEXT NOT NULL COLLATE NOCASE, note TEXT);");
    for (id, code) in ["b", "A", "C", "a", "B"].iter().enumerate() {
        insert(&fixture, id as i64, code, "");
    }
    let first = fixture.keyset("orders", &Keyset { batch_rows: 2, ..HYBRID }, &Position::Start).unwrap();
    assert_eq!(first.integers("id"), [1, 3, 0, 4, 2]);
    assert_eq!(fixture.keyset("orders", &HYBRID, &first.position).unwrap().rows, 0);
    insert(&fixture, 9, "c", "");
    assert_eq!(fixture.keyset("orders", &HYBRID, &first.position).unwrap().integers("id"), [9]);
}

#[test]
fn keys_that_may_be_null_lose_no_row() {
    let fixture =
        fixture("CREATE TABLE orders (id TEXT PRIMARY KEY, changed INTEGER NOT NULL, n INTEGER NOT NULL); INSERT INTO orders VALUES (NULL, 1, 1), ('a', 1, 2), (NULL, 2, 3);");
    let first = fixture.keyset("orders", &HYBRID, &Position::Start).unwrap();
    assert_eq!(first.rows, 3);
    fixture.database.execute_batch("INSERT INTO orders VALUES (NULL, 2, 4), ('z', 3, 5)").unwrap();
    let second = fixture.keyset("orders", &HYBRID, &first.position).unwrap().integers("n");
    assert!(second.contains(&4) && second.contains(&5), "{second:?}");
}

#[test]
fn a_position_of_another_strategy_or_system_is_refused() {
    let fixture = fixture(ORDERS);
    for position in [
        Position::Snapshot { rows: 1, digest: None },
        Position::Files { files: Vec::new() },
        Position::decode(r#"{"kind":"cursor","values":[{"t":"timestamp","v":5}],"tail":null}"#).unwrap(),
    ] {
        assert_eq!(fixture.keyset("orders", &HYBRID, &position).unwrap_err().kind(), ErrorKind::Refused);
    }
}

#[test]
fn a_restored_database_whose_counter_went_back_is_refused() {
    let fixture = fixture("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (1), (2), (100);");
    let first = fixture.keyset("t", &ID, &Position::Start).unwrap();
    fixture.database.execute_batch("DELETE FROM t WHERE id = 100").unwrap();
    assert_eq!(fixture.keyset("t", &ID, &first.position).unwrap().rows, 0, "a deleted row is no restore");
    fixture.database.execute_batch("UPDATE sqlite_sequence SET seq = 2").unwrap();
    assert_eq!(fixture.keyset("t", &ID, &first.position).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn a_read_sees_one_snapshot_while_others_write() {
    let fixture = fixture(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i FROM n;",
    );
    let mut request = fixture.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full);
    request.batch_rows = 100;
    let rows = fixture.run(async {
        let mut stream = fixture.source.read(request).await.unwrap().into_stream();
        let first = stream.next().await;
        assert!(matches!(first, Some(Ok(SourceBatch::Rows { .. }))));
        fixture.database.execute_batch("INSERT INTO t SELECT id + 10000 FROM t; DELETE FROM t WHERE id = 4000").unwrap();
        loop {
            if let SourceBatch::End { rows, .. } = stream.next().await.unwrap().unwrap() {
                break rows;
            }
        }
    });
    assert_eq!(rows, 5000);
}

#[test]
fn dropping_the_stream_frees_the_database() {
    let fixture =
        fixture("CREATE TABLE t (id INTEGER PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO t SELECT i FROM n;");
    let mut request = fixture.request(SourceObject::Query("SELECT a.id FROM t a, t b, t c ORDER BY b.id + c.id + a.id".into()), &[], ReadStrategy::Full);
    request.batch_rows = 10;
    fixture.run(async {
        let mut stream = fixture.source.read(request).await.unwrap().into_stream();
        let never = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
        assert!(never.is_err(), "the query takes for ever");
    });
    fixture.database.busy_timeout(Duration::from_secs(20)).unwrap();
    fixture.database.execute_batch("DROP TABLE t").unwrap();
}

#[test]
fn databases_that_cannot_be_read_say_why() {
    let fixture = fixture(ORDERS);
    let path = fixture.folder.path().join("shop.db");
    let kind = || fixture.describe("orders").map(|_| ()).unwrap_err().kind();

    std::fs::write(&path, "this is text and no database, however long it may be ".repeat(40)).unwrap();
    assert_eq!(kind(), ErrorKind::BadConfiguration);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(kind(), ErrorKind::NotFound);
    std::fs::create_dir(&path).unwrap();
    assert_eq!(kind(), ErrorKind::BadConfiguration);
}

#[test]
fn a_damaged_page_is_corruption_and_never_a_short_read() {
    let fixture = fixture(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, pad TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i, hex(zeroblob(50)) FROM n;",
    );
    let request = fixture.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full);
    let path = fixture.folder.path().join("shop.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(fixture.read(request).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_locked_database_is_busy() {
    let fixture = fixture(ORDERS);
    fixture.database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(fixture.describe("orders").unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn a_column_that_vanished_is_a_mismatch_and_not_text() {
    let fixture = fixture(ORDERS);
    insert(&fixture, 1, "2026-01-01", "");
    let request = fixture.request(SourceObject::Table("orders".into()), &[], ReadStrategy::Full);
    fixture.database.execute_batch("ALTER TABLE orders RENAME COLUMN note TO notes").unwrap();
    let error = fixture.read(request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(error.help().unwrap().contains("`notes`"));
}

#[test]
fn epoch_cursors_look_back_in_their_own_unit() {
    let fixture =
        fixture("CREATE TABLE orders (id INTEGER PRIMARY KEY, changed TIMESTAMP NOT NULL, note TEXT); INSERT INTO orders VALUES (1, 1700000000, ''), (2, 1700000100, '');");
    let keyset = Keyset { lookback: Some(60), ..HYBRID };
    let first = fixture.keyset("orders", &keyset, &Position::Start).unwrap();
    fixture.database.execute_batch("INSERT INTO orders VALUES (3, 1700000050, ''), (4, 1700000010, '')").unwrap();
    assert_eq!(fixture.keyset("orders", &keyset, &first.position).unwrap().integers("id"), [3, 2]);
    let error = fixture.keyset("orders", &Keyset { lookback: Some(60), ..ID }, &first.position).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadConfiguration);
}
