//! D010: two cursors.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D010",
        title: "two cursors",
        since: "0.1.0",
        what: "Both `cursor` and `cursor_sql` are written.",
        why: "Only one order can tell new rows from old ones; whichever was not meant would lose rows.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: id, cursor: order_id, cursor_sql: "COALESCE(updated_at, created_at)" }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: id, cursor: order_id }
"#,
        fix: "Keep one of them.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(cdc) = table.cdc() else { return Vec::new() };
    if cdc.cursor.is_none() || cdc.cursor_sql.is_none() {
        return Vec::new();
    }
    let found = at(table.key("/cdc/cursor_sql"), format!("`{}` has both `cursor` and `cursor_sql`", table.name())).with_label("the second cursor");
    vec![found.with_secondary(table.key("/cdc/cursor"), "the first").with_help("keep one of them")]
}
