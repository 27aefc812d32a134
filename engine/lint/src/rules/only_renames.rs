//! C008: Silver table that adds nothing.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Layer;

pub(super) static RULE: Rule = Rule {
    group: Group::Pedantic,
    page: Explanation {
        code: "C008",
        title: "Silver table that adds nothing",
        since: "0.1.0",
        what: "A Silver table only passes columns of one Bronze table on, at most renamed.",
        why: "It stores everything twice. Gold must not read Bronze, so a thin Silver table can be right: the rule is off by default.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
silver:
  orders: { sql: "SELECT id AS order_id FROM bronze.orders" }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
silver:
  orders: { sql: "SELECT id AS order_id FROM bronze.orders WHERE id > 0" }
"#,
        fix: "Clean, type or join the rows here, or take the table out.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (Some(facts), Some(sql)) = (table.sql_facts(), &table.table.sql) else { return Vec::new() };
    let reads_bronze = table.references().iter().any(|reference| reference.target.is_some_and(|target| table.project.graph.name(target).layer() == Layer::Bronze));
    if table.name().layer() != Layer::Silver
        || !facts.only_renames
        || !reads_bronze
        || table.transform().is_some_and(|transform| transform.types.is_some() || transform.dedup.is_some())
    {
        return Vec::new();
    }
    vec![at(sql.whole(), format!("`{}` only passes a Bronze table on", table.name())).with_label("stores everything twice").with_help("clean, type or join the rows here")]
}
