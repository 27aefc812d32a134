//! The end of a run, as people read it.

use crate::error::CliError;
use crate::exit::Exit;
use karat_exec::{ErrorReport, RunReport, RunStatus, TableReport, TableStatus};
use karat_plan::render::{bytes, count};
use std::fmt::Write;

/// One line per table, and a total.
pub(crate) fn text(report: &RunReport) -> String {
    let head = ["table", "status", "rows read", "rows written", "files", "seconds"].map(str::to_owned);
    let mut lines: Vec<[String; 6]> = vec![head];
    lines.extend(report.tables.iter().map(|(name, table)| line(name, table)));
    lines.push(total(report));
    let widths: Vec<usize> = (0..6).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
    let size = report.tables.values().map(|table| table.bytes).sum::<u64>();
    let written = if size > 0 { format!(", {} written", bytes(size)) } else { String::new() };
    let mut out = format!("{} · {} in {:.1} s{written}\n\n", report.project, word(report.status), report.seconds);
    for (index, cells) in lines.iter().enumerate() {
        if index + 1 == lines.len() {
            let _infallible = writeln!(out, "  {}", "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
        }
        let left = cells.iter().take(2).zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let right = cells.iter().zip(&widths).skip(2).map(|(cell, width)| format!("{cell:>width$}"));
        let _infallible = writeln!(out, "  {}", left.chain(right).collect::<Vec<_>>().join("  ").trim_end());
    }
    for (name, table) in &report.tables {
        let notes = table.reason.iter().cloned().chain(table.schema_changes.iter().cloned());
        let checks = table.checks.iter().filter(|check| !check.passed).map(|check| check.message.clone());
        for note in notes.chain(table.warnings.iter().cloned()).chain(checks) {
            let _infallible = writeln!(out, "  {name}: {note}");
        }
    }
    out
}

/// What went wrong, for stderr: first what is about no table, then table by table.
pub(crate) fn errors(report: &RunReport) -> Vec<CliError> {
    let whole = report.error.iter().map(|error| (None, error));
    let tables = report.tables.iter().filter_map(|(name, table)| Some((Some(name), table.error.as_ref()?)));
    whole.chain(tables).map(|(name, error)| cli_error(name, error)).collect()
}

/// One error of a report, as it is printed.
pub(crate) fn cli_error(table: Option<&String>, error: &ErrorReport) -> CliError {
    let kind = karat_plugin_api::ErrorKind::ALL.into_iter().map(karat_plugin_api::ErrorKind::as_str).find(|kind| *kind == error.kind);
    let message = table.map_or_else(|| error.message.clone(), |table| format!("`{table}`: {}", error.message));
    CliError { exit: Exit::Failed, kind, message, help: error.help.clone() }
}

fn line(name: &str, table: &TableReport) -> [String; 6] {
    let status = match table.status {
        TableStatus::Unchanged => "nothing to do",
        status @ (TableStatus::Done | TableStatus::Failed | TableStatus::Skipped | TableStatus::Cancelled) => status.as_str(),
    };
    let seconds = if table.started_at.is_some() { format!("{:.1}", table.seconds) } else { String::new() };
    [name.to_owned(), status.to_owned(), count(table.rows_read), count(table.rows_written), count(table.files), seconds]
}

fn total(report: &RunReport) -> [String; 6] {
    let sum = |value: fn(&TableReport) -> u64| report.tables.values().map(value).sum::<u64>();
    let label = format!("{} {}", report.tables.len(), if report.tables.len() == 1 { "table" } else { "tables" });
    [label, String::new(), count(sum(|table| table.rows_read)), count(sum(|table| table.rows_written)), count(sum(|table| table.files)), format!("{:.1}", report.seconds)]
}

fn word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Done => "done",
        RunStatus::Failed => "failed, nothing was committed",
        RunStatus::Partial => "partly done",
        RunStatus::Refused => "refused, to protect data",
        RunStatus::Held => "not started: another run holds the lease",
        RunStatus::Cancelled => "stopped at the last committed batches",
    }
}
