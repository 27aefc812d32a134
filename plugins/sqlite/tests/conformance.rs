//! The plugin keeps the contracts.

use karat_plugin_api::{ConnectContext, CursorExpr, Plugin, ReadStrategy, SourceObject};
use karat_spec::model::NullCursor;
use karat_testkit::Skip;
use karat_testkit::conformance::source::SourceUnderTest;
use karat_testkit::conformance::windows::WindowsUnderTest;

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

fn dated_rows(declared: &str, form: &str) -> Result<WindowsUnderTest, Skip> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = rusqlite::Connection::open(folder.path().join("t.db")).expect("a database");
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99) INSERT INTO t SELECT i, strftime('{form}', '2023-01-31 23:59:59', i || ' days') FROM n;
         INSERT INTO t VALUES (100, strftime('{form}', '9999-12-31 23:59:59'))"
    );
    database.execute_batch(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, day {declared} NOT NULL); {rows}")).expect("rows");
    let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().to_owned() };
    let settings = serde_json::json!({"path": "t.db"});
    let source = karat_sqlite::SQLITE.open_source(settings.as_object().expect("a map"), &context).expect("a source");
    Ok(WindowsUnderTest { folder: Some(folder), source, object: SourceObject::Table("t".into()), column: "day".into(), rows: 101, future_rows: 1 })
}

mod dates {
    karat_testkit::windows_conformance!(super::dated_rows("DATE", "%Y-%m-%d"));
}

mod timestamps {
    karat_testkit::windows_conformance!(super::dated_rows("TIMESTAMP", "%Y-%m-%dT%H:%M:%S"));
}

mod seconds {
    karat_testkit::windows_conformance!(super::dated_rows("TIMESTAMPTZ", "%s"));
}
