//! P010: layout on a target without files.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P010",
        title: "layout on a target without files",
        since: "0.1.0",
        what: "`layout` is written for a table whose target is a database.",
        why: "A database lays out its own storage, so the setting has no effect.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db }, mart: { type: postgres, url: "${MART_URL}" } }
bronze:
  orders: { from: { connection: shop, table: orders }, to: { connection: mart }, layout: { sort_by: [order_id] } }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders }, layout: { sort_by: [order_id] } }
"#,
        fix: "Take `layout` out, or write to a lake or to files.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(target) = table.target.filter(|target| target.is_sink() && !target.can().layout && table.writes("/layout")) else { return Vec::new() };
    let found = at(table.key("/layout"), format!("`layout` of `{}` has no effect: plugin `{}` writes no files", table.name(), target.connection.plugin));
    vec![found.with_label("has no effect").with_help("take `layout` out, or write to a lake or to files")]
}
