//! C001: SELECT * in Silver or Gold.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Style,
    page: Explanation {
        code: "C001",
        title: "SELECT * in Silver or Gold",
        since: "0.1.0",
        what: "The outermost SELECT of a Silver or Gold table takes all columns of a table with `*`.",
        why: "A column that appears upstream appears here unasked, and one that vanishes breaks what is further down, far from the cause.",
        fails: r#"version: 1
silver:
  raw: { sql: "SELECT 1 AS id" }
  orders: { sql: "SELECT * FROM silver.raw" }
"#,
        passes: r#"version: 1
silver:
  raw: { sql: "SELECT 1 AS id" }
  orders: { sql: "SELECT id FROM silver.raw" }
"#,
        fix: "Name the columns. `SELECT *` from a CTE of the same SQL is fine: its columns are named there.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (Some(facts), Some(sql)) = (table.sql_facts(), &table.table.sql) else { return Vec::new() };
    let found = facts
        .wildcards
        .iter()
        .map(|place| at(sql.span(place.clone()), format!("`{}` takes whatever columns its inputs have", table.name())).with_label("which columns?").with_help("name the columns"));
    found.collect()
}
