//! P013: key that this build does not run.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P013",
        title: "key that this build does not run",
        since: "0.1.0",
        what: "A key belongs to the language, but this build does not run it: `tests`, `layout.bucket_by`, and `dedup` of Bronze.",
        why: "Nothing is silently ignored: the table would not be what the pipeline says.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    dedup: { order_by: [updated_at] }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
"#,
        fix: "Take the key out. `dedup` of a Silver table keeps one row per key.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let of_layer: &[(&str, &str)] = if table.bronze().is_some() { &support::BRONZE_KEYS } else { &[] };
    let written = support::TABLE_KEYS.iter().chain(of_layer).filter(|(pointer, _)| table.table.spans.contains(pointer));
    written
        .map(|(pointer, instead)| {
            let key = pointer.trim_start_matches('/').replace('/', ".");
            let found = at(table.key(pointer), format!("this build does not run `{key}` of `{}`", table.name())).with_label("not part of this build").with_note(*instead);
            found.with_help(format!("take `{key}` out"))
        })
        .collect()
}
