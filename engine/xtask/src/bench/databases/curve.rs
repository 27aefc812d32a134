//! How the time depends on the number of readers and on the size of chunks, and how near `auto` comes to the best size.

use super::ground::{Ground, System};
use super::karat::{Pipeline, lake};
use super::report::seconds;
use super::round::Outcome;
use super::workloads::{Mode, Standing, Target};
use super::{CURVE, new_page};
use crate::ChoreError;
use crate::bench::measure::Bench;
use std::fmt::Write;

/// `None` is `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    parallel: u32,
    rows: Option<u32>,
}

const READERS: [u32; 3] = [1, 2, 4];
const ROWS: [u32; 6] = [1_000, 5_000, 20_000, 50_000, 100_000, 200_000];
/// The number of readers at which sizes are compared.
const COMPARED_AT: u32 = 2;

const TABLES: [(&str, &str); 2] = [("trades", "12 columns"), ("sales_wide", "184 columns")];
const SYSTEMS: [(System, &str); 2] = [(System::MySql, "MariaDB"), (System::Postgres, "PostgreSQL")];

impl Cell {
    fn all() -> Vec<Self> {
        let readers = READERS.into_iter().map(|parallel| Self { parallel, rows: None });
        readers.chain(ROWS.into_iter().map(|rows| Self { parallel: COMPARED_AT, rows: Some(rows) })).collect()
    }

    fn rows(self) -> String {
        self.rows.map_or_else(|| "auto".to_owned(), |rows| crate::bench::page::grouped(f64::from(rows)))
    }

    fn chunk(self) -> String {
        format!("{{ parallel: {}, rows: {} }}", self.parallel, self.rows.map_or_else(|| "auto".to_owned(), |rows| rows.to_string()))
    }
}

/// Measures all cells of all tables.
pub(super) fn run(bench: &mut Bench<'_>, ground: &Ground) -> Result<String, ChoreError> {
    let mut page = new_page(bench, ground, "Readers and chunk sizes", CURVE)?;
    page.paragraph(
        "Whole tables are copied to Parquet with snappy, once with 1, 2 and 4 readers and `chunk.rows: auto`, once with two readers and chunks of 1,000 to 200,000 rows.\n\
         The settings take turns, each as a whole process; the tables show medians.\n\
         Every result is compared with the source by DuckDB.",
    );
    for (system, system_title) in SYSTEMS {
        for (table, title) in TABLES {
            let outcomes = measure(bench, ground, system, table)?;
            page.heading(&format!("{system_title}, {title}"));
            page.paragraph(&nearness(&outcomes));
            page.raw(&rows(&outcomes));
        }
    }
    Ok(page.finish())
}

fn measure(bench: &mut Bench<'_>, ground: &Ground, system: System, table: &str) -> Result<Vec<(Cell, Outcome)>, ChoreError> {
    let outcome = |cell: Cell| Outcome { title: cell.chunk(), standing: Standing::Karat, samples: Vec::new(), trouble: None, types: Vec::new() };
    let mut outcomes: Vec<(Cell, Outcome)> = Cell::all().into_iter().map(|cell| (cell, outcome(cell))).collect();
    for repetition in 1..=bench.options.repetitions {
        for (cell, outcome) in outcomes.iter_mut().filter(|(_, outcome)| outcome.trouble.is_none()) {
            let folder = ground.work("curve");
            let pipeline = Pipeline { from: system, to: Target::Parquet, table, result: table, mode: Mode::Copy, chunk: &cell.chunk() };
            let job = pipeline.write(bench, ground, &folder)?;
            let sample = bench.measure_job(&job, &ground.python())?;
            let differences = if sample.exit == 0 { ground.check("parquet", &lake(&folder, table).display().to_string(), table)?.wrong } else { vec![bench.last_words(3)] };
            if differences.is_empty() {
                outcome.samples.push(sample);
            } else {
                outcome.trouble = Some(differences.join(", "));
            }
            let said = outcome.trouble.clone().unwrap_or_else(|| format!("{:.2} s, {} MiB", sample.wall_seconds, sample.peak_bytes >> 20));
            bench.say(&format!("{CURVE}, {} {table}, {}, repetition {repetition}: {said}", system.name(), outcome.title));
        }
    }
    Ok(outcomes)
}

/// How much longer `auto` takes than the best fixed size.
fn nearness(outcomes: &[(Cell, Outcome)]) -> String {
    let walls = outcomes
        .iter()
        .filter(|(cell, outcome)| cell.parallel == COMPARED_AT && outcome.trouble.is_none())
        .map(|(cell, outcome)| (*cell, outcome.median(|sample| sample.wall_seconds)));
    let (auto, fixed): (Vec<_>, Vec<_>) = walls.partition(|(cell, _)| cell.rows.is_none());
    let best = fixed.into_iter().min_by(|(_, one), (_, two)| one.total_cmp(two));
    match (auto.first(), best) {
        (Some((_, auto)), Some((best, wall))) => format!(
            "With {COMPARED_AT} readers `auto` takes {} s, the best fixed size, {} rows, {} s: {:+.0} %.",
            seconds(*auto),
            best.rows(),
            seconds(wall),
            (auto / wall - 1.0) * 100.0
        ),
        (None, _) => "`auto` did not work.".to_owned(),
        (_, None) => "No fixed size worked.".to_owned(),
    }
}

fn rows(outcomes: &[(Cell, Outcome)]) -> String {
    let mut text = "| readers | rows of a chunk | wall s | from..to | CPU s | peak memory MiB |\n|---:|---:|---:|---|---:|---:|\n".to_owned();
    for (cell, outcome) in outcomes {
        let _ = write!(text, "| {} | {} |", cell.parallel, cell.rows());
        if let Some(trouble) = &outcome.trouble {
            let _ = writeln!(text, " failed: {} | | | |", trouble.replace(['\n', '|'], " "));
            continue;
        }
        let walls = outcome.samples.iter().map(|sample| sample.wall_seconds);
        let (fastest, slowest) = (walls.clone().fold(f64::INFINITY, f64::min), walls.fold(0.0, f64::max));
        let peak = outcome.samples.iter().map(|sample| sample.peak_bytes).max().unwrap_or_default() >> 20;
        let (wall, cpu) = (outcome.median(|sample| sample.wall_seconds), outcome.median(|sample| sample.cpu_seconds));
        let _ = writeln!(text, " {} | {}..{} | {} | {peak} |", seconds(wall), seconds(fastest), seconds(slowest), seconds(cpu));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Sample;

    fn cell(rows: Option<u32>, wall_seconds: f64) -> (Cell, Outcome) {
        let sample = Sample {
            exit: 0,
            over_limit: false,
            wall_seconds,
            cpu_seconds: 1.0,
            server_cpu_seconds: 1.0,
            other_cpu_seconds: 0.0,
            peak_bytes: 1 << 20,
            longest_transaction_seconds: None,
        };
        (Cell { parallel: 2, rows }, Outcome { title: String::new(), standing: Standing::Karat, samples: vec![sample], trouble: None, types: Vec::new() })
    }

    #[test]
    fn auto_is_compared_with_the_best_fixed_size() {
        let outcomes = [cell(None, 2.2), cell(Some(1_000), 4.0), cell(Some(50_000), 2.0)];

        assert_eq!(nearness(&outcomes), "With 2 readers `auto` takes 2.20 s, the best fixed size, 50,000 rows, 2.00 s: +10 %.");
    }
}
