//! What a read of a whole table or query delivers, and how it ends when it cannot.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod fixture;

use fixture::{Fixture, fixture, open_source, read};
use futures::StreamExt;
use karat_plugin_api::{ErrorKind, Position, ReadStrategy, SourceBatch, SourceObject};
use karat_testkit::servers::{PostgresServer, ServerOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn several_readers_see_one_snapshot_while_others_write() {
    let Some(fixture) = fixture(
        "several_readers_see_one_snapshot_while_others_write",
        "CREATE TABLE t (id int PRIMARY KEY, amount bigint NOT NULL, filler text); INSERT INTO t SELECT i, 100, repeat('x', 200) FROM generate_series(1, 60000) i",
    ) else {
        return;
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut session = fixture.database.session();
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                session.execute(&format!("BEGIN; UPDATE t SET amount = amount - 7 WHERE id <= 60000 AND id % 500 = {0} % 500; UPDATE t SET amount = amount + 7 WHERE id <= 60000 AND id % 500 = ({0} + 1) % 500; DELETE FROM t WHERE id = 60000 + {0}; INSERT INTO t VALUES (60001 + {0}, 0, 'n'); COMMIT", round));
            }
        });
        let _stop = Stop(&stop);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for parallel in [1, 2, 4, 3] {
                let mut request = fixture.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full).await;
                request.parallel = parallel;
                let outcome = read(&fixture.source, request).await.unwrap();
                let ids = outcome.integers("id");
                let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
                assert_eq!(distinct.len(), ids.len(), "{parallel}");
                assert!((60_000..=60_001).contains(&ids.len()), "{parallel}: {}", ids.len());
                assert_eq!(outcome.integers("amount").iter().sum::<i64>(), 6_000_000, "{parallel}");
                let mut delivered = 0;
                for batch in &outcome.batches {
                    assert!(delivered % 1000 + batch.num_rows() <= 1000, "{parallel}");
                    delivered += batch.num_rows();
                }
            }
        });
    });
}

/// Stops the writer however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn everything_that_has_rows_can_be_read() {
    let sql = "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE FOREIGN TABLE far (line text) SERVER files OPTIONS (filename '/etc/hostname', format 'text');
        CREATE TABLE parts (id int GENERATED ALWAYS AS IDENTITY, day date, twice int GENERATED ALWAYS AS (1 + 1) STORED, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); CREATE TABLE parts_b PARTITION OF parts DEFAULT;
        INSERT INTO parts (day) VALUES ('2024-01-05'), ('2025-01-05'), (date '2023-01-01');
        CREATE SCHEMA \"My Schema\"; CREATE TABLE \"My Schema\".\"My.\"\"Table\" (\"select\" int, \"A b\" text); INSERT INTO \"My Schema\".\"My.\"\"Table\" VALUES (1, 'x');
        CREATE TABLE \"Mixed\" (id int); INSERT INTO \"Mixed\" VALUES (1); CREATE TABLE mixed (id int); INSERT INTO mixed VALUES (1), (2); CREATE TABLE lower_only (id int);
        CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
        CREATE VIEW v AS SELECT * FROM parts; CREATE MATERIALIZED VIEW m AS SELECT * FROM parts; CREATE TABLE nothing ();  INSERT INTO nothing DEFAULT VALUES";
    let Some(fixture) = fixture("everything_that_has_rows_can_be_read", sql) else { return };
    for (name, rows) in [
        ("far", 1),
        ("parts", 3),
        ("public.parts_a", 1),
        ("v", 3),
        ("m", 3),
        ("\"My Schema\".\"My.\"\"Table\"", 1),
        ("Mixed", 1),
        ("mixed", 2),
        ("LOWER_ONLY", 0),
        ("parent", 2),
        ("nothing", 1),
    ] {
        assert_eq!(fixture.full(name, &[]).await.unwrap().rows, rows, "{name}");
    }
    let parts = fixture.source.describe(&SourceObject::Table("parts".into())).await.unwrap();
    assert_eq!(parts.primary_key, ["id", "day"]);
    assert_eq!(parts.columns.iter().map(|column| (column.name.as_str(), column.nullable)).collect::<Vec<_>>(), [("id", false), ("day", false), ("twice", true)]);
    let query = SourceObject::Query("SELECT id, day, count(*) OVER () AS n, 1.5::numeric AS x, NULL AS nothing FROM parts -- all;".into());
    let request = fixture.request(query, &[("x", "decimal(9,2)")], ReadStrategy::Full).await;
    assert_eq!(read(&fixture.source, request).await.unwrap().rows, 3);
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_is_there() {
    let Some(fixture) = fixture("what_is_missing_is_named_with_what_is_there", "CREATE TABLE orders (id int); CREATE SCHEMA shop; CREATE TABLE shop.customers (id int)") else {
        return;
    };
    for (name, help) in [("order", "`orders`"), ("customers", "`shop.customers`"), ("shop.customer", "`shop.customers`")] {
        let error = fixture.source.describe(&SourceObject::Table(name.into())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.help().unwrap().contains(help), "{name}: {:?}", error.help());
    }
    for (query, kind) in [
        ("SELECT 1 AS a, 2 AS a", ErrorKind::BadConfiguration),
        ("SELEC 1", ErrorKind::BadConfiguration),
        ("DELETE FROM orders", ErrorKind::BadConfiguration),
        ("SELECT nothere FROM orders", ErrorKind::SchemaMismatch),
    ] {
        let error = fixture.source.describe(&SourceObject::Query(query.into())).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{query}: {}", error.chain());
    }
    let request = fixture.request(SourceObject::Query("SELECT nextval('s') AS n FROM (SELECT 1) x".replace("nextval('s')", "txid_current()")), &[], ReadStrategy::Full).await;
    assert!(read(&fixture.source, request).await.is_ok(), "a number of a transaction may be asked for");
}

