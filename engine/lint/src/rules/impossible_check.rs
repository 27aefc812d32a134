//! S106: check that can only fail or only pass.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{Check as ModelCheck, MaxFailed};

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "S106",
        title: "check that can only fail or only pass",
        since: "0.1.0",
        what: "The settings of a check contradict each other: `row_count` without limits or with `min` above `max`, `relationship` with unequal lists of columns, `freshness` with `max_age: 0s`, `max_failed: 100%`.",
        why: "A check that always passes protects nothing; one that always fails stops every run.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: row_count, min: 10, max: 5 }] }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: row_count, min: 5, max: 10 }] }
"#,
        fix: "Mend the settings, or take the check out.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    table.checks().filter_map(|(pointer, check)| finding(table, &pointer, check)).collect()
}

/// Every row may be bad.
fn tolerates_all(check: &ModelCheck) -> bool {
    matches!(check.max_failed(), MaxFailed::Share(share) if share.0 >= 100.0)
}

fn finding(table: &TableView<'_>, pointer: &str, check: &ModelCheck) -> Option<Diagnostic> {
    let report = |key: &str, what: String, help: &str| {
        let message = format!("check `{}` of `{}` {what}", check.kind().as_str(), table.name());
        Some(at(table.value(&format!("{pointer}{key}")), message).with_label("can never do its work").with_help(help))
    };
    if tolerates_all(check) {
        return report("/max_failed", "passes when every row is bad".to_owned(), "set a share below 100%");
    }
    match check {
        ModelCheck::RowCount { min: None, max: None, .. } => report("", "has neither `min` nor `max`".to_owned(), "add `min` or `max`"),
        ModelCheck::RowCount { min: Some(min), max: Some(max), .. } if min > max => {
            report("/min", format!("wants at least {min} and at most {max} rows"), "exchange `min` and `max`")
        }
        ModelCheck::RowCount { min: Some(min), max: None, .. } if min.0 == 0 => report("/min", "passes for any number of rows".to_owned(), "set `min` to at least 1"),
        ModelCheck::Freshness { max_age, .. } if max_age.0.is_zero() => {
            report("/max_age", "allows no age at all".to_owned(), "set `max_age` to the age that is still fine, such as `1d`")
        }
        ModelCheck::Relationship { columns, to_columns, .. } if columns.len() != to_columns.len() => {
            report("/to_columns", format!("compares {} columns with {}", columns.len(), to_columns.len()), "name as many columns there as here")
        }
        _ => None,
    }
}
