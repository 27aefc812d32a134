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
        what: "The strategies `id`, `timestamp` and `hybrid` need `cursor` or `cursor_sql`, and `window` needs `cursor`.",
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
    let has_cursor = match strategy {
        // Its windows are replaced in the target, so an expression of the source's will not do.
        Strategy::Window => table.table.incomplete || table.cdc().is_some_and(|cdc| cdc.cursor.is_some()),
        Strategy::Id | Strategy::Timestamp | Strategy::Hybrid => table.has_cursor(),
        Strategy::Full | Strategy::Diff | Strategy::Log => true,
    };
    if has_cursor {
        return Vec::new();
    }
    if strategy == Strategy::Window {
        let found = at(table.value("/cdc/strategy"), format!("strategy `window` of `{}` has no `cursor`", table.name())).with_label("needs a date or timestamp column");
        return vec![found.with_note("windows are replaced by this column in the target, too, so an expression will not do").with_help("add `cursor: order_date`")];
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
