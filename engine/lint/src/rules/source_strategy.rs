//! P005: strategy that the source cannot do.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P005",
        title: "strategy that the source cannot do",
        since: "0.1.0",
        what: "The strategy is none of those that the source's plugin can read with.",
        why: "The run would stop before it reads anything.",
        fails: r#"version: 1
connections: { drop: { type: files, path: in, format: parquet } }
bronze:
  orders:
    from: { connection: drop, path: "*.parquet" }
    cdc: { strategy: id, cursor: order_id }
"#,
        passes: r#"version: 1
connections: { drop: { type: files, path: in, format: parquet } }
bronze:
  orders:
    from: { connection: drop, path: "*.parquet" }
    load: { mode: append }
"#,
        fix: "Choose a strategy that the plugin can do. New files are found by the ledger of files already read, without a cursor.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(source) = table.source.filter(|source| source.manifest.available && source.is_source()) else { return Vec::new() };
    let Some(strategy) = table.strategy() else { return Vec::new() };
    // A strategy that this build does not run at all is reported once, by P007.
    if !support::STRATEGIES.contains(&strategy) || source.can().source_strategies.iter().any(|able| able == strategy.as_str()) {
        return Vec::new();
    }
    let message = format!(
        "`{}` cannot be read with strategy `{}`: plugin `{}` supports {}",
        table.name(),
        strategy.as_str(),
        source.connection.plugin,
        quoted(&source.can().source_strategies)
    );
    let found = at(table.value("/cdc/strategy"), message).with_label("not supported by the source");
    let help = if source.reads_files() { "take `cdc` out: which files were read already is known without a cursor" } else { "choose one of the supported strategies" };
    vec![found.with_help(help)]
}