#[tokio::test]
async fn an_exchanged_table_has_another_identity() {
    let Some(fixture) = fixture("an_exchanged_table_has_another_identity", "CREATE TABLE t (id int)") else { return };
    let identity = || async { fixture.source.describe(&SourceObject::Table("t".into())).await.unwrap().identity };
    let first = identity().await;
    fixture.database.execute("ALTER TABLE t ADD COLUMN name text; VACUUM FULL t");
    assert_eq!(identity().await, first);
    fixture.database.execute("DROP TABLE t; CREATE TABLE t (id int)");
    assert_ne!(identity().await, first);
}

const WIDE: &str = "CREATE TABLE t (id int PRIMARY KEY, filler text); INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 100000) i";

#[tokio::test]
async fn a_connection_that_breaks_is_an_error_and_no_end() {
    let Some(fixture) = fixture("a_connection_that_breaks_is_an_error_and_no_end", WIDE) else { return };
    for parallel in [1, 4] {
        let mut request = fixture.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full).await;
        request.parallel = parallel;
        let mut stream = fixture.source.read(request).await.unwrap().into_stream();
        let mut rows = 0;
        let mut error = None;
        let mut broken = false;
        while let Some(item) = stream.next().await {
            match item {
                Ok(SourceBatch::Rows { batch, .. }) => {
                    rows += batch.num_rows();
                    if rows >= 3000 && !broken {
                        broken = true;
                        fixture.database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'karat read' AND datname = current_database() AND state <> 'idle' LIMIT 1");
                    }
                }
                Ok(SourceBatch::WindowEnd { .. } | SourceBatch::End { .. }) => panic!("{parallel}: a broken read has no end"),
                Err(found) => error = Some(found),
            }
        }
        let error = error.unwrap();
        assert!(error.kind().is_transient(), "{parallel}: {:?} {}", error.kind(), error.chain());
        assert!(rows < 100_000);
        // The source is usable at once.
        assert_eq!(fixture.full("t", &[]).await.unwrap().rows, 100_000);
    }
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_and_comes_back() {
    let server = match PostgresServer::start_with(&ServerOptions::default()) {
        Ok(server) => server,
        Err(skip) => return skip.report("a_server_that_dies_is_an_error_and_comes_back"),
    };
    let database = server.database();
    database.execute(WIDE);
    let fixture = Fixture { source: open_source(&database.url()), database };
    let request = fixture.request(SourceObject::Table("t".into()), &[], ReadStrategy::Full).await;
    let mut stream = fixture.source.read(request).await.unwrap().into_stream();
    assert!(stream.next().await.unwrap().is_ok());
    server.kill();
    let mut last = None;
    while let Some(item) = stream.next().await {
        last = Some(item);
    }
    assert!(last.unwrap().unwrap_err().kind().is_transient());
    let error = fixture.source.describe(&SourceObject::Table("t".into())).await.unwrap_err();
    assert!(error.kind().is_transient(), "{}", error.chain());
    server.restart();
    assert_eq!(fixture.full("t", &[]).await.unwrap().rows, 100_000);
}

#[tokio::test]
async fn dropping_a_read_ends_its_query_at_the_server() {
    let Some(fixture) = fixture("dropping_a_read_ends_its_query_at_the_server", WIDE) else { return };
    let busy = || fixture.database.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'karat read' AND datname = current_database() AND state <> 'idle'");
    // The second query sends nothing for an hour, so only the server's own look at the connection can notice.
    for query in ["SELECT id, filler FROM t", "SELECT count(*) AS n FROM t a, t b WHERE a.filler < b.filler"] {
        let request = fixture.request(SourceObject::Query(query.into()), &[], ReadStrategy::Full).await;
        let mut stream = fixture.source.read(request).await.unwrap().into_stream();
        let first = tokio::time::timeout(Duration::from_millis(700), stream.next()).await;
        assert_eq!(first.is_ok(), query.contains("SELECT id"));
        assert_ne!(busy(), "0\n");
        drop(stream);
        let start = Instant::now();
        while busy() != "0\n" {
            assert!(start.elapsed() < Duration::from_secs(10), "{query} still runs");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_snapshot_says_how_many_rows_it_has() {
    let Some(fixture) = fixture("a_snapshot_says_how_many_rows_it_has", "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)") else { return };
    assert_eq!(fixture.full("t", &[]).await.unwrap().position, Position::Snapshot { rows: 2, digest: None });
}

#[tokio::test]
async fn connections_are_encrypted_and_verified_or_refused() {
    let server = match PostgresServer::start_with(&ServerOptions::default().with_tls()) {
        Ok(server) => server,
        Err(skip) => return skip.report("connections_are_encrypted_and_verified_or_refused"),
    };
    let ca = server.authority().unwrap().display().to_string();
    let url = |rest: &str| format!("postgres://postgres@127.0.0.1:{}/postgres{rest}", server.port());
    let object = SourceObject::Query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()".into());
    for (rest, kind) in [
        ("?sslmode=require".to_owned(), None),
        (format!("?sslmode=verify-full&sslrootcert={ca}"), None),
        (format!("?sslmode=verify-ca&sslrootcert={ca}"), None),
        ("?sslmode=verify-full".to_owned(), Some(ErrorKind::BadConfiguration)),
        ("?sslmode=disable".to_owned(), Some(ErrorKind::PermissionDenied)),
    ] {
        let answer = open_source(&url(&rest)).describe(&object).await;
        assert_eq!(answer.as_ref().err().map(karat_plugin_api::ConnectorError::kind), kind, "{rest}: {:?}", answer.err().map(|error| error.chain()));
    }
}
