//! PostgreSQL and MariaDB: tables copied, changed rows merged, nothing new, and the curve of chunk sizes.
//!
//! Both servers are private and keep their data in the scratch folder (`servers.py`, `data.py`). For each repetition the target is brought back to the
//! same state (`targets.py`), one tool does the job (`peers.py`, `karat.rs`), and its result is compared with the source by DuckDB or by the server
//! itself (`check.py`). Read next: `workloads.rs`, then `round.rs`.

mod curve;
mod ground;
mod karat;
mod report;
mod round;
mod workloads;

pub(super) use ground::Ground;

use super::measure::Bench;
use super::page::Page;
use crate::ChoreError;
use workloads::{Mode, WORKLOADS, Workload};

const CURVE: &str = "curve";

/// All workloads on databases.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain([CURVE])
}

/// Runs one of them and returns its page; the first starts the servers, which stay for the next.
pub(super) fn run(bench: &mut Bench<'_>, ground: &mut Option<Ground>, name: &str) -> Result<String, ChoreError> {
    let ground = match ground {
        Some(ground) => ground,
        None => ground.insert(Ground::start(bench)?),
    };
    match WORKLOADS.iter().find(|workload| workload.name == name) {
        Some(workload) => compare(bench, ground, workload),
        None => curve::run(bench, ground),
    }
}

/// Karat beside the peers.
fn compare(bench: &mut Bench<'_>, ground: &Ground, workload: &Workload) -> Result<String, ChoreError> {
    let outcomes = round::run(bench, ground, workload)?;
    let mut page = new_page(bench, ground, workload.title, workload.name)?;
    page.paragraph(&workload.text(bench.options.scale));
    page.paragraph(
        "The tools take turns, each as a whole process from start to exit, and the tables show medians; one that takes more than a minute runs only once.\n\
         CPU and peak memory are those of the process and all its descendants together; what the servers take on the same processors is a column of its own.\n\
         A result counts only when all values of all rows equal those of the source, which DuckDB or the server itself compares; types that changed are named.",
    );
    page.paragraph(&report::verdict(&outcomes));
    page.raw(&report::table(&outcomes, (workload.mode != Mode::Increment).then(|| workload.rows(bench.options.scale))));
    page.raw(&report::remarks(&outcomes));
    Ok(page.finish())
}

fn new_page(bench: &Bench<'_>, ground: &Ground, title: &str, name: &str) -> Result<Page, ChoreError> {
    let scale = if (bench.options.scale - 1.0).abs() < f64::EPSILON { String::new() } else { format!(" --scale {}", bench.options.scale) };
    let versions: Vec<&str> = ground.versions().collect();
    let mut page = Page::new(bench, title, &format!("cargo xtask bench --workloads {name}{scale}"), &versions)?;
    page.paragraph(&format!("Settings of the servers: {}.", ground.settings().join("; ")));
    Ok(page)
}
