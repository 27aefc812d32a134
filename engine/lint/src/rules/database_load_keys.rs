//! P011: load settings of databases on a target of files.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P011",
        title: "load settings of databases on a target of files",
        since: "0.1.0",
        what: "`load` holds `transaction_rows`, `max_transaction`, `workers`, `disable_indexes` or `table_lock`, but the target is a lake or files.",
        why: "There are no transactions, indexes and locks in files, so the setting has no effect.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    load: { mode: replace, disable_indexes: true }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    load: { mode: replace }
"#,
        fix: "Take the setting out.",
    },
    check: Check::Table(check),
};

const KEYS: [&str; 5] = ["transaction_rows", "max_transaction", "workers", "disable_indexes", "table_lock"];

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(target) = table.target.filter(|target| target.can().layout) else { return Vec::new() };
    let written = KEYS.iter().filter(|key| table.writes(&format!("/load/{key}")));
    written
        .map(|key| {
            let message = format!("`load.{key}` of `{}` has no effect: plugin `{}` is no database", table.name(), target.connection.plugin);
            at(table.key(&format!("/load/{key}")), message).with_label("has no effect").with_help(format!("take `{key}` out"))
        })
        .collect()
}
