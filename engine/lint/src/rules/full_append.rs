//! D004: whole table appended in every run.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{LoadMode, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D004",
        title: "whole table appended in every run",
        since: "0.1.0",
        what: "A table of a database is read with strategy `full` and written with `mode: append`.",
        why: "Every run adds all rows once more.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    load: { mode: append }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: id, cursor: order_id }
    load: { mode: append }
"#,
        fix: "Read only new rows with `strategy: id`, `timestamp` or `hybrid`, or write with `mode: replace`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    // Of files only the new ones are read when they are appended.
    let reads_files = table.source.is_some_and(|source| source.reads_files()) || table.from().is_some_and(|from| from.path.is_some());
    if table.bronze().is_none() || table.strategy() != Some(Strategy::Full) || table.written_mode() != Some(LoadMode::Append) || reads_files {
        return Vec::new();
    }
    let found = at(table.value("/load/mode"), format!("`{}` appends all rows of the source in every run", table.name()))
        .with_label("adds every row once more")
        .with_note("strategy `full` reads the whole table each time");
    vec![found.with_help("set `cdc: { strategy: id, cursor: … }` to read only new rows, or `mode: replace`")]
}
