//! C010: check written twice.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Style,
    page: Explanation {
        code: "C010",
        title: "check written twice",
        since: "0.1.0",
        what: "A table has two equal checks.",
        why: "The second costs time and says nothing new; likely another column was meant.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: unique, columns: [order_id] }, { type: unique, columns: [order_id] }] }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: unique, columns: [order_id] }, { type: not_null, columns: [order_id] }] }
"#,
        fix: "Take one of them out, or mend it.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let checks: Vec<_> = table.checks().collect();
    let mut found = Vec::new();
    for (index, (pointer, check)) in checks.iter().enumerate() {
        if let Some((first, _)) = checks[..index].iter().find(|(_, other)| other == check) {
            let message = format!("check `{}` of `{}` is written twice", check.kind().as_str(), table.name());
            found.push(at(table.value(pointer), message).with_label("the same again").with_secondary(table.value(first), "first written here").with_help("take one of them out"));
        }
    }
    found
}
