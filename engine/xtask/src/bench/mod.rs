//! Karat beside its peers: the same data, the same machine, in turn, and every result checked before it counts.
//!
//! The peers come from PyPI, so virtual environments hold them; `measure.py` starts one command and reports wall time, CPU time and peak memory.
//! Read next: `copy.rs` (SQLite to Parquet and Delta), `many_tables.rs` (lint and plan of a large project), `databases/mod.rs` (PostgreSQL and
//! MariaDB), `page.rs` (what is written).

mod copy;
mod databases;
mod many_tables;
mod measure;
mod page;

use crate::{ChoreError, generate, write_text};
use databases::Ground;
use measure::Bench;
use std::path::{Path, PathBuf};

/// What to measure, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchOptions {
    /// Rows of the table that is copied from SQLite; a second round doubles them to show that memory stays flat.
    #[arg(long, default_value_t = 4_000_000)]
    pub rows: u32,
    /// Tables of the large project.
    #[arg(long, default_value_t = 1_000)]
    pub tables: usize,
    /// Share of the full tables that the databases hold, such as 0.02 for a quick proof.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Repetitions of each command; medians are reported.
    #[arg(long, default_value_t = 3)]
    pub repetitions: usize,
    /// Seconds after which a peer is stopped; one that takes more than a minute runs only once.
    #[arg(long, default_value_t = 300)]
    pub limit: u64,
    /// Only these, such as `copy` or `mysql_to_parquet`; all by default.
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// Of the tools that work on databases only those whose name starts so, such as `karat`; all by default.
    #[arg(long, value_delimiter = ',')]
    pub tools: Vec<String>,
    /// Where data and results are kept meanwhile; about 20 GB for the full size.
    #[arg(long, default_value_os_t = std::env::temp_dir().join("karat-bench"))]
    pub scratch: PathBuf,
    /// Measures this binary instead of building one.
    #[arg(long)]
    pub karat: Option<PathBuf>,
    /// Prints the pages instead of writing them below `docs/benchmarks/`.
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the chosen workloads and writes their pages.
///
/// # Errors
/// When a tool is missing, a command of Karat fails, or its result is not the one that the source holds.
pub fn run(root: &Path, options: &BenchOptions, say: &mut dyn FnMut(&str)) -> Result<(), ChoreError> {
    let known: Vec<&str> = ["copy", "many_tables"].into_iter().chain(databases::names()).collect();
    if let Some(unknown) = options.workloads.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(ChoreError::new(format!("`{unknown}` is not a workload: choose among {}", known.join(", "))));
    }
    let karat = match &options.karat {
        Some(binary) => std::path::absolute(binary).map_err(|error| ChoreError::io("find", binary, &error))?,
        None => generate::build_engine(root)?,
    };
    let mut options = options.clone();
    // Servers and projects are told of it, each from a folder of its own.
    options.scratch = std::path::absolute(&options.scratch).map_err(|error| ChoreError::io("find", &options.scratch, &error))?;
    let mut bench = Bench::prepare(root, karat, &options, say)?;
    let mut ground: Option<Ground> = None;
    for workload in known.into_iter().filter(|name| options.workloads.is_empty() || options.workloads.iter().any(|chosen| chosen == name)) {
        let (name, page) = match workload {
            "copy" => ("sqlite-to-lake".to_owned(), copy::run(&mut bench)?),
            "many_tables" => ("many-tables".to_owned(), many_tables::run(&mut bench)?),
            other => (other.replace('_', "-"), databases::run(&mut bench, &mut ground, other)?),
        };
        if options.dry_run {
            bench.say(&page);
        } else {
            let path = root.join("docs/benchmarks").join(format!("{name}.md"));
            write_text(&path, &page)?;
            bench.say(&format!("wrote {}", path.display()));
        }
    }
    Ok(())
}
