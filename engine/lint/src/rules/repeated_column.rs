//! S103: column named twice.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "S103",
        title: "column named twice",
        since: "0.1.0",
        what: "A list of columns names one column twice.",
        why: "The second entry has no effect; likely another column was meant.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id, order_id]
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id, line]
"#,
        fix: "Take the second entry out, or name the column that was meant.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for list in crate::view::column_lists(table) {
        for (index, column) in list.columns.iter().enumerate() {
            if let Some(first) = list.columns[..index].iter().position(|other| other == column) {
                let message = format!("`{}` of `{}` names column `{column}` twice", crate::view::dotted(&list.pointer), table.name());
                found.push(
                    at(table.value(&format!("{}/{index}", list.pointer)), message)
                        .with_label("named again")
                        .with_secondary(table.value(&format!("{}/{first}", list.pointer)), "named first")
                        .with_help("take one of them out"),
                );
            }
        }
    }
    found
}
