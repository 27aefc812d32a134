//! I001: key that the strategy does not use.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};
use karat_spec::model::Strategy;

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I001",
        title: "key that the strategy does not use",
        since: "0.1.0",
        what: "A key of `cdc` has no meaning for the strategy.",
        why: "Who wrote it expects an effect, such as reading only new rows, and does not get it.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: full, cursor: updated_at }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at }
"#,
        fix: "Take the key out, or choose the strategy that uses it.",
    },
    check: Check::Table(check),
};

use Strategy::{Hybrid, Id, Log, Timestamp, Window};

/// Which strategies use a key.
const USED_BY: [(&str, &[Strategy]); 8] = [
    ("cursor", &[Hybrid, Id, Timestamp, Window]),
    ("cursor_sql", &[Hybrid, Id, Timestamp]),
    ("lookback", &[Hybrid, Timestamp]),
    ("null_cursor", &[Hybrid, Timestamp, Window]),
    ("window", &[Window]),
    ("refresh_last", &[Window]),
    ("slot", &[Log]),
    ("server_id", &[Log]),
];

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.cdc().is_none() {
        return Vec::new();
    }
    let Some(strategy) = table.strategy() else { return Vec::new() };
    let unused = USED_BY.iter().filter(|(key, users)| !users.contains(&strategy) && table.writes(&format!("/cdc/{key}")));
    unused
        .map(|(key, users)| {
            let message = format!("strategy `{}` of `{}` does not use `{key}`", strategy.as_str(), table.name());
            let found = at(table.key(&format!("/cdc/{key}")), message)
                .with_label("has no effect")
                .with_note(format!("`{key}` is used by {}", quoted(users.iter().map(|user| user.as_str()))));
            match (strategy, *key) {
                (Strategy::Full, "cursor" | "cursor_sql") => found.with_help("set `strategy: hybrid` to read only new and changed rows, or take the cursor out"),
                _ => found.with_help(format!("take `{key}` out, or choose a strategy that uses it")),
            }
        })
        .collect()
}
