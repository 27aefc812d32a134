//! D009: guard that never refuses.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{Deletes, LoadMode, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "D009",
        title: "guard that never refuses",
        since: "0.1.0",
        what: "A setting of `guard` can never stop a run: `max_shrink: 100%`, or a limit on something that the load mode does not do.",
        why: "Who reads the pipeline believes that data is protected.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at }
    guard: { max_shrink: 10% }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    guard: { max_shrink: 10% }
"#,
        fix: "Take the setting out, or choose a limit that can be reached.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(guard) = table.table.guard() else { return Vec::new() };
    let (Some(mode), Some(strategy)) = (table.load_mode(), table.strategy()) else { return Vec::new() };
    let replaces = matches!(mode, LoadMode::Replace | LoadMode::ReplacePartitions);
    let sees_deletes = match strategy {
        Strategy::Diff => table.cdc().is_some_and(|cdc| matches!(cdc.deletes, Some(Deletes::Soft | Deletes::Hard))),
        Strategy::Log => table.bronze().is_some(),
        Strategy::Full | Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Window => false,
    };
    let is_emptied = replaces || sees_deletes || mode == LoadMode::Window;
    let mut found = Vec::new();
    let mut report = |key: &str, label: String| {
        if !table.writes(&format!("/guard/{key}")) {
            return;
        }
        let message = format!("`guard.{key}` of `{}` never refuses anything", table.name());
        found.push(at(table.key(&format!("/guard/{key}")), message).with_label(label).with_help(format!("take `{key}` out")));
    };
    if guard.max_shrink.is_some_and(|share| share.0 >= 100.0) && replaces {
        report("max_shrink", "a table cannot shrink by more than 100%".to_owned());
    }
    if guard.max_shrink.is_some() && !replaces {
        let label = match mode {
            LoadMode::Window => "windows are replaced one by one, not the table".to_owned(),
            _ if sees_deletes => "what vanishes is limited by `max_delete`".to_owned(),
            _ => format!("mode `{}` never makes the table smaller", mode.as_str()),
        };
        report("max_shrink", label);
    }
    if guard.allow_empty.is_some() && !is_emptied {
        report("allow_empty", format!("mode `{}` never replaces the table", mode.as_str()));
    }
    if guard.max_delete.is_some() && !sees_deletes {
        let label = if strategy == Strategy::Diff { "rows that vanish stay, unless `cdc.deletes` is `soft` or `hard`" } else { "no rows are deleted one by one here" };
        report("max_delete", label.to_owned());
    }
    found
}
