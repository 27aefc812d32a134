//! D012: dedup without a key.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D012",
        title: "dedup without a key",
        since: "0.1.0",
        what: "A table has `dedup`, but no `key`.",
        why: "`dedup` keeps one row per key: without a key there is nothing to tell rows apart by.",
        fails: r#"version: 1
silver:
  prices: { sql: "SELECT 1 AS id, 2 AS version", dedup: { order_by: [version] } }
"#,
        passes: r#"version: 1
silver:
  prices: { sql: "SELECT 1 AS id, 2 AS version", key: [id], dedup: { order_by: [version] } }
"#,
        fix: "Write the columns that identify a row as `key`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.table.dedup().is_none() || table.has_key() || table.may_have_key() {
        return Vec::new();
    }
    let found = at(table.key("/dedup"), format!("`{}` keeps one row per key, but has no `key`", table.name())).with_label("needs a key");
    vec![found.with_help("write the columns that identify a row as `key`")]
}
