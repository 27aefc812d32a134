//! P007: strategy that this build does not run.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P007",
        title: "strategy that this build does not run",
        since: "0.1.0",
        what: "The strategy belongs to the language, but this build does not run it: `log`.",
        why: "Nothing is silently replaced by something else: the table would not be what the pipeline says.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: log }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at }
"#,
        fix: "Choose `full`, `id`, `timestamp`, `hybrid`, `window` or `diff`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(strategy) = table.strategy() else { return Vec::new() };
    if table.bronze().is_none() || support::STRATEGIES.contains(&strategy) {
        return Vec::new();
    }
    let found = at(table.value("/cdc/strategy"), format!("this build does not run strategy `{}` of `{}`", strategy.as_str(), table.name()));
    vec![found.with_label("not part of this build").with_help(format!("choose one of {}", quoted(support::STRATEGIES.iter().map(|able| able.as_str()))))]
}
