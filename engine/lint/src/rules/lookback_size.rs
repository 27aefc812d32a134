//! I004: lookback without effect or without end.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I004",
        title: "lookback without effect or without end",
        since: "0.1.0",
        what: "`cdc.lookback` is zero, or more than 31 days.",
        why: "Zero reads nothing again. A lookback is meant for writers that commit late, by minutes or hours; weeks of it read most of a table in every run.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at, lookback: 0s }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at, lookback: 5m }
"#,
        fix: "Choose the time by which writers may be late.",
    },
    check: Check::Table(check),
};

const MAX_DAYS: u64 = 31;

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(lookback) = table.cdc().and_then(|cdc| cdc.lookback) else { return Vec::new() };
    let (message, label) = if lookback.0.is_zero() {
        (format!("`lookback` of `{}` is zero", table.name()), "reads nothing again".to_owned())
    } else if lookback.0.as_secs() > MAX_DAYS * 86_400 {
        (format!("`lookback` of `{}` is longer than {MAX_DAYS} days", table.name()), format!("reads {lookback} of rows again in every run"))
    } else {
        return Vec::new();
    };
    vec![at(table.value("/cdc/lookback"), message).with_label(label).with_help("choose the time by which writers may be late, such as `5m`")]
}
