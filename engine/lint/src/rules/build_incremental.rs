//! P016: incremental table that this build recomputes.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "P016",
        title: "incremental table that this build recomputes",
        since: "0.1.0",
        what: "A Silver or Gold table has `incremental`.",
        why: "This build recomputes the whole table in every run: the result is the same, only slower.",
        fails: r#"version: 1
silver:
  raw: { sql: "SELECT 1 AS id" }
  orders: { sql: "SELECT id FROM silver.raw", incremental: { strategy: new_rows, inputs: [silver.raw] } }
"#,
        passes: r#"version: 1
silver:
  raw: { sql: "SELECT 1 AS id" }
  orders: { sql: "SELECT id FROM silver.raw" }
"#,
        fix: "Nothing needs to be done: a later build will compute only what changed.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.transform().is_none_or(|transform| transform.incremental.is_none()) {
        return Vec::new();
    }
    let found = at(table.key("/incremental"), format!("this build recomputes all of `{}` in every run", table.name())).with_label("not part of this build");
    vec![found.with_note("the result is the same, only slower")]
}
