//! L001: whole table read although a change timestamp is declared.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::pointer_part;

pub(super) static RULE: Rule = Rule {
    group: Group::Hint,
    page: Explanation {
        code: "L001",
        title: "whole table read although a change timestamp is declared",
        since: "0.1.0",
        what: "A database table is read whole in every run, although `types` declares a column that looks like a change timestamp.",
        why: "Reading only what changed is faster and easier on the source. For a small table the whole is fine, so this is a hint.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { updated_at: timestamp }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { updated_at: timestamp }
    key: [order_id]
    cdc: { strategy: hybrid, cursor: updated_at }
"#,
        fix: "Set `cdc: { strategy: hybrid, cursor: … }`, or write `cdc: { strategy: full }` to say that the whole table is meant.",
    },
    check: Check::Table(check),
};

const CHANGE_COLUMNS: [&str; 10] =
    ["updated_at", "modified_at", "changed_at", "last_modified", "last_updated", "last_update", "update_time", "updated_on", "modified_on", "modified_date"];

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let is_unsaid = table.strategy().is_some() && table.cdc().is_none_or(|cdc| cdc.strategy.is_none());
    if table.from().is_none_or(|from| from.table.is_none()) || !is_unsaid || table.has_cursor() {
        return Vec::new();
    }
    let cursor = table.table.types().into_iter().flatten().find(|(column, kind)| CHANGE_COLUMNS.contains(&column.to_lowercase().as_str()) && kind.starts_with("timestamp"));
    let Some((column, _)) = cursor else { return Vec::new() };
    let found = at(table.key(&format!("/types/{}", pointer_part(column))), format!("`{}` is read whole in every run, although `{column}` may tell what changed", table.name()));
    vec![
        found
            .with_label("a change timestamp?")
            .with_help(format!("set `cdc: {{ strategy: hybrid, cursor: {column} }}`, or `cdc: {{ strategy: full }}` if the whole table is meant")),
    ]
}
