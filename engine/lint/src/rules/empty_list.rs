//! S102: list without entries.

use crate::rule::{Check, Group, Rule, at};
use crate::view::{ListKind, TableView};
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Check as ModelCheck;

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "S102",
        title: "list without entries",
        since: "0.1.0",
        what: "A list that needs at least one entry is empty: `key`, `select`, `checks[].columns`, `accepted_values.values`, and the like.",
        why: "A key of no columns identifies nothing, and a check of no columns never fails.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: not_null, columns: [] }] }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", checks: [{ type: not_null, columns: [order_id] }] }
"#,
        fix: "Name at least one entry, or take the key out.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let lists = crate::view::column_lists(table);
    let values = table.checks().filter_map(|(pointer, check)| match check {
        ModelCheck::AcceptedValues { values, .. } if values.is_empty() => Some(format!("{pointer}/values")),
        _ => None,
    });
    let empty =
        lists.iter().filter(|list| list.columns.is_empty() && list.kind != ListKind::OwnOrNone && list.pointer != "/exclude").map(|list| list.pointer.clone()).chain(values);
    empty
        .map(|pointer| {
            let key = crate::view::dotted(&pointer);
            at(table.value(&pointer), format!("`{key}` of `{}` is empty", table.name())).with_label("no entries").with_help("name at least one, or take the key out")
        })
        .collect()
}
