//! P006: kind of source object that the plugin does not have.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P006",
        title: "kind of source object that the plugin does not have",
        since: "0.1.0",
        what: "`from` names a `table`, `query` or `path` that the connection's plugin does not have.",
        why: "Databases hold tables, folders hold files: the object cannot be found.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, path: "orders/*.parquet" } }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
"#,
        fix: "Name the object with the key that the plugin has.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (Some(source), Some(from)) = (table.source.filter(|source| source.is_source()), table.from()) else { return Vec::new() };
    let written = [("table", from.table.is_some()), ("query", from.query.is_some()), ("path", from.path.is_some())];
    let wrong = written.iter().filter(|(key, is_written)| *is_written && !source.can().source_objects.iter().any(|object| object == key));
    wrong
        .map(|(key, _)| {
            let message = format!("`{}` names a `{key}`, but plugin `{}` of connection `{}` has none", table.name(), source.connection.plugin, source.connection.name);
            at(table.key(&format!("/from/{key}")), message)
                .with_label(format!("plugin `{}` takes {}", source.connection.plugin, quoted(&source.can().source_objects)))
                .with_help("write the object with one of these keys")
        })
        .collect()
}
