//! L007: table that nothing reads.

use crate::rule::{Check, Group, Rule, at};
use crate::view::{ProjectView, TableView};
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Layer;
use std::collections::HashSet;

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L007",
        title: "table that nothing reads",
        since: "0.1.0",
        what: "In a project that has Gold tables, a Bronze or Silver table of a lake is read by no other table.",
        why: "It is loaded and stored in every run, and nobody sees it.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
  returns: { from: { connection: shop, table: returns } }
silver:
  orders: { sql: "SELECT id FROM bronze.orders" }
gold:
  order_count: { sql: "SELECT count(*) AS orders FROM silver.orders" }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
silver:
  orders: { sql: "SELECT id FROM bronze.orders" }
gold:
  order_count: { sql: "SELECT count(*) AS orders FROM silver.orders" }
"#,
        fix: "Take the table out, or read it.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    let has_gold = project.tables().any(|table| table.name().layer() == Layer::Gold);
    // What a broken table would read is not known: it may lack the very key that says so.
    if !has_gold || !project.spec.broken_tables.is_empty() {
        return Vec::new();
    }
    let mut named = HashSet::new();
    for table in project.tables() {
        for reference in table.references() {
            match reference.target {
                Some(target) => named.extend([target]),
                // A misspelt name is reported where it stands; the table that was meant is not unread as well.
                None => named.extend(project.graph.meant_by(table.index, &reference.name)),
            }
        }
    }
    // A table in a database or a folder of files is there for others to read.
    let is_lake = |table: &TableView<'_>| table.target.is_some_and(|end| end.can().layout && end.connection.plugin != "files");
    let is_named = |table: &TableView<'_>| named.contains(&table.index) || project.spec.left_out.may_use(table.name().name());
    let unread = project.tables().filter(|table| table.name().layer() != Layer::Gold && !is_named(table) && is_lake(table));
    unread
        .map(|table| {
            at(table.table.name_span, format!("nothing reads `{}`", table.name()))
                .with_label("loaded in every run, and never read")
                .with_help("read it in a Silver or Gold table, or take it out")
        })
        .collect()
}
