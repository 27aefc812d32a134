//! I009: comparison with NULL.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I009",
        title: "comparison with NULL",
        since: "0.1.0",
        what: "SQL compares something with a literal NULL by `=` or `<>`.",
        why: "Such a comparison is never true, not even for NULL: the rows that were meant are silently left out.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id WHERE 1 = NULL" }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id WHERE 1 IS NULL" }
"#,
        fix: "Write `IS NULL` or `IS NOT NULL`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (Some(facts), Some(sql)) = (table.sql_facts(), &table.table.sql) else { return Vec::new() };
    let found = facts
        .null_comparisons
        .iter()
        .map(|place| at(sql.span(place.clone()), format!("`{}` compares with NULL", table.name())).with_label("is never true").with_help("write `IS NULL` or `IS NOT NULL`"));
    found.collect()
}
