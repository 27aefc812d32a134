//! L005: chunk too small or too large.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::ChunkRows;

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L005",
        title: "chunk too small or too large",
        since: "0.1.0",
        what: "`chunk.rows` is below 100, `chunk.bytes` is below 64KiB, or `chunk.bytes` is above half of `memory_limit`, or `chunk.parallel` is 0.",
        why: "Each chunk costs a query at the source. Small ones make reading slow; one that fills the memory cannot be read at all.",
        fails: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    chunk: { rows: 10 }
"#,
        passes: r#"version: 1
connections: { shop: { type: sqlite, path: shop.db } }
bronze:
  orders:
    from: { connection: shop, table: orders }
    chunk: { rows: 50_000 }
"#,
        fix: "Take the setting out: the defaults suit most tables.",
    },
    check: Check::Table(check),
};

const FEW_ROWS: u64 = 100;
const FEW_BYTES: u64 = 64 << 10;

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(chunk) = table.bronze().and_then(|bronze| bronze.chunk.as_ref()) else { return Vec::new() };
    let mut found = Vec::new();
    let mut report = |key: &str, message: String, label: &str| {
        let span = table.value(&format!("/chunk/{key}"));
        found.push(at(span, message).with_label(label).with_help(format!("take `{key}` out: the default suits most tables")));
    };
    if let Some(ChunkRows::Rows(rows)) = chunk.rows
        && rows.0 < FEW_ROWS
    {
        report("rows", format!("`{}` is read in chunks of {rows} row{}", table.name(), if rows.0 == 1 { "" } else { "s" }), "a query at the source for each");
    }
    if let Some(bytes) = chunk.bytes {
        let limit = table.project.spec.memory_limit;
        if bytes.0 < FEW_BYTES {
            report("bytes", format!("`{}` is read in chunks of {bytes}", table.name()), "may be less than one row");
        } else if limit.is_some_and(|limit| bytes.0 > limit.0 / 2) {
            report("bytes", format!("one chunk of `{}` may fill more than half of `memory_limit`", table.name()), "too large");
        }
    }
    if chunk.parallel.is_some_and(|parallel| parallel.0 == 0) {
        report("parallel", format!("`{}` is read by no reader", table.name()), "at least 1");
    }
    found
}
