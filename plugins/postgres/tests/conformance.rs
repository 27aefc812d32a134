//! The plugin keeps the contracts.

use karat_plugin_api::{ConnectContext, CursorExpr, Plugin, ReadStrategy, Source, SourceObject};
use karat_spec::model::NullCursor;
use karat_testkit::Skip;
use karat_testkit::conformance::source::SourceUnderTest;
use karat_testkit::conformance::windows::WindowsUnderTest;
use karat_testkit::servers::{Database, PostgresServer};
use std::sync::{Arc, Mutex};

/// Databases live as long as the process: the suite knows only folders.
static DATABASES: Mutex<Vec<Database>> = Mutex::new(Vec::new());

fn source(database: &Database) -> Arc<dyn Source> {
    let context = ConnectContext { root: std::env::temp_dir(), scratch: std::env::temp_dir() };
    let settings = serde_json::json!({"url": database.url()});
    karat_postgres::POSTGRES.open_source(settings.as_object().expect("a map"), &context).expect("a source")
}

fn numbered_rows(server: &PostgresServer) -> SourceUnderTest {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = server.database();
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, changed int NOT NULL, name text); INSERT INTO t SELECT i, i / 4, 'name ' || i FROM generate_series(1, 40) i");
    let source = source(&database);
    DATABASES.lock().expect("nobody panics with it").push(database);
    SourceUnderTest {
        folder,
        source,
        object: SourceObject::Table("t".into()),
        columns: Vec::new(),
        rows: 40,
        missing: SourceObject::Table("u".into()),
        onward: Some(|after| ReadStrategy::Keyset { cursor: CursorExpr::Column("changed".into()), tie: vec!["id".into()], after, lookback: None, null_cursor: NullCursor::Error }),
    }
}

karat_testkit::source_conformance!({
    match PostgresServer::shared() {
        Ok(server) => numbered_rows(server),
        Err(skip) => return skip.report("the conformance suite of the postgres source"),
    }
});

fn dated_rows(declared: &str) -> Result<WindowsUnderTest, Skip> {
    let database = PostgresServer::shared()?.database();
    database.execute(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, day {declared} NOT NULL); CREATE INDEX ON t (day); \
         INSERT INTO t SELECT i, timestamp '2023-01-31 23:59:59' + i * interval '1 day' FROM generate_series(0, 99) i; INSERT INTO t VALUES (100, '9999-12-31 23:59:59')"
    ));
    let source = source(&database);
    DATABASES.lock().expect("nobody panics with it").push(database);
    Ok(WindowsUnderTest { folder: None, source, object: SourceObject::Table("t".into()), column: "day".into(), rows: 101, future_rows: 1 })
}

mod dates {
    karat_testkit::windows_conformance!(super::dated_rows("date"));
}

mod timestamps {
    karat_testkit::windows_conformance!(super::dated_rows("timestamp"));
}

mod instants {
    karat_testkit::windows_conformance!(super::dated_rows("timestamptz"));
}
