//! P001: plugin that this build does not carry.

use crate::rule::{Check, Group, Rule, at};
use crate::view::ProjectView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P001",
        title: "plugin that this build does not carry",
        since: "0.1.0",
        what: "A connection names a plugin that belongs to the language, but is not part of this build.",
        why: "Nothing can be read from or written to this connection.",
        fails: r#"version: 1
connections: { shop: { type: mysql, url: "${SHOP_URL}" } }
bronze:
  orders: { from: { connection: shop, table: orders } }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
"#,
        fix: "Use a plugin that this build carries, or a build that carries this one.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    let here: Vec<&str> = project.catalog.plugins.values().filter(|plugin| plugin.available).map(|plugin| plugin.name.as_str()).collect();
    let missing = project.connections().filter(|(_, connection)| project.catalog.plugins.get(&connection.plugin).is_some_and(|plugin| !plugin.available));
    missing
        .map(|(_, connection)| {
            at(connection.spans.value("/type"), format!("plugin `{}` of connection `{}` is not part of this build", connection.plugin, connection.name))
                .with_label("not part of this build")
                .with_note(format!("this build carries {}", quoted(&here)))
                .with_help("use a connection of another type")
        })
        .collect()
}
