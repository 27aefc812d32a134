//! The source keeps the contracts; the sink's suite stands beside its own tests, in `sink/`.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use karat_plugin_api::{ConnectContext, CursorExpr, Plugin, ReadStrategy, SourceObject};
use karat_spec::model::NullCursor;
use karat_testkit::conformance::source::SourceUnderTest;
use karat_testkit::servers::{MysqlServer, numbers};

fn numbered_rows() -> Option<SourceUnderTest> {
    let database = MysqlServer::shared().map_err(|skip| skip.report("the conformance of the source")).ok()?.database();
    database.execute(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY, changed INT NOT NULL, name TEXT); \
         INSERT INTO t SELECT seq, seq DIV 4, CONCAT('name ', seq) FROM {}",
        numbers(40)
    ));
    let folder = tempfile::tempdir().unwrap();
    let context = ConnectContext { root: folder.path().to_owned(), scratch: folder.path().to_owned() };
    let settings = serde_json::json!({"url": database.url()});
    let source = karat_mysql::MYSQL.open_source(settings.as_object().unwrap(), &context).unwrap();
    // It lives as long as its server: the case keeps only the folder.
    std::mem::forget(database);
    Some(SourceUnderTest {
        folder,
        source,
        object: SourceObject::Table("t".into()),
        columns: Vec::new(),
        rows: 40,
        missing: SourceObject::Table("u".into()),
        onward: Some(|after| ReadStrategy::Keyset { cursor: CursorExpr::Column("changed".into()), tie: vec!["id".into()], after, lookback: None, null_cursor: NullCursor::Error }),
    })
}

karat_testkit::source_conformance!(match numbered_rows() {
    Some(rows) => rows,
    None => return,
});
