//! D006: two tables with one target.

use crate::rule::{Check, Group, Rule, at};
use crate::view::{ProjectView, TableView};
use karat_diagnostics::{Diagnostic, Explanation, Span};

pub(super) static RULE: Rule = Rule {
    group: Group::DataSafety,
    page: Explanation {
        code: "D006",
        title: "two tables with one target",
        since: "0.1.0",
        what: "Two tables write the same place of the same connection, or one writes into a folder inside the other.",
        why: "Each would destroy what the other wrote.",
        fails: r#"version: 1
silver:
  daily: { sql: "SELECT 1 AS n", to: { table: silver/report } }
  weekly: { sql: "SELECT 2 AS n", to: { table: silver/report } }
"#,
        passes: r#"version: 1
silver:
  daily: { sql: "SELECT 1 AS n", to: { table: silver/daily_report } }
  weekly: { sql: "SELECT 2 AS n", to: { table: silver/weekly_report } }
"#,
        fix: "Give one of them another `to.table`, or take `to.table` out: the default is unique.",
    },
    check: Check::Project(check),
};

/// Where a table is written, as parts of one path.
struct Target<'a> {
    parts: Vec<String>,
    table: TableView<'a>,
}

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    let mut targets: Vec<Target<'_>> = project.tables().filter_map(|table| Some(Target { parts: parts(&table)?, table })).collect();
    targets.sort_by(|a, b| (&a.parts, a.table.index).cmp(&(&b.parts, b.table.index)));
    let mut found = Vec::new();
    let mut above: Vec<&Target<'_>> = Vec::new();
    for target in &targets {
        while above.last().is_some_and(|outer| !target.parts.starts_with(&outer.parts)) {
            above.pop();
        }
        if let Some(outer) = above.last().filter(|outer| outer.parts == target.parts || !is_database(target)) {
            found.push(finding(outer, target));
        }
        above.push(target);
    }
    found
}

fn is_database(target: &Target<'_>) -> bool {
    target.table.target.is_some_and(|end| !end.can().layout)
}

fn finding(outer: &Target<'_>, inner: &Target<'_>) -> Diagnostic {
    let (first, second) = if outer.table.index < inner.table.index { (&outer.table, &inner.table) } else { (&inner.table, &outer.table) };
    let message = if outer.parts == inner.parts {
        format!("`{}` and `{}` write the same target", first.name(), second.name())
    } else {
        format!("`{}` writes into the folder that `{}` writes", inner.table.name(), outer.table.name())
    };
    at(place(second), message)
        .with_label(format!("writes `{}`", inner.parts[1..].join("/")))
        .with_note("a table owns the whole folder it is written to")
        .with_help("give one of them another `to.table`")
        .with_related(place(first), format!("`{}` is written here", first.name()))
}

fn place(table: &TableView<'_>) -> Span {
    if table.table.spans.contains("/to/table") { table.value("/to/table") } else { table.table.name_span }
}

/// The storage, then the path inside it; `None` when the environment decides.
fn parts(table: &TableView<'_>) -> Option<Vec<String>> {
    let end = table.target?;
    let connection = end.connection;
    let written = table.table.to().and_then(|to| to.table.as_deref());
    if written.is_some_and(|written| !TableView::is_known(written)) {
        return None;
    }
    let default = if end.can().layout { format!("{}/{}", table.name().layer().as_str(), table.name().name()) } else { table.name().to_string() };
    let inside = written.unwrap_or(&default);
    // Two connections to one folder are one storage.
    let Some(path) = connection.settings.known_text("path") else {
        let shared = table.project.spec.pipelines.get(table.table.pipeline).is_none_or(|pipeline| !pipeline.connections.contains_key(&connection.name));
        let owner = if shared { "project".to_owned() } else { table.table.pipeline.to_string() };
        return Some(vec![format!("{owner} {}", connection.name), inside.to_owned()]);
    };
    if !end.can().layout {
        return Some(vec![format!("{} {path}", connection.plugin), inside.to_owned()]);
    }
    let mut parts = vec![String::new()];
    for part in path.split('/').chain(inside.split('/')).filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." && parts.len() > 1 {
            parts.pop();
        } else {
            parts.push(part.to_owned());
        }
    }
    if path.starts_with('/') {
        "/".clone_into(&mut parts[0]);
    }
    Some(parts)
}
