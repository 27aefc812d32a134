//! C009: tolerance that the check does not use.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::CheckKind;

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "C009",
        title: "tolerance that the check does not use",
        since: "0.1.0",
        what: "`max_failed` is written for a check of the whole table: `row_count`, `freshness`, `reconciles_with`.",
        why: "Such a check has one answer, not a number of bad rows, so the tolerance has no effect.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: row_count, min: 1, max_failed: 5 }] }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: row_count, min: 1 }] }
"#,
        fix: "Take `max_failed` out.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let whole = table.checks().filter(|(_, check)| matches!(check.kind(), CheckKind::RowCount | CheckKind::Freshness | CheckKind::ReconcilesWith));
    whole
        .filter(|(pointer, _)| table.table.spans.contains(&format!("{pointer}/max_failed")))
        .map(|(pointer, check)| {
            let message = format!("check `{}` of `{}` does not use `max_failed`", check.kind().as_str(), table.name());
            at(table.key(&format!("{pointer}/max_failed")), message).with_label("has no effect").with_help("take `max_failed` out")
        })
        .collect()
}
