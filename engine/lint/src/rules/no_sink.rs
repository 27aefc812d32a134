//! P002: target that cannot be written.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P002",
        title: "target that cannot be written",
        since: "0.1.0",
        what: "`to.connection` names a connection whose plugin can only be read.",
        why: "The table has nowhere to go.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    to: { connection: shop }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    to: { connection: warehouse }
"#,
        fix: "Name a connection that can be written, or take `to` out: the default is the built-in `warehouse`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(target) = table.target.filter(|target| target.manifest.available && !target.is_sink()) else { return Vec::new() };
    let sinks: Vec<&str> =
        table.project.catalog.plugins.values().filter(|plugin| plugin.available && !plugin.capabilities.load_modes.is_empty()).map(|plugin| plugin.name.as_str()).collect();
    let found = at(
        table.value("/to/connection"),
        format!("`{}` cannot be written to connection `{}`: plugin `{}` is no sink", table.name(), target.connection.name, target.connection.plugin),
    );
    vec![
        found
            .with_label("can only be read")
            .with_note(format!("plugins that can be written are {}", quoted(sinks)))
            .with_help("name another connection, or take `to` out: the default is the built-in `warehouse`"),
    ]
}
