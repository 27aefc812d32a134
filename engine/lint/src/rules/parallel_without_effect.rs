//! I006: parallel reading without effect.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Strategy;

pub(super) static RULE: Rule = Rule {
    group: Group::Hint,
    page: Explanation {
        code: "I006",
        title: "parallel reading without effect",
        since: "0.1.0",
        what: "`chunk.parallel` is above 1 with strategy `id`, `timestamp`, `hybrid` or `log`.",
        why: "Only whole tables and whole windows are split among readers; what is new since the last run is read in order, by one.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: id, cursor: order_id }
    chunk: { parallel: 4 }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    chunk: { parallel: 4 }
"#,
        fix: "Take `parallel` out.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(parallel) = table.bronze().and_then(|bronze| bronze.chunk.as_ref()).and_then(|chunk| chunk.parallel) else { return Vec::new() };
    let Some(strategy) = table.strategy() else { return Vec::new() };
    if parallel.0 <= 1 || !table.writes("/chunk/parallel") || matches!(strategy, Strategy::Full | Strategy::Window | Strategy::Diff) {
        return Vec::new();
    }
    let label = format!("strategy `{}` reads in order, by one reader", strategy.as_str());
    vec![at(table.value("/chunk/parallel"), format!("`chunk.parallel` of `{}` has no effect", table.name())).with_label(label).with_help("take `parallel` out")]
}
