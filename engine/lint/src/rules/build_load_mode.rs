//! P008: load mode that this build does not run.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P008",
        title: "load mode that this build does not run",
        since: "0.1.0",
        what: "The load mode belongs to the language, but this build does not run it: `replace_partitions`, `scd2`.",
        why: "Nothing is silently replaced by something else: the table would not be what the pipeline says.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    load: { mode: scd2 }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    load: { mode: replace }
"#,
        fix: "Choose `append`, `upsert`, `replace` or `window`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(mode) = table.written_mode().filter(|mode| table.bronze().is_some() && !support::BRONZE_LOAD_MODES.contains(mode)) else { return Vec::new() };
    let found = at(table.value("/load/mode"), format!("this build does not run load mode `{}` of `{}`", mode.as_str(), table.name()));
    vec![found.with_label("not part of this build").with_help(format!("choose one of {}", quoted(support::BRONZE_LOAD_MODES.iter().map(|able| able.as_str()))))]
}
