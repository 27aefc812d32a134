//! A project of many tables: how long lint and an offline plan take.

use super::measure::{Bench, median, remove};
use super::page::Page;
use crate::{ChoreError, write_text};
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

/// Tables of one pipeline: four Bronze, three Silver, three Gold.
const TABLES_PER_PIPELINE: usize = 10;

/// Measures lint and an offline plan.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<String, ChoreError> {
    let tables = bench.options.tables;
    let project = bench.scratch("many-tables");
    remove(&project)?;
    write_project(&project, tables)?;
    let mut page = Page::new(bench, "A project of many tables", &format!("cargo xtask bench --workloads many_tables --tables {tables}"), &[])?;
    page.paragraph(&format!(
        "A project of {tables} tables in {} pipelines, with joins, common table expressions, templates and checks, is linted, and planned without any connection.\n\
         Each figure is the median wall time of whole processes.",
        tables.div_ceil(TABLES_PER_PIPELINE)
    ));
    let mut rows = Vec::new();
    for (name, words, limit) in [("karat lint", vec!["lint"], 0.5), ("karat plan --offline", vec!["plan", "--offline", "--format", "json"], 1.0)] {
        let command: Vec<OsString> = std::iter::once(bench.karat.clone().into()).chain(words.into_iter().map(OsString::from)).chain([project.clone().into()]).collect();
        let mut samples = Vec::new();
        for _ in 0..bench.options.repetitions.max(5) {
            samples.push(bench.measure(&command)?);
        }
        let wall = median(samples.iter().map(|sample| sample.wall_seconds));
        let peak = samples.iter().map(|sample| sample.peak_bytes).max().unwrap_or_default();
        bench.say(&format!("{tables} tables, {name}: {wall:.3} s"));
        rows.push(format!("| `{name}` | {wall:.3} | {} | {limit} |", peak >> 20));
    }
    page.raw(&format!("| command | wall s | peak memory MiB | allowed s |\n|---|---:|---:|---:|\n{}\n", rows.join("\n")));
    Ok(page.finish())
}

/// Writes `tables` tables, all different, all sound.
pub(super) fn write_project(folder: &Path, tables: usize) -> Result<(), ChoreError> {
    write_text(&folder.join("karat.yaml"), "version: 1\nname: many\nconnections:\n  shop: { type: sqlite, path: shop.db }\n")?;
    for pipeline in 0..tables.div_ceil(TABLES_PER_PIPELINE) {
        let count = TABLES_PER_PIPELINE.min(tables - pipeline * TABLES_PER_PIPELINE);
        write_text(&folder.join(format!("pipelines/p{pipeline:04}.yaml")), &pipeline_text(pipeline, count))?;
    }
    Ok(())
}

fn pipeline_text(pipeline: usize, count: usize) -> String {
    let p = format!("p{pipeline:04}");
    let mut text = format!("version: 1\nname: {p}\nvars: {{ currency: EUR }}\nbronze:\n");
    let bronze = count.min(4);
    for table in 0..bronze {
        let _ = write!(
            text,
            "  {p}_b{table}:\n    from: {{ connection: shop, table: source_{pipeline}_{table} }}\n    key: [id]\n    cdc: {{ strategy: hybrid, cursor: updated_at, lookback: 5m }}\n    load: {{ mode: upsert }}\n    checks:\n      - {{ type: not_null, columns: [id, amount] }}\n"
        );
    }
    let silver = count.saturating_sub(4).min(3);
    if silver > 0 {
        text.push_str("silver:\n");
    }
    for table in 0..silver {
        let next = (table + 1) % bronze;
        let _ = write!(
            text,
            "  {p}_s{table}:\n    sql: |\n      WITH recent AS (\n        SELECT id, customer_id, amount, updated_at\n        FROM bronze.{p}_b{table}\n        WHERE currency = '{{{{ vars.currency }}}}'\n      )\n      SELECT r.id, r.amount, r.updated_at, c.name\n      FROM recent r\n      JOIN bronze.{p}_b{next} c ON c.id = r.customer_id\n    key: [id]\n    checks:\n      - {{ type: unique, columns: [id] }}\n"
        );
    }
    let gold = count.saturating_sub(7);
    if gold > 0 {
        text.push_str("gold:\n");
    }
    for table in 0..gold {
        let _ = write!(
            text,
            "  {p}_g{table}:\n    sql: |\n      SELECT name, date_trunc('day', updated_at) AS day, count(*) AS orders, sum(amount) AS amount\n      FROM silver.{p}_s{}\n      GROUP BY 1, 2\n    key: [name, day]\n",
            table % silver
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_as_many_tables_as_asked_for() {
        let count = |text: &str| text.lines().filter(|line| line.starts_with("  p") && line.ends_with(':')).count();

        assert_eq!(count(&pipeline_text(3, 10)), 10);
        assert_eq!(count(&pipeline_text(3, 5)), 5);
    }
}
