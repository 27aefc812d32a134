//! The plan as a comment on a pull request.

use super::{bytes, count, headline};
use crate::{RunPlan, TablePlan};
use std::fmt::Write;

/// One table per wave, then what needs attention.
#[must_use]
pub fn markdown(plan: &RunPlan) -> String {
    let mut out = String::new();
    let _infallible = writeln!(out, "## Plan of `{}`\n\n{}.", plan.project, headline(plan));
    for (index, wave) in plan.waves.iter().enumerate() {
        let _infallible = writeln!(out, "\n### Wave {}\n\n| table | strategy | reads | load | target | guarantee | rows | bytes |\n|---|---|---|---|---|---|--:|--:|", index + 1);
        for (name, table) in wave.iter().filter_map(|name| Some((name, plan.tables.get(name)?))) {
            let _infallible = writeln!(out, "{}", row(name, table));
        }
    }
    list(&mut out, "Changes of columns", plan, |table| &table.ddl);
    list(&mut out, "Warnings", plan, |table| &table.warnings);
    list(&mut out, "Checks", plan, |table| &table.checks);
    out
}

fn row(name: &str, table: &TablePlan) -> String {
    let number = |value: Option<u64>, show: fn(u64) -> String| value.map_or_else(|| "–".into(), |value| format!("≈ {}", show(value)));
    let cells = [
        code(name),
        table.strategy.clone(),
        table.predicate.as_deref().map(code).unwrap_or_default(),
        table.load_mode.clone(),
        code(&format!("{}: {}", table.target.connection, table.target.table)),
        format!("{}: {}", table.guarantee, escaped(&table.guarantee_reason)),
        number(table.estimated_rows, count),
        number(table.estimated_bytes, bytes),
    ];
    format!("| {} |", cells.join(" | "))
}

fn list(out: &mut String, title: &str, plan: &RunPlan, lines: impl Fn(&TablePlan) -> &Vec<String>) {
    let all: Vec<(&String, &String)> = plan.tables.iter().flat_map(|(name, table)| lines(table).iter().map(move |line| (name, line))).collect();
    if all.is_empty() {
        return;
    }
    let _infallible = writeln!(out, "\n<details><summary>{title} ({})</summary>\n", all.len());
    for (name, line) in all {
        let _infallible = writeln!(out, "- `{name}`: {}", escaped(line));
    }
    out.push_str("\n</details>\n");
}

/// Code inside a table cell: a bar would end the cell, a backtick the code.
fn code(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}
