//! I005: result that changes with every run.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I005",
        title: "result that changes with every run",
        since: "0.1.0",
        what: "SQL calls a function such as `now()` or `random()`.",
        why: "The table is recomputed in every run, so the same inputs give another result: numbers change without a reason, and no test can pin them.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id, now() AS loaded_at" }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id, TIMESTAMP '2026-01-01 00:00:00' AS loaded_at" }
"#,
        fix: "Take the time from the data, such as `max(updated_at)`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (Some(facts), Some(sql)) = (table.sql_facts(), &table.table.sql) else { return Vec::new() };
    let found = facts.volatile_calls.iter().map(|(name, place)| {
        at(sql.span(place.clone()), format!("`{}` calls `{name}`, which differs from run to run", table.name()))
            .with_label("another value in every run")
            .with_note("the table is recomputed in every run: the same inputs would give another result")
            .with_help("take the value from the data")
    });
    found.collect()
}
