//! P014: treatment of bad rows that this build does not run.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::OnFail;

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P014",
        title: "treatment of bad rows that this build does not run",
        since: "0.1.0",
        what: "A check has `on_fail: quarantine` or `on_fail: drop`.",
        why: "This build does not take single rows out of a load.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: not_null, columns: [order_id], on_fail: quarantine }] }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: not_null, columns: [order_id], on_fail: fail }] }
"#,
        fix: "Choose `fail` or `warn`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let unsupported = table.checks().filter(|(_, check)| !support::ON_FAIL.contains(&check.on_fail()));
    unsupported
        .map(|(pointer, check)| {
            let name = if check.on_fail() == OnFail::Drop { "drop" } else { "quarantine" };
            let found = at(table.value(&format!("{pointer}/on_fail")), format!("this build does not run `on_fail: {name}` of `{}`", table.name()));
            found.with_label("not part of this build").with_help("choose `fail` or `warn`; SQL can keep bad rows out with WHERE")
        })
        .collect()
}
