//! A page of `docs/benchmarks/`: figures with everything that is needed to judge and to repeat them.

use super::measure::{Bench, succeed};
use crate::ChoreError;
use std::fmt::Write;
use std::process::Command;

/// One line of a table.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) wall: f64,
    pub(super) fastest: f64,
    pub(super) slowest: f64,
    pub(super) cpu: f64,
    pub(super) peak_bytes: u64,
}

/// A page that is being written.
pub(super) struct Page(String);

impl Page {
    /// `versions` are those of everything that is measured beside Karat.
    pub(super) fn new(bench: &Bench<'_>, title: &str, command: &str, versions: &[&str]) -> Result<Self, ChoreError> {
        let git = |arguments: &[&str]| succeed(Command::new("git").args(arguments).current_dir(&bench.root));
        let dirty = if git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() { "" } else { ", with local changes" };
        let rustc = succeed(Command::new("rustc").arg("--version"))?;
        let versions = [&[rustc.as_str()], versions].concat().join(", ");
        let mut text = format!("# {title}\n\n");
        let _ = writeln!(text, "| | |\n|---|---|");
        let _ = writeln!(text, "| date | {} |", git(&["show", "--no-patch", "--format=%cs", "HEAD"])?);
        let _ = writeln!(text, "| commit | `{}`{dirty} |", git(&["rev-parse", "--short", "HEAD"])?);
        let _ = writeln!(text, "| machine | {} |", machine());
        let _ = writeln!(text, "| versions | {versions} |");
        let _ = writeln!(text, "| repetitions | {} |", bench.options.repetitions);
        let _ = writeln!(text, "| command | `{command}` |\n");
        Ok(Self(text))
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.0, "## {text}\n");
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.0, "{text}\n");
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Fastest first; what is not ours is compared with the best of ours.
    pub(super) fn table(&mut self, rows_copied: u32, rows: &[Row]) {
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_by(|one, two| one.wall.total_cmp(&two.wall));
        let _ = writeln!(self.0, "| tool | wall s | from..to | CPU s | rows/s | peak memory MiB |\n|---|---:|---|---:|---:|---:|");
        for row in sorted {
            let speed = rows_per_second(f64::from(rows_copied), row.wall);
            let _ = writeln!(self.0, "| {} | {:.2} | {:.2}..{:.2} | {:.2} | {speed} | {} |", row.name, row.wall, row.fastest, row.slowest, row.cpu, row.peak_bytes >> 20);
        }
        self.0.push('\n');
    }

    pub(super) fn finish(self) -> String {
        let mut text = self.0.trim_end().to_owned();
        text.push('\n');
        text
    }
}

/// Whole rows per second with separators, as people read them.
pub(super) fn rows_per_second(rows: f64, seconds: f64) -> String {
    grouped(rows / seconds)
}

/// A whole number with separators.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()))
        .unwrap_or_else(|| "unknown CPU".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = read("/proc/meminfo").lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or_default();
    format!("{cores} cores of {cpu}, {} GiB of memory", memory >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_grouped_by_thousands() {
        assert_eq!(rows_per_second(4_000_000.0, 2.0), "2,000,000");
        assert_eq!(rows_per_second(999.0, 1.0), "999");
    }
}
