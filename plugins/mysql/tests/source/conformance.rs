//! The plugin keeps the contracts.

use crate::world;
use karat_plugin_api::{CursorExpr, ReadStrategy, SourceObject};
use karat_spec::model::NullCursor;
use karat_testkit::conformance::source::SourceUnderTest;

fn numbered_rows() -> Option<SourceUnderTest> {
    let database = world::server("source_conformance")?.database();
    database.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, changed INT NOT NULL, name TEXT); \
         INSERT INTO t SELECT seq, seq DIV 4, CONCAT('name ', seq) FROM seq_1_to_40",
    );
    let source = world::source(&database.url());
    // It lives as long as its server: the case keeps only the folder.
    std::mem::forget(database);
    Some(SourceUnderTest {
        folder: tempfile::tempdir().unwrap(),
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
