//! G020: unknown connection.

use crate::rule::{Check, Group, Rule, at};
use crate::view::{TableView, WAREHOUSE};
use karat_diagnostics::{Diagnostic, Explanation, did_you_mean, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "G020",
        title: "unknown connection",
        since: "0.1.0",
        what: "`from.connection` or `to.connection` names a connection that neither the pipeline nor `karat.yaml` defines.",
        why: "There is nothing to read from or write to.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shopp, table: orders } }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders: { from: { connection: shop, table: orders } }
"#,
        fix: "Name a defined connection, or define this one.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let spec = table.project.spec;
    let from = table.from().and_then(|from| from.connection.as_deref()).map(|name| ("/from/connection", "is copied from", name));
    let to = table.table.to().and_then(|to| to.connection.as_deref()).map(|name| ("/to/connection", "is written to", name));
    let is_unknown = |name: &str| name != WAREHOUSE && TableView::is_known(name) && spec.connection(table.table.pipeline, name).is_none() && !spec.left_out.may_define(name);
    from.into_iter()
        .chain(to)
        .filter(|(_, _, name)| is_unknown(name))
        .map(|(pointer, verb, name)| {
            let own = spec.pipelines.get(table.table.pipeline).into_iter().flat_map(|pipeline| pipeline.connections.keys());
            let mut known: Vec<&str> = own.chain(spec.connections.keys()).map(String::as_str).chain([WAREHOUSE]).collect();
            known.sort_unstable();
            known.dedup();
            let found = at(table.value(pointer), format!("`{}` {verb} connection `{name}`, which is not defined", table.name())).with_label("not defined");
            let found = if known.len() <= 10 { found.with_note(format!("defined are {}", quoted(&known))) } else { found };
            found.with_help(did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("define `{name}` below `connections`, or name a defined one")))
        })
        .collect()
}
