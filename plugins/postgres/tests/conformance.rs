//! The plugin keeps the contracts.

use karat_plugin_api::{ConnectContext, CursorExpr, Plugin, ReadStrategy, SourceObject};
use karat_spec::model::NullCursor;
use karat_testkit::conformance::source::SourceUnderTest;
use karat_testkit::servers::{Database, PostgresServer};
use std::sync::Mutex;

/// Databases live as long as the process: the suite knows only folders.
static DATABASES: Mutex<Vec<Database>> = Mutex::new(Vec::new());

fn numbered_rows(server: &PostgresServer) -> SourceUnderTest {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = server.database();
    database.execute("CREATE TABLE t (id bigint PRIMARY KEY, changed int NOT NULL, name text); INSERT INTO t SELECT i, i / 4, 'name ' || i FROM generate_series(1, 40) i");
    let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().to_owned() };
    let settings = serde_json::json!({"url": database.url()});
    let source = karat_postgres::POSTGRES.open_source(settings.as_object().expect("a map"), &context).expect("a source");
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
