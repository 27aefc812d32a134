//! L003: files of few bytes.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L003",
        title: "files of few bytes",
        since: "0.1.0",
        what: "`layout.target_file_bytes` is below 1MiB.",
        why: "Each file costs a request and an entry in the table's log: thousands of small files make every later read slow.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    layout: { target_file_bytes: 64KiB }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    layout: { target_file_bytes: 128MiB }
"#,
        fix: "Take `target_file_bytes` out: the default is 128MiB.",
    },
    check: Check::Table(check),
};

const SMALL: u64 = 1 << 20;

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(bytes) = table.table.layout().and_then(|layout| layout.target_file_bytes).filter(|bytes| bytes.0 < SMALL) else { return Vec::new() };
    let found = at(table.value("/layout/target_file_bytes"), format!("files of `{}` close at {bytes}", table.name()));
    vec![found.with_label("tiny files").with_help("take `target_file_bytes` out: the default is 128MiB")]
}
