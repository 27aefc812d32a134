//! C003: table without an owner.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Pedantic,
    page: Explanation {
        code: "C003",
        title: "table without an owner",
        since: "0.1.0",
        what: "Neither a table nor its pipeline has an `owner`.",
        why: "When a run fails at night, somebody must know whom to ask.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id" }
"#,
        passes: r#"version: 1
owner: sales-data
silver:
  orders: { sql: "SELECT 1 AS order_id" }
"#,
        fix: "Write `owner` for the pipeline, or for the table.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let pipeline = table.project.spec.pipelines.get(table.table.pipeline);
    if table.table.incomplete || table.table.owner().is_some() || pipeline.is_some_and(|pipeline| pipeline.owner.is_some()) {
        return Vec::new();
    }
    vec![at(table.table.name_span, format!("nobody owns `{}`", table.name())).with_label("no owner here or in the pipeline").with_help("add `owner` to the pipeline")]
}
