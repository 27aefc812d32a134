//! P004: load mode that the target cannot do.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation, quoted};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P004",
        title: "load mode that the target cannot do",
        since: "0.1.0",
        what: "The load mode, written or following from the strategy, is none of those that the target's plugin can do.",
        why: "The run would stop before it writes anything.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db }, lake: { type: files, path: out } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    load: { mode: upsert }
    cdc: { strategy: hybrid, cursor: updated_at }
    to: { connection: lake }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db }, lake: { type: files, path: out } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    to: { connection: lake }
"#,
        fix: "Choose a load mode that the plugin can do, or another target.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(target) = table.target.filter(|target| target.manifest.available && target.is_sink()) else { return Vec::new() };
    let Some(mode) = table.load_mode() else { return Vec::new() };
    // A mode that this build does not run at all is reported once, by P008 or P009.
    let runs = if table.bronze().is_some() { support::BRONZE_LOAD_MODES.contains(&mode) } else { support::TRANSFORM_LOAD_MODES.contains(&mode) };
    if !runs || target.can().load_modes.iter().any(|able| able == mode.as_str()) {
        return Vec::new();
    }
    let message = format!("`{}` cannot be loaded with mode `{}`: plugin `{}` supports {}", table.name(), mode.as_str(), target.connection.plugin, quoted(&target.can().load_modes));
    let found = match table.written_mode() {
        Some(_) => at(table.value("/load/mode"), message).with_label("not supported by the target"),
        None => at(table.value("/cdc/strategy"), message).with_label(format!("makes the load mode `{}`", mode.as_str())),
    };
    vec![found.with_help(format!("set `load: {{ mode: … }}` to one of {}, or write to another connection", quoted(&target.can().load_modes)))]
}
