//! P003: source that cannot be read.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P003",
        title: "source that cannot be read",
        since: "0.1.0",
        what: "`from.connection` names a connection whose plugin can only be written.",
        why: "There is nothing to copy from.",
        fails: r#"version: 1
bronze:
  orders: { from: { connection: warehouse, table: orders } }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
"#,
        fix: "Name a connection that can be read. Tables of the warehouse are read by SQL, in Silver and Gold.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(source) = table.source.filter(|source| source.manifest.available && !source.is_source()) else { return Vec::new() };
    let sources: Vec<&str> =
        table.project.catalog.plugins.values().filter(|plugin| plugin.available && !plugin.capabilities.source_strategies.is_empty()).map(|plugin| plugin.name.as_str()).collect();
    let found = at(
        table.value("/from/connection"),
        format!("`{}` cannot be copied from connection `{}`: plugin `{}` is no source", table.name(), source.connection.name, source.connection.plugin),
    );
    vec![
        found
            .with_label("can only be written")
            .with_note(format!("plugins that can be read are {}", quoted(sources)))
            .with_help("name another connection; tables of the warehouse are read by SQL, in Silver and Gold"),
    ]
}
