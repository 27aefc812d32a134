//! L004: partition for almost every row.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::{PartitionTransform, Strategy};

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L004",
        title: "partition for almost every row",
        since: "0.1.0",
        what: "`layout.partition_by` uses the plain value of a timestamp, of a floating-point number, of the cursor or of a key of one column.",
        why: "Nearly every row has a value of its own, so nearly every row gets a folder and a file of its own.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    layout: { partition_by: [order_id] }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    key: [order_id]
    layout: { partition_by: ["month(ordered_at)"] }
"#,
        fix: "Partition by `day(…)`, `month(…)` or `year(…)`, or by a column with few values.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let partitions = table.table.layout().and_then(|layout| layout.partition_by.as_ref()).into_iter().flatten().enumerate();
    let found = partitions.filter_map(|(index, partition)| {
        let PartitionTransform::Identity(column) = partition else { return None };
        let why = reason(table, column)?;
        let message = format!("`{}` makes a partition for almost every value of `{column}`", table.name());
        let found = at(table.value(&format!("/layout/partition_by/{index}")), message).with_label(why);
        Some(found.with_help(format!("partition by `month({column})` if it is a time, or by a column with few values")))
    });
    found.collect()
}

fn reason(table: &TableView<'_>, column: &str) -> Option<&'static str> {
    if table.table.key().is_some_and(|key| key.as_slice() == [column]) {
        return Some("the key: one row each");
    }
    if table.strategy() != Some(Strategy::Full) && table.cdc().and_then(|cdc| cdc.cursor.as_deref()) == Some(column) {
        return Some("the cursor: few rows each");
    }
    let declared = table.table.types().and_then(|types| types.get(column))?;
    let is_fine = ["timestamp", "timestamptz", "time", "double", "real", "uuid"].iter().any(|kind| declared == kind || declared.starts_with(&format!("{kind}(")));
    is_fine.then_some("a type of many values")
}
