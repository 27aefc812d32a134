//! P012: CSV or NDJSON without types.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "P012",
        title: "CSV or NDJSON without types",
        since: "0.1.0",
        what: "CSV or NDJSON files are copied, but `types` does not say their columns.",
        why: "These formats carry no types, and types guessed from samples break on later rows.",
        fails: r#"version: 1
connections: { drop: { type: files, path: in, format: csv } }
bronze:
  orders: { from: { connection: drop, path: "*.csv" } }
"#,
        passes: r#"version: 1
connections: { drop: { type: files, path: in, format: csv } }
bronze:
  orders:
    from: { connection: drop, path: "*.csv" }
    types: { order_id: bigint, ordered_at: timestamp, amount: "decimal(18,2)" }
"#,
        fix: "Write all columns with their types.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    if table.bronze().is_none() || table.table.incomplete || !table.has_only_declared_types() || table.table.types().is_some_and(|types| !types.is_empty()) {
        return Vec::new();
    }
    let found = at(table.value("/from"), format!("`{}` copies files without types, but has no `types`", table.name())).with_label("CSV and NDJSON carry no types");
    vec![found.with_note("for CSV and NDJSON `types` is the whole schema").with_help("write every column with its type, such as `types: { id: bigint, name: text }`")]
}
