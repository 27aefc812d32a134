//! S107: column that is not taken.

use crate::rule::{Check, Group, Rule, at};
use crate::view::{ListKind, TableView};
use karat_diagnostics::{Diagnostic, Explanation, did_you_mean};
use karat_spec::model::Check as ModelCheck;
use karat_spec::pointer_part;

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "S107",
        title: "column that is not taken",
        since: "0.1.0",
        what: "A key, a cursor, a check, `types` or the layout names a column that `select` leaves out, that `exclude` takes out, or that the types of a CSV or NDJSON file do not declare.",
        why: "The column does not arrive, so the run would stop.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    select: [order_id, amount]
    key: [order_no]
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    select: [order_id, amount]
    key: [order_id]
"#,
        fix: "Take the column, or name another.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    // What waits for the environment may name any column.
    let Some(bronze) = table.bronze().filter(|_| !table.table.unresolved) else { return Vec::new() };
    let declared = bronze.types.as_ref().filter(|types| table.has_only_declared_types() && !types.is_empty());
    let fate = |column: &str| -> Option<&'static str> {
        if bronze.exclude.as_ref().is_some_and(|exclude| exclude.iter().any(|other| other == column)) {
            return Some("`exclude` takes it out");
        }
        if bronze.select.as_ref().is_some_and(|select| !select.is_empty() && !select.iter().any(|other| other == column)) {
            return Some("`select` leaves it out");
        }
        declared.is_some_and(|types| !types.contains_key(column)).then_some("`types` does not declare it")
    };
    let taken: Vec<&str> = match (&bronze.select, declared) {
        (Some(select), _) => select.iter().map(String::as_str).collect(),
        (None, Some(types)) => types.keys().map(String::as_str).collect(),
        (None, None) => Vec::new(),
    };
    let mut found = Vec::new();
    for (pointer, column) in named(table) {
        let Some(why) = fate(&column) else { continue };
        let message = format!("`{}` of `{}` names column `{column}`, which is not taken", crate::view::dotted(&pointer), table.name());
        let help = did_you_mean(&column, taken.iter().copied()).unwrap_or_else(|| format!("take column `{column}`, or name another"));
        found.push(at(if pointer.starts_with("/types/") { table.key(&pointer) } else { table.value(&pointer) }, message).with_label(why).with_help(help));
    }
    for (index, column) in bronze.select.iter().flatten().enumerate() {
        if declared.is_some_and(|types| !types.contains_key(column)) {
            let message = format!("`select` of `{}` names column `{column}`, which `types` does not declare", table.name());
            found.push(
                at(table.value(&format!("/select/{index}")), message)
                    .with_label("not declared")
                    .with_help_opt(did_you_mean(column, declared.into_iter().flat_map(|types| types.keys().map(String::as_str)))),
            );
        }
    }
    found
}

/// Every place that names a column which must arrive.
fn named(table: &TableView<'_>) -> Vec<(String, String)> {
    let mut named: Vec<(String, String)> = Vec::new();
    for list in crate::view::column_lists(table).into_iter().filter(|list| list.kind == ListKind::Own) {
        named.extend(list.columns.iter().enumerate().map(|(index, column)| (format!("{}/{index}", list.pointer), column.clone())));
    }
    if let Some(cursor) = table.cdc().and_then(|cdc| cdc.cursor.as_ref()) {
        named.push(("/cdc/cursor".to_owned(), cursor.clone()));
    }
    for (index, partition) in table.table.layout().and_then(|layout| layout.partition_by.as_ref()).into_iter().flatten().enumerate() {
        named.push((format!("/layout/partition_by/{index}"), partition.column().to_owned()));
    }
    for (pointer, check) in table.checks() {
        if let ModelCheck::AcceptedValues { column, .. } | ModelCheck::Freshness { column, .. } = check {
            named.push((format!("{pointer}/column"), column.clone()));
        }
    }
    // Where `types` is the whole schema, it declares columns that are not taken, too.
    for column in table.table.types().filter(|_| !table.has_only_declared_types()).into_iter().flat_map(|types| types.keys()) {
        named.push((format!("/types/{}", pointer_part(column)), column.clone()));
    }
    named
}
