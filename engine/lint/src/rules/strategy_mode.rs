//! D013: strategy and load mode that do not go together.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{LoadMode, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D013",
        title: "strategy and load mode that do not go together",
        since: "0.1.0",
        what: "Strategy `window` is written with another load mode than `window`, strategy `diff` with another than `upsert`, or mode `window` with another strategy.",
        why: "A window is replaced as a whole only where it was read as a whole, and a comparison by key replaces what differs. Any other mode would keep rows that are gone, or throw rows away that were not read.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: window, cursor: order_date }
    load: { mode: append }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    cdc: { strategy: window, cursor: order_date }
"#,
        fix: "Take `load.mode` out: it follows from the strategy.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    // A mode that this build does not run is reported by P008.
    let Some(mode) = table.written_mode().filter(|mode| table.bronze().is_some() && support::BRONZE_LOAD_MODES.contains(mode)) else { return Vec::new() };
    let Some(strategy) = table.strategy() else { return Vec::new() };
    let wanted = match (strategy, mode) {
        (Strategy::Window, LoadMode::Window) | (Strategy::Diff, LoadMode::Upsert) => return Vec::new(),
        (Strategy::Window, _) => Some(LoadMode::Window),
        (Strategy::Diff, _) => Some(LoadMode::Upsert),
        (_, LoadMode::Window) => None,
        _ => return Vec::new(),
    };
    let found = at(table.value("/load/mode"), format!("mode `{}` of `{}` does not go with strategy `{}`", mode.as_str(), table.name(), strategy.as_str()));
    let help = match wanted {
        Some(wanted) => format!("set `mode: {}`, or take it out: it follows from the strategy", wanted.as_str()),
        None => "set `cdc: { strategy: window, cursor: … }`, or another mode".to_owned(),
    };
    vec![found.with_label("cannot follow the strategy").with_help(help)]
}
