//! L006: join without a condition.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L006",
        title: "join without a condition",
        since: "0.1.0",
        what: "Two tables are joined without any condition, by `CROSS JOIN` or a comma, and there is no WHERE either.",
        why: "Every row of one table meets every row of the other: a million times a million rows.",
        fails: r#"version: 1
silver:
  a: { sql: "SELECT 1 AS id" }
  b: { sql: "SELECT a.id FROM silver.a CROSS JOIN silver.c" }
  c: { sql: "SELECT 2 AS id" }
"#,
        passes: r#"version: 1
silver:
  a: { sql: "SELECT 1 AS id" }
  b: { sql: "SELECT a.id FROM silver.a JOIN silver.c ON a.id = c.id" }
  c: { sql: "SELECT 2 AS id" }
"#,
        fix: "Write the condition with `JOIN … ON`. A table of one row can be joined as a subquery, which is not reported.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (Some(facts), Some(sql)) = (table.sql_facts(), &table.table.sql) else { return Vec::new() };
    let found = facts.unconditional_joins.iter().map(|place| {
        at(sql.span(place.clone()), format!("`{}` joins this table without a condition", table.name())).with_label("every row meets every row").with_help("write `JOIN … ON …`")
    });
    found.collect()
}
