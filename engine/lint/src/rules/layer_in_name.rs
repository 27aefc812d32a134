//! C004: layer in the name of a table.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Style,
    page: Explanation {
        code: "C004",
        title: "layer in the name of a table",
        since: "0.1.0",
        what: "The name of a table begins or ends with its own layer.",
        why: "The layer is part of the full name already: `silver.silver_orders` says it twice.",
        fails: r#"version: 1
silver:
  silver_orders: { sql: "SELECT 1 AS order_id" }
"#,
        passes: r#"version: 1
silver:
  orders: { sql: "SELECT 1 AS order_id" }
"#,
        fix: "Take the layer out of the name.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let (layer, name) = (table.name().layer().as_str(), table.name().name());
    let short = name.strip_prefix(layer).and_then(|rest| rest.strip_prefix('_')).or_else(|| name.strip_suffix(layer).and_then(|rest| rest.strip_suffix('_')));
    let Some(short) = short.filter(|short| !short.is_empty()) else { return Vec::new() };
    vec![
        at(table.table.name_span, format!("the name of `{}` says its layer twice", table.name()))
            .with_label(format!("says `{layer}` again"))
            .with_help(format!("name it `{short}`")),
    ]
}
