//! D011: table replaced by its newest rows.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{LoadMode, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D011",
        title: "table replaced by its newest rows",
        since: "0.1.0",
        what: "A strategy that reads only what changed is combined with `mode: replace`.",
        why: "Every run would throw the table away and keep only the rows of that run.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at }
    load: { mode: replace }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at }
    load: { mode: upsert }
"#,
        fix: "Write with `upsert` or `append`, or read the whole table with `strategy: full`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(strategy) = table.strategy() else { return Vec::new() };
    let reads_changes = matches!(strategy, Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Log);
    if table.bronze().is_none() || table.written_mode() != Some(LoadMode::Replace) || !reads_changes {
        return Vec::new();
    }
    let found = at(table.value("/load/mode"), format!("`{}` would be replaced by the rows that changed since the last run", table.name()))
        .with_label("throws all other rows away")
        .with_secondary(table.value("/cdc/strategy"), "reads only what changed");
    vec![found.with_help("set `mode: upsert` or `mode: append`, or `strategy: full`")]
}
