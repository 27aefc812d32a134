//! Karat beside its peers: the same data, the same machine, in turn, and every result checked before it counts.
//!
//! The peers are Python packages, so a virtual environment runs them; `measure.py` starts one command and reports wall time, CPU time and peak memory.
//! Read next: `copy.rs` (SQLite to Parquet and Delta), `many_tables.rs` (lint and plan of a large project), `page.rs` (what is written).

mod copy;
mod many_tables;
mod measure;
mod page;

use crate::{ChoreError, generate, write_text};
use measure::Bench;
use std::path::{Path, PathBuf};

/// What to measure, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchOptions {
    /// Rows of the copied table; a second round doubles them to show that memory stays flat.
    #[arg(long, default_value_t = 4_000_000)]
    pub rows: u32,
    /// Tables of the large project.
    #[arg(long, default_value_t = 1_000)]
    pub tables: usize,
    /// Repetitions of each command; medians are reported.
    #[arg(long, default_value_t = 3)]
    pub repetitions: usize,
    /// Only these: `copy`, `many_tables`.
    #[arg(long, value_delimiter = ',', default_values_t = ["copy".to_owned(), "many_tables".to_owned()])]
    pub workloads: Vec<String>,
    /// Where data and results are kept meanwhile; about 4 GB for the full size.
    #[arg(long, default_value_os_t = std::env::temp_dir().join("karat-bench"))]
    pub scratch: PathBuf,
    /// Prints the pages instead of writing them below `docs/benchmarks/`.
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the chosen workloads and writes their pages.
///
/// # Errors
/// When a tool is missing, a command fails, or a result is not the one that the source holds.
pub fn run(root: &Path, options: &BenchOptions, say: &mut dyn FnMut(&str)) -> Result<(), ChoreError> {
    let karat = generate::build_engine(root)?;
    let mut bench = Bench::prepare(root, karat, options, say)?;
    for workload in &options.workloads {
        let (name, page) = match workload.as_str() {
            "copy" => ("sqlite-to-lake.md", copy::run(&mut bench)?),
            "many_tables" => ("many-tables.md", many_tables::run(&mut bench)?),
            other => return Err(ChoreError::new(format!("`{other}` is not a workload: choose `copy` or `many_tables`"))),
        };
        if options.dry_run {
            bench.say(&page);
        } else {
            let path = root.join("docs/benchmarks").join(name);
            write_text(&path, &page)?;
            bench.say(&format!("wrote {}", path.display()));
        }
    }
    Ok(())
}
