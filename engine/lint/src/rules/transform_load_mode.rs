//! P009: load mode of a Silver or Gold table that this build does not run.

use crate::rule::{Check, Group, Rule, at};
use crate::support;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P009",
        title: "load mode of a Silver or Gold table that this build does not run",
        since: "0.1.0",
        what: "A Silver or Gold table has a load mode other than `replace`.",
        why: "This build recomputes Silver and Gold in every run and replaces them atomically; another mode would give another table.",
        fails: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", key: [order_id], load: { mode: upsert } }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id", key: [order_id] }
"#,
        fix: "Take `load.mode` out, or set it to `replace`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(mode) = table.written_mode().filter(|mode| table.transform().is_some() && !support::TRANSFORM_LOAD_MODES.contains(mode)) else { return Vec::new() };
    let found = at(table.value("/load/mode"), format!("this build does not run load mode `{}` of `{}`", mode.as_str(), table.name()));
    vec![
        found
            .with_label("not part of this build")
            .with_note("Silver and Gold are recomputed in every run and replaced atomically")
            .with_help("take `mode` out, or set `mode: replace`"),
    ]
}
