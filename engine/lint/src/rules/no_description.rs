//! C002: table without a description.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Pedantic,
    page: Explanation {
        code: "C002",
        title: "table without a description",
        since: "0.1.0",
        what: "A table has no `description`.",
        why: "Who reads the warehouse wants to know what one row means.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id" }
"#,
        passes: r#"version: 1
silver:
  orders: { description: One row per order., sql: "SELECT 1 AS order_id" }
"#,
        fix: "Say what one row means.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.table.incomplete || table.table.description().is_some_and(|text| !text.trim().is_empty()) {
        return Vec::new();
    }
    vec![at(table.table.name_span, format!("`{}` has no `description`", table.name())).with_label("what does one row mean?").with_help("add `description: One row per …`")]
}
