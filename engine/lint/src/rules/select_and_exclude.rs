//! S105: select and exclude together.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "S105",
        title: "select and exclude together",
        since: "0.1.0",
        what: "A table has both `select` and `exclude`.",
        why: "Each alone says which columns are taken; together they can contradict each other.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    select: [order_id, amount]
    exclude: [note]
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    select: [order_id, amount]
"#,
        fix: "Keep one of them.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.bronze().is_none_or(|bronze| bronze.select.is_none() || bronze.exclude.is_none()) {
        return Vec::new();
    }
    let found = at(table.key("/exclude"), format!("`{}` has both `select` and `exclude`", table.name())).with_label("the second choice of columns");
    vec![found.with_secondary(table.key("/select"), "the first").with_help("keep one of them")]
}
