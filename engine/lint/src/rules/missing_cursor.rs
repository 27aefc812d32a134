//! D002: strategy without a cursor.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Strategy;

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D002",
        title: "strategy without a cursor",
        since: "0.1.0",
        what: "The strategies `id`, `timestamp`, `hybrid` and `window` need `cursor` or `cursor_sql`.",
        why: "Without a cursor nothing tells new rows from old ones.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: id }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: id, cursor: order_id }
"#,
        fix: "Name the column whose order tells new rows from old ones, or read the whole table with `strategy: full`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(strategy) = table.strategy() else { return Vec::new() };
    if !matches!(strategy, Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Window) || table.has_cursor() {
        return Vec::new();
    }
    let example = match strategy {
        Strategy::Id => "id",
        _ => "updated_at",
    };
    let found = at(table.value("/cdc/strategy"), format!("strategy `{}` of `{}` has no `cursor`", strategy.as_str(), table.name()));
    vec![
        found
            .with_label("needs a cursor")
            .with_note("the cursor is the column whose order tells new rows from old ones")
            .with_help(format!("add `cursor: {example}`, or an expression as `cursor_sql`")),
    ]
}
