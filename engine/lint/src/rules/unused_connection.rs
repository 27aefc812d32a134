//! C005: unused connection.

use crate::rule::{Check, Group, Rule, at};
use crate::view::{ProjectView, TableView, WAREHOUSE};
use karat_diagnostics::{Diagnostic, Explanation, nearest};

pub(super) static RULE: Rule = Rule {
    group: Group::Style,
    page: Explanation {
        code: "C005",
        title: "unused connection",
        since: "0.1.0",
        what: "A connection is defined, but no table reads from it or writes to it.",
        why: "It is left over, or a table uses another connection by mistake.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db }, old: { type: sqlite, path: old.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
"#,
        fix: "Take the connection out, or use it.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    let mut used = std::collections::HashSet::new();
    for table in &project.spec.tables {
        let from = table.bronze().and_then(|bronze| bronze.from.as_ref()).and_then(|from| from.connection.as_deref());
        let to = table.to().and_then(|to| to.connection.as_deref()).unwrap_or(WAREHOUSE);
        for name in from.into_iter().chain([to]) {
            if !TableView::is_known(name) {
                return Vec::new();
            }
            let own = project.spec.pipelines.get(table.pipeline).is_some_and(|pipeline| pipeline.connections.contains_key(name));
            used.insert((own.then_some(table.pipeline), name));
        }
    }
    // What a broken table would use is not known: it may lack the very key that says so.
    if !project.spec.broken_tables.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = project.connections().map(|(_, connection)| connection.name.as_str()).collect();
    let misspelt: Vec<&str> = used.iter().filter(|(_, name)| *name != WAREHOUSE && !names.contains(name)).filter_map(|(_, name)| nearest(name, names.iter().copied())).collect();
    let unused = project.connections().filter(|(pipeline, connection)| {
        let name = connection.name.as_str();
        // A misspelt use is reported where it stands.
        !used.contains(&(*pipeline, name)) && !misspelt.contains(&name) && !project.spec.left_out.may_use(name)
    });
    unused
        .map(|(pipeline, connection)| {
            let spans = pipeline.map_or(&project.spec.spans, |pipeline| &project.spec.pipelines[pipeline].spans);
            let pointer = format!("/connections/{}", connection.name);
            let span = if spans.contains(&pointer) { spans.key(&pointer) } else { connection.spans.key("") };
            at(span, format!("connection `{}` is not used", connection.name)).with_label("no table reads from it or writes to it").with_help("take it out, or use it")
        })
        .collect()
}
