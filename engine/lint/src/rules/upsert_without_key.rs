//! D001: upsert without a key.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::LoadMode;

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D001",
        title: "upsert without a key",
        since: "0.1.0",
        what: "A table is loaded with `mode: upsert`, but no `key` says which columns identify a row.",
        why: "Without a key there is nothing to replace by: rows would arrive twice, or the load would stop once the source turns out to have no primary key.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: timestamp, cursor: updated_at }
    load: { mode: upsert }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: timestamp, cursor: updated_at }
    load: { mode: upsert }
"#,
        fix: "Write the identifying columns as `key`. Without `load.mode` a primary key of the source is used if there is one.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.written_mode() != Some(LoadMode::Upsert) || table.has_key() {
        return Vec::new();
    }
    let found = at(table.value("/load/mode"), format!("`{}` is upserted, but has no `key`", table.name())).with_label("needs a key");
    let found = if table.may_have_key() {
        found.with_note("whether the source has a primary key is known only to the database; a written key is checked before anything runs")
    } else {
        found
    };
    vec![found.with_help("write the columns that identify a row as `key`")]
}
