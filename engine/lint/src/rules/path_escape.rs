//! D007: output outside of the project.

use crate::rule::{Check, Group, Rule, at};
use crate::view::TableView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D007",
        title: "output outside of the project",
        since: "0.1.0",
        what: "`to.table` leaves the folder of its connection, or the `path` of a target connection leaves the project by `..`.",
        why: "Outputs are replaced and cleaned up. A path that leaves the project can destroy files of somebody else, and differs from machine to machine.",
        fails: r#"version: 1
silver:
  prices: { sql: "SELECT 1 AS price", to: { table: ../../prices } }
"#,
        passes: r#"version: 1
silver:
  prices: { sql: "SELECT 1 AS price", to: { table: finance/prices } }
"#,
        fix: "Write below the connection's folder. A warehouse elsewhere is declared by an absolute `path` or a URL of its connection.",
    },
    check: Check::Table(check),
};

fn check(table: &TableView<'_>) -> Vec<Diagnostic> {
    let Some(end) = table.target.filter(|end| end.can().layout) else { return Vec::new() };
    let mut found = Vec::new();
    let written = table.table.to().and_then(|to| to.table.as_deref()).unwrap_or("");
    let is_absolute = written.starts_with(['/', '\\', '~']) || written.contains("://") || written.as_bytes().get(1) == Some(&b':');
    if is_absolute || leaves(written) {
        let label = if is_absolute { "an absolute path" } else { "leads out of the connection's folder" };
        found.push(
            at(table.value("/to/table"), format!("`{}` would be written outside of connection `{}`", table.name(), end.connection.name))
                .with_label(label)
                .with_note("outputs may not leave the project or the declared warehouse")
                .with_help("write a path below the connection's folder, such as `silver/prices`"),
        );
    }
    if let Some(path) = end.connection.settings.known_text("path").filter(|path| !path.contains("://") && leaves(path)) {
        found.push(
            at(end.connection.spans.value("/path"), format!("connection `{}` writes to `{path}`, outside of the project", end.connection.name))
                .with_label("leads out of the project")
                .with_note("outputs may not leave the project or the declared warehouse")
                .with_help("write an absolute path if the warehouse is meant to lie elsewhere"),
        );
    }
    found
}

/// True when a relative path climbs above where it starts.
fn leaves(path: &str) -> bool {
    let mut depth = 0_i32;
    !path.starts_with('/')
        && path.split(['/', '\\']).any(|part| {
            depth += match part {
                "" | "." => 0,
                ".." => -1,
                _ => 1,
            };
            depth < 0
        })
}
