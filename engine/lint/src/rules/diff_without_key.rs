//! D014: comparison without a key.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Strategy;

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D014",
        title: "comparison without a key",
        since: "0.1.0",
        what: "Strategy `diff` reads something that has no primary key, such as a query, and no `key` is written.",
        why: "Rows are compared by key: without one nobody can tell a changed row from a deleted one and a new one.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, query: "SELECT * FROM orders" }
    cdc: { strategy: diff }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, query: "SELECT * FROM orders" }
    key: [order_id]
    cdc: { strategy: diff }
"#,
        fix: "Write the identifying columns as `key`. Of a table its primary key is used if there is one.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.strategy() != Some(Strategy::Diff) || table.may_have_key() {
        return Vec::new();
    }
    let found = at(table.value("/cdc/strategy"), format!("strategy `diff` of `{}` has no `key`", table.name()));
    vec![found.with_label("compares by key").with_help("write the columns that identify a row as `key`")]
}
