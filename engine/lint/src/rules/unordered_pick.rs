//! I010: row picked without an order.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I010",
        title: "row picked without an order",
        since: "0.1.0",
        what: "SQL picks rows by their order without saying which: `LIMIT` without `ORDER BY`, `row_number()`, `lag()` and the like over a window without `ORDER BY`, `first_value(x)` without one.",
        why: "The table is recomputed in every run, by several threads: which row comes first differs from run to run.",
        fails: r#"version: 1
silver:
  raw: { sql: "SELECT 1 AS id, 2 AS version" }
  orders: { sql: "SELECT id, row_number() OVER (PARTITION BY id) AS nth FROM silver.raw" }
"#,
        passes: r#"version: 1
silver:
  raw: { sql: "SELECT 1 AS id, 2 AS version" }
  orders: { sql: "SELECT id, row_number() OVER (PARTITION BY id ORDER BY version) AS nth FROM silver.raw" }
"#,
        fix: "Add `ORDER BY` with columns that leave no ties.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (Some(facts), Some(sql)) = (table.sql_facts(), &table.table.sql) else { return Vec::new() };
    let found = facts.unordered_picks.iter().map(|(name, place)| {
        let what = if name == "limit" { "takes the first rows".to_owned() } else { format!("calls `{name}`") };
        at(sql.span(place.clone()), format!("`{}` {what} without an order", table.name()))
            .with_label("first in which order?")
            .with_note("rows come in another order in every run")
            .with_help("add `ORDER BY` with columns that leave no ties")
    });
    found.collect()
}
