//! Karat's own part: a project as its users write it, and what has happened before it is measured.

use super::ground::{Ground, System};
use super::workloads::{Mode, Target, Tool, Workload, key};
use crate::bench::measure::{Bench, Job, remove, succeed};
use crate::{ChoreError, write_text};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two readers on one snapshot, as many as the machine has processors to give.
pub(super) const TWO_READERS: &str = "{ parallel: 2 }";

const SOURCE_URL: &str = "SOURCE_URL";
const TARGET_URL: &str = "TARGET_URL";

/// One table, from where to where and how.
pub(super) struct Pipeline<'a> {
    pub(super) from: System,
    pub(super) to: Target,
    pub(super) table: &'a str,
    pub(super) result: &'a str,
    pub(super) mode: Mode,
    /// The value of `chunk`.
    pub(super) chunk: &'a str,
}

impl Pipeline<'_> {
    /// A new project in `folder`, and the command that runs it.
    pub(super) fn write(&self, bench: &Bench<'_>, ground: &Ground, folder: &Path) -> Result<Job, ChoreError> {
        remove(folder)?;
        let file = folder.join("bench.yaml");
        write_text(&file, &self.text())?;
        let word = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| ChoreError::new(format!("`{}` is not UTF-8", path.display())));
        let mut job = ground.job(vec![word(&bench.karat)?, "run".into(), "--quiet".into(), word(&file)?]);
        job.environment.insert(SOURCE_URL.to_owned(), ground.url(self.from, "source"));
        if let Target::Database(system) = self.to {
            job.environment.insert(TARGET_URL.to_owned(), ground.url(system, "target"));
        }
        Ok(job)
    }

    fn text(&self) -> String {
        let (target, to) = match self.to {
            Target::Parquet => ("{ type: files, path: lake, format: parquet }".to_owned(), "{ connection: target }".to_owned()),
            Target::Database(system) => (format!("{{ type: {}, url: \"${{{TARGET_URL}}}\" }}", system.name()), format!("{{ connection: target, table: {} }}", self.result)),
        };
        let how = match self.mode {
            Mode::Copy => format!("    chunk: {}\n", self.chunk),
            Mode::Upsert(_) => "    cdc: { strategy: hybrid, cursor: updated_at }\n    load: { mode: upsert }\n".to_owned(),
            Mode::Increment => format!("    cdc: {{ strategy: id, cursor: {} }}\n    load: {{ mode: append }}\n", key(self.table)),
        };
        let layout = if self.to == Target::Parquet { "    layout: { compression: snappy, min_file_rows: 1_000_000 }\n" } else { "" };
        format!(
            "version: 1\nconnections:\n  source: {{ type: {}, url: \"${{{SOURCE_URL}}}\" }}\n  target: {target}\n\
             bronze:\n  {table}:\n    from: {{ connection: source, table: {table} }}\n    key: [{}]\n    to: {to}\n{how}{layout}",
            self.from.name(),
            key(self.table),
            table = self.table,
        )
    }
}

/// Where a result in Parquet lies.
pub(super) fn lake(folder: &Path, table: &str) -> PathBuf {
    folder.join("lake/bronze").join(table)
}

/// Karat's project of a workload, and the command that runs it.
pub(super) fn project(bench: &Bench<'_>, ground: &Ground, workload: &Workload, tool: Tool) -> Result<Job, ChoreError> {
    let pipeline = Pipeline { from: workload.from, to: workload.to, table: &workload.source(), result: &workload.result(tool), mode: workload.mode, chunk: TWO_READERS };
    pipeline.write(bench, ground, &ground.work("karat"))
}

/// What Karat's target is kept as after the first load.
fn kept(size: &str) -> String {
    format!("karat_{size}")
}

/// The first load, which is not measured: the table of the target and the state of the project are put aside, and then the source changes.
pub(super) fn first_load(bench: &mut Bench<'_>, ground: &Ground, workload: &Workload, (tool, size): (Tool, &str)) -> Result<Job, ChoreError> {
    let system = workload.from.name();
    ground.target("empty", workload.from, None)?;
    ground.script("data.py", &["begin", system, size])?;
    let job = project(bench, ground, workload, tool)?;
    let sample = bench.measure_job(&job, &ground.python())?;
    if sample.exit != 0 {
        return Err(ChoreError::new(format!("Karat's first load ended with {}:\n{}", sample.exit, bench.last_words(20))));
    }
    bench.say(&format!("{}: karat's first load took {:.2} s", workload.name, sample.wall_seconds));
    ground.target("keep", workload.from, Some(&kept(size)))?;
    copy_folder(&ground.work("karat"), &ground.work("karat-kept"))?;
    ground.script("data.py", &["change", system, size])?;
    Ok(job)
}

/// Everything as it was after the first load, except for the source.
pub(super) fn restore(ground: &Ground, system: System, size: &str) -> Result<(), ChoreError> {
    ground.target("restore", system, Some(&kept(size)))?;
    copy_folder(&ground.work("karat-kept"), &ground.work("karat"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), ChoreError> {
    remove(to)?;
    succeed(Command::new("cp").arg("--archive").arg(from).arg(to)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_names_both_databases_and_the_way_between_them() {
        let pipeline =
            Pipeline { from: System::MySql, to: Target::Database(System::Postgres), table: "orders_sparse", result: "orders", mode: Mode::Increment, chunk: TWO_READERS };

        assert_eq!(
            pipeline.text(),
            "version: 1\nconnections:\n  source: { type: mysql, url: \"${SOURCE_URL}\" }\n  target: { type: postgres, url: \"${TARGET_URL}\" }\n\
             bronze:\n  orders_sparse:\n    from: { connection: source, table: orders_sparse }\n    key: [id]\n    to: { connection: target, table: orders }\n    \
             cdc: { strategy: id, cursor: id }\n    load: { mode: append }\n"
        );
    }
}
