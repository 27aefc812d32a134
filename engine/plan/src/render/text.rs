//! The plan for people, in 100 columns.

use super::{bytes, count, headline};
use crate::{LayoutPlan, RunPlan, SchedulePlan, TablePlan};
use karat_diagnostics::render::Color;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: usize = 100;
const LABEL: usize = 14;

/// Wave after wave, what happens to each table.
#[must_use]
pub fn text(plan: &RunPlan, color: Color) -> String {
    let paint = Paint(color);
    let mut out = String::new();
    let _infallible = writeln!(out, "{} · {}", paint.bold(&plan.project), headline(plan));
    let schedules: BTreeMap<&str, &SchedulePlan> = plan.tables.values().filter_map(|table| Some((table.pipeline.as_str(), table.schedule.as_ref()?))).collect();
    for (pipeline, schedule) in schedules {
        let _infallible = writeln!(out, "{pipeline} runs at {} ({})", schedule.cron, schedule.timezone);
    }
    for (index, wave) in plan.waves.iter().enumerate() {
        let _infallible = writeln!(out, "\n{}", paint.bold(&format!("wave {}", index + 1)));
        for name in wave {
            if let Some(table) = plan.tables.get(name) {
                block(&mut out, name, table, paint);
            }
        }
    }
    out
}

fn block(out: &mut String, name: &str, table: &TablePlan, paint: Paint) {
    let _infallible = writeln!(out, "  {}  {} → {}, {}", paint.bold(name), table.strategy, table.load_mode, table.guarantee);
    for (label, value) in rows(table) {
        let mut label = label;
        for line in wrapped(&value, WIDTH - LABEL - 4) {
            let _infallible = writeln!(out, "    {}{line}", paint.dim(&format!("{label:LABEL$}")));
            label = "";
        }
    }
}

fn rows(table: &TablePlan) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if table.strategy != "recompute" {
        rows.push(("from", table.reads.join(", ")));
    }
    rows.extend(table.watermark.clone().map(|watermark| ("watermark", watermark)));
    rows.extend(table.predicate.clone().map(|predicate| ("reads", predicate)));
    rows.extend(chunk(table).map(|chunk| ("chunk", chunk)));
    rows.extend(estimate(table).map(|estimate| ("estimate", estimate)));
    if !table.key.is_empty() {
        rows.push(("key", table.key.join(", ")));
    }
    rows.push(("to", format!("{}: {}", table.target.connection, table.target.table)));
    rows.extend(table.layout.as_ref().map(|layout| ("layout", layout_line(layout))));
    rows.extend(table.ddl.iter().map(|change| ("ddl", change.clone())));
    rows.push(("guarantee", format!("{}: {}", table.guarantee, table.guarantee_reason)));
    if !table.checks.is_empty() {
        rows.push(("checks", table.checks.join(" · ")));
    }
    if !table.defaults.is_empty() {
        let defaults: Vec<String> = table.defaults.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        rows.push(("by default", defaults.join(" · ")));
    }
    rows.extend(table.warnings.iter().map(|warning| ("warning", warning.clone())));
    rows
}

fn chunk(table: &TablePlan) -> Option<String> {
    let chunk = table.chunk.as_ref()?;
    let rows = chunk.rows.parse().map_or_else(|_| chunk.rows.clone(), count);
    let bytes = chunk.bytes.as_ref().map(|bytes| format!(" or {bytes}")).unwrap_or_default();
    let parallel = if chunk.parallel > 1 { format!(", {} at once", chunk.parallel) } else { String::new() };
    Some(format!("{rows} rows{bytes}{parallel}"))
}

fn estimate(table: &TablePlan) -> Option<String> {
    let rows = table.estimated_rows?;
    let mut parts = vec![format!("about {} rows", count(rows))];
    parts.extend(table.estimated_bytes.map(bytes));
    let per_partition = table.layout.as_ref().is_some_and(|layout| !layout.partition_by.is_empty());
    parts.extend(table.estimated_files.map(|files| {
        let noun = if files == 1 { "file" } else { "files" };
        format!("{} {noun}{}", count(files), if per_partition { " per partition at most" } else { "" })
    }));
    Some(parts.join(", "))
}

fn layout_line(layout: &LayoutPlan) -> String {
    let mut parts = Vec::new();
    if !layout.partition_by.is_empty() {
        parts.push(format!("by {}", layout.partition_by.join(", ")));
    }
    if !layout.sort_by.is_empty() {
        parts.push(format!("sorted by {}", layout.sort_by.join(", ")));
    }
    parts.push(format!("{} rows or {} per file", count(layout.min_file_rows), layout.target_file_bytes));
    parts.push(layout.compression.clone());
    parts.join(" · ")
}

/// `text` in lines of at most `width` characters, broken at spaces where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let used = line.chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if used > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[derive(Clone, Copy)]
struct Paint(Color);

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self.0 {
            Color::Never => text.to_owned(),
            Color::Always => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}
