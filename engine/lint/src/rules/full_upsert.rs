//! I008: whole table read, but not replaced.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{LoadMode, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I008",
        title: "whole table read, but not replaced",
        since: "0.1.0",
        what: "A database table is read with strategy `full` and written with `mode: upsert`.",
        why: "Rows that vanished at the source stay in the target, although every run sees that they are gone.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    load: { mode: upsert }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    load: { mode: replace }
"#,
        fix: "Write with `mode: replace`, or read only what changed with `strategy: hybrid`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    // Of files only the new ones are read when they are upserted.
    let reads_files = table.source.is_some_and(|source| source.reads_files()) || table.from().is_some_and(|from| from.path.is_some());
    if table.bronze().is_none() || reads_files || table.strategy() != Some(Strategy::Full) || table.written_mode() != Some(LoadMode::Upsert) {
        return Vec::new();
    }
    let found = at(table.value("/load/mode"), format!("`{}` reads the whole table, but keeps rows that vanished at the source", table.name()));
    vec![found.with_label("deletes nothing").with_help("set `mode: replace`, or `cdc: { strategy: hybrid, cursor: … }` to read only what changed")]
}
