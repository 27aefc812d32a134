//! L002: files of few rows.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::PartitionTransform;

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L002",
        title: "files of few rows",
        since: "0.1.0",
        what: "`layout.min_file_rows` is below 1 000, or below 10 000 in a table that is partitioned by day.",
        why: "Each file costs a request and an entry in the table's log: thousands of small files make every later read slow.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    layout: { min_file_rows: 100 }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    layout: { min_file_rows: 50_000 }
"#,
        fix: "Take `min_file_rows` out: the default is 50 000.",
    },
    check: Check::Table(check),
};

const FEW_ROWS: u64 = 1_000;
const FEW_ROWS_PER_DAY: u64 = 10_000;

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(layout) = table.table.layout() else { return Vec::new() };
    let Some(rows) = layout.min_file_rows else { return Vec::new() };
    let by_day = layout.partition_by.iter().flatten().any(|partition| matches!(partition, PartitionTransform::Day(_)));
    let limit = if by_day { FEW_ROWS_PER_DAY } else { FEW_ROWS };
    if rows.0 >= limit {
        return Vec::new();
    }
    let found =
        at(table.value("/layout/min_file_rows"), format!("files of `{}` close after {rows} row{}", table.name(), if rows.0 == 1 { "" } else { "s" })).with_label("tiny files");
    let found = if by_day { found.with_note("each day gets files of its own") } else { found };
    vec![found.with_help("take `min_file_rows` out: the default is 50 000")]
}
