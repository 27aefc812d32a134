//! P019: file format that cannot be written.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P019",
        title: "file format that cannot be written",
        since: "0.1.0",
        what: "A table is written to a `files` connection with `format: csv` or `format: ndjson`.",
        why: "Text formats carry no types: what was written could not be read back as the same table.",
        fails: r#"version: 1
connections: { out: { type: files, path: out, format: csv } }
silver:
  orders: { sql: "SELECT 1 AS order_id", to: { connection: out } }
"#,
        passes: r#"version: 1
connections: { out: { type: files, path: out, format: parquet } }
silver:
  orders: { sql: "SELECT 1 AS order_id", to: { connection: out } }
"#,
        fix: "Set `format: parquet`.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(target) = table.target.filter(|target| target.connection.plugin == "files") else { return Vec::new() };
    let Some(format) = target.connection.settings.known_text("format").filter(|format| matches!(*format, "csv" | "ndjson")) else { return Vec::new() };
    let found = at(table.value("/to/connection"), format!("`{}` cannot be written as `{format}`", table.name())).with_label("only Parquet is written");
    vec![
        found
            .with_related(target.connection.spans.value("/format"), format!("the format of connection `{}` is set here", target.connection.name))
            .with_help("write to a connection with `format: parquet`"),
    ]
}
