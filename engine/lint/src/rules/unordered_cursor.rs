//! I007: cursor of a type without a reliable order.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::Strategy;
use karat_spec::pointer_part;

pub(super) static RULE: Rule = Rule {
    group: Group::Incremental,
    page: Explanation {
        code: "I007",
        title: "cursor of a type without a reliable order",
        since: "0.1.0",
        what: "The column named as `cursor` is declared as text, a floating-point number, a boolean or a nested type.",
        why: "Texts order by collation, floating-point numbers lose digits above 2^53: rows can lie below the watermark although they are new.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { order_no: text }
    cdc: { strategy: id, cursor: order_no }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { order_no: bigint }
    cdc: { strategy: id, cursor: order_no }
"#,
        fix: "Use a whole number, a date or a timestamp as cursor.",
    },
    check: Check::Table(check),
};

const UNORDERED: [&str; 8] = ["text", "json", "uuid", "binary", "boolean", "real", "double", "interval"];

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(cursor) = table.cdc().and_then(|cdc| cdc.cursor.as_deref()) else { return Vec::new() };
    let Some(declared) = table.table.types().and_then(|types| types.get(cursor)) else { return Vec::new() };
    let is_unordered = UNORDERED.contains(&declared.trim()) || declared.starts_with("list<") || declared.starts_with("struct<");
    if !is_unordered || !matches!(table.strategy(), Some(Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Window)) {
        return Vec::new();
    }
    let found = at(table.value("/cdc/cursor"), format!("cursor `{cursor}` of `{}` is declared as `{declared}`", table.name()))
        .with_label("has no reliable order")
        .with_secondary(table.value(&format!("/types/{}", pointer_part(cursor))), "declared here");
    vec![found.with_help("use a whole number, a date or a timestamp as cursor")]
}
