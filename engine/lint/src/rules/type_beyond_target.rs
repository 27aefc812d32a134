//! D010: type that the target cannot hold.

use crate::rule::{Check, Group, Rule, at};
use crate::type_name;
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::pointer_part;

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D010",
        title: "type that the target cannot hold",
        since: "0.1.0",
        what: "A declared type has more digits than the target keeps: `decimal` above 38 digits, or fractions of a microsecond in a Delta table.",
        why: "Values would be cut off, or the run would stop in the middle.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { amount: "decimal(40,2)" }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    types: { amount: "decimal(38,2)" }
"#,
        fix: "Declare a type that the target can hold, or keep the value as `text`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(target) = table.target else { return Vec::new() };
    let mut found = Vec::new();
    for (column, text) in table.table.types().into_iter().flatten() {
        let Ok(digits) = type_name::check(text) else { continue };
        let span = table.value(&format!("/types/{}", pointer_part(column)));
        if digits.decimal > 38 {
            let message = format!("column `{column}` of `{}` has {} digits, but tables hold at most 38", table.name(), digits.decimal);
            found.push(at(span, message).with_label("too many digits").with_help("declare at most `decimal(38,s)`, or `text`"));
        }
        if digits.second > 6 && target.connection.plugin == "delta" {
            let message = format!("column `{column}` of `{}` has nanoseconds, but Delta tables hold microseconds", table.name());
            found.push(at(span, message).with_label("more than 6 digits of a second").with_help("declare `timestamp(6)`, or keep the value as `text`"));
        }
    }
    found
}
