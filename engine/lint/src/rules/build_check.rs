//! P015: check that this build does not make.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P015",
        title: "check that this build does not make",
        since: "0.1.0",
        what: "A check belongs to the language, but this build does not make it: `relationship`, `reconciles_with`.",
        why: "A check that is not made must not look as if it passed.",
        fails: r#"version: 1
silver:
  customers: { sql: "SELECT 1 AS id" }
  orders: { sql: "SELECT 1 AS customer", checks: [{ type: relationship, columns: [customer], to: silver.customers, to_columns: [id] }] }
"#,
        passes: r#"version: 1
silver:
  customers: { sql: "SELECT 1 AS id" }
  orders: { sql: "SELECT 1 AS customer", checks: [{ type: not_null, columns: [customer] }] }
"#,
        fix: "Take the check out. A table of the rows that have no partner can be made by SQL and checked with `row_count`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let unsupported = table.checks().filter(|(_, check)| !support::CHECKS.contains(&check.kind()));
    unsupported
        .map(|(pointer, check)| {
            let found = at(table.value(&format!("{pointer}/type")), format!("this build does not make check `{}` of `{}`", check.kind().as_str(), table.name()));
            found.with_label("not part of this build").with_help(format!("choose one of {}", quoted(support::CHECKS.iter().map(|kind| kind.as_str()))))
        })
        .collect()
}
