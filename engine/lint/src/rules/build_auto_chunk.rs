//! P020: chunk size that this build does not adapt.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::ChunkRows;

pub(super) static RULE: Rule = Rule {
    group: Group::Hint,
    page: Explanation {
        code: "P020",
        title: "chunk size that this build does not adapt",
        since: "0.1.0",
        what: "`chunk.rows` is `auto`.",
        why: "This build reads in pages of a fixed size: the result is the same, but the size adapts neither to the row nor to the speed.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    chunk: { rows: auto }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    chunk: { rows: 50_000 }
"#,
        fix: "Nothing needs to be done; a number says what happens.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.bronze().and_then(|bronze| bronze.chunk.as_ref()).and_then(|chunk| chunk.rows) != Some(ChunkRows::Auto) {
        return Vec::new();
    }
    let found = at(table.value("/chunk/rows"), format!("this build reads `{}` in pages of a fixed size", table.name())).with_label("does not adapt");
    vec![found.with_note("the result is the same")]
}
