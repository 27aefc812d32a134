//! I003: deletes without effect.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Strategy;

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I003",
        title: "deletes without effect",
        since: "0.1.0",
        what: "`cdc.deletes` is written for strategy `full` or `window`.",
        why: "These strategies replace what they read: what vanished at the source vanishes in the target, whatever `deletes` says.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: full, deletes: soft }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: full }
"#,
        fix: "Take `deletes` out.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(strategy) = table.strategy() else { return Vec::new() };
    if table.cdc().is_none_or(|cdc| cdc.deletes.is_none()) || !table.writes("/cdc/deletes") || !matches!(strategy, Strategy::Full | Strategy::Window) {
        return Vec::new();
    }
    let found = at(table.key("/cdc/deletes"), format!("`deletes` of `{}` has no effect under strategy `{}`", table.name(), strategy.as_str()))
        .with_label("has no effect")
        .with_note("what vanished at the source vanishes in the target");
    vec![found.with_help("take `deletes` out")]
}
