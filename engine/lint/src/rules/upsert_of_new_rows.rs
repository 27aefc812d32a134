//! I002: upsert under a strategy that sees only new rows.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{LoadMode, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I002",
        title: "upsert under a strategy that sees only new rows",
        since: "0.1.0",
        what: "Strategy `id` is combined with `mode: upsert`.",
        why: "Strategy `id` reads only rows above the greatest id, so a changed row is never read again and never replaced.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: id, cursor: order_id }
    load: { mode: upsert }
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
        fix: "If rows change, read them with `hybrid` or `timestamp` and a change timestamp; if they never do, append them.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.bronze().is_none() || table.strategy() != Some(Strategy::Id) || table.written_mode() != Some(LoadMode::Upsert) {
        return Vec::new();
    }
    let found = at(table.value("/cdc/strategy"), format!("`{}` is upserted, but strategy `id` never sees a changed row", table.name()))
        .with_label("reads only rows above the greatest id")
        .with_secondary(table.value("/load/mode"), "replaces changed rows");
    vec![found.with_help("set `strategy: hybrid` with a change timestamp as `cursor`, or `mode: append`")]
}
