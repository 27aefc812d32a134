//! P011: load settings of databases on a target that has no use for them.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P011",
        title: "load settings of databases on a target that has no use for them",
        since: "0.1.0",
        what: "`load` holds `transaction_rows`, `max_transaction`, `workers`, `disable_indexes` or `table_lock`, but the target is a lake or files; or `workers` for a database that is written to by one connection.",
        why: "There are no transactions, indexes and locks in files, and a second connection to PostgreSQL would not see what the first one stages, so the setting has no effect.",
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
    let Some(target) = &table.target else { return Vec::new() };
    let (can, plugin) = (target.can(), &target.connection.plugin);
    let reason = if can.layout { format!("plugin `{plugin}` is no database") } else { format!("plugin `{plugin}` writes with one connection") };
    let is_idle = |key: &str| can.layout || (key == "workers" && !can.load_modes.is_empty() && !can.parallel_writers);
    let written = KEYS.iter().filter(|key| is_idle(key) && table.writes(&format!("/load/{key}")));
    written
        .map(|key| {
            let message = format!("`load.{key}` of `{}` has no effect: {reason}", table.name());
            at(table.key(&format!("/load/{key}")), message).with_label("has no effect").with_help(format!("take `{key}` out"))
        })
        .collect()
}
