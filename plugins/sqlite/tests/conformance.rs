//! The plugin keeps the contracts.

use karat_plugin_api::{ConnectContext, CursorExpr, Plugin, ReadStrategy, SourceObject};
use karat_spec::model::NullCursor;
use karat_testkit::conformance::source::SourceUnderTest;

fn numbered_rows() -> SourceUnderTest {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = rusqlite::Connection::open(folder.path().join("t.db")).expect("a database");
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) INSERT INTO t SELECT i, i / 4, 'name ' || i FROM n";
    database.execute_batch(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, changed INTEGER NOT NULL, name TEXT); {rows}")).expect("rows");
    let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().to_owned() };
    let settings = serde_json::json!({"path": "t.db"});
    let source = karat_sqlite::SQLITE.open_source(settings.as_object().expect("a map"), &context).expect("a source");
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

karat_testkit::source_conformance!(numbered_rows());
