//! D005: deletes that the strategy cannot see.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{Deletes, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D005",
        title: "deletes that the strategy cannot see",
        since: "0.1.0",
        what: "`cdc.deletes` is `soft` or `hard`, but the strategy reads only rows that exist.",
        why: "A deleted row has no cursor value any more, so it would stay in the target for ever, although the pipeline says otherwise.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at, deletes: hard }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at }
"#,
        fix: "Take `deletes` out, or compare the whole table with `strategy: diff`, which sees what vanished.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(strategy) = table.strategy() else { return Vec::new() };
    let deletes = table.cdc().and_then(|cdc| cdc.deletes);
    if !matches!(deletes, Some(Deletes::Soft | Deletes::Hard)) || !matches!(strategy, Strategy::Id | Strategy::Timestamp | Strategy::Hybrid) {
        return Vec::new();
    }
    let found = at(table.value("/cdc/deletes"), format!("strategy `{}` of `{}` cannot see deletes", strategy.as_str(), table.name()))
        .with_label("would have no effect")
        .with_note("deletes are seen by `full`, `window`, `diff` and `log`");
    vec![found.with_help("set `deletes: ignore`, or `strategy: diff` to see deletes")]
}
