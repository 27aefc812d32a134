//! The workbench: a scratch folder, virtual environments for the peers, and one way to run a command.

use super::BenchOptions;
use crate::{ChoreError, write_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const MEASURE: &str = include_str!("measure.py");

/// A command that is to be measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) command: Vec<String>,
    /// Added to the environment of this process.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// Servers whose CPU time is told apart, by the ids of their processes.
    #[serde(default)]
    pub(super) servers: Vec<u32>,
    /// The URL of a database whose longest writing transaction is observed.
    #[serde(default)]
    pub(super) watch: Option<String>,
}

/// What one command took, with all its descendants.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Sample {
    pub(super) exit: i32,
    pub(super) over_limit: bool,
    pub(super) wall_seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) server_cpu_seconds: f64,
    /// What everything else on the machine took meanwhile.
    pub(super) other_cpu_seconds: f64,
    pub(super) peak_bytes: u64,
    pub(super) longest_transaction_seconds: Option<f64>,
}

/// A scratch folder with everything that a workload needs.
pub(super) struct Bench<'say> {
    pub(super) root: PathBuf,
    pub(super) karat: PathBuf,
    pub(super) options: BenchOptions,
    say: &'say mut dyn FnMut(&str),
}

impl<'say> Bench<'say> {
    /// Makes the scratch folder, unless it is there.
    pub(super) fn prepare(root: &Path, karat: PathBuf, options: &BenchOptions, say: &'say mut dyn FnMut(&str)) -> Result<Self, ChoreError> {
        let bench = Self { root: root.to_owned(), karat, options: options.clone(), say };
        write_text(&bench.scratch("measure.py"), MEASURE)?;
        Ok(bench)
    }

    pub(super) fn say(&mut self, line: &str) {
        (self.say)(line);
    }

    pub(super) fn scratch(&self, name: impl AsRef<Path>) -> PathBuf {
        self.options.scratch.join(name)
    }

    /// The folder of a virtual environment that holds these packages; installed unless it is there.
    pub(super) fn environment(&mut self, name: &str, requirements: &str) -> Result<PathBuf, ChoreError> {
        let folder = self.scratch(name);
        let installed = folder.join("installed.txt");
        if std::fs::read_to_string(&installed).is_ok_and(|text| text == requirements) {
            return Ok(folder);
        }
        self.say(&format!("installing the peers into {}", folder.display()));
        remove(&folder)?;
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let wanted = folder.join("wanted.txt");
        write_text(&wanted, requirements)?;
        succeed(Command::new(python(&folder)).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&wanted))?;
        // Written last: an interrupted installation is done again.
        write_text(&installed, requirements)?;
        Ok(folder)
    }

    /// Runs one command that must succeed, from a cold start, and says what it took.
    pub(super) fn measure(&self, command: &[OsString]) -> Result<Sample, ChoreError> {
        let words = command.iter().map(|word| word.to_str().map(str::to_owned).ok_or_else(|| ChoreError::new(format!("`{}` is not UTF-8", word.to_string_lossy()))));
        let job = Job { command: words.collect::<Result<_, _>>()?, ..Job::default() };
        let sample = self.measure_job(&job, Path::new("python3"))?;
        if sample.exit == 0 {
            return Ok(sample);
        }
        Err(ChoreError::new(format!("`{}` ended with {}:\n{}", job.command.join(" "), sample.exit, self.last_words(20))))
    }

    /// Runs one command, however it ends, and says what it took.
    pub(super) fn measure_job(&self, job: &Job, python: &Path) -> Result<Sample, ChoreError> {
        #[derive(Serialize)]
        struct Order<'job> {
            #[serde(flatten)]
            job: &'job Job,
            log: PathBuf,
            limit_seconds: u64,
        }
        let order =
            serde_json::to_string(&Order { job, log: self.log(), limit_seconds: self.options.limit }).map_err(|error| ChoreError::new(format!("cannot write a job: {error}")))?;
        let printed = succeed(Command::new(python).arg(self.scratch("measure.py")).arg(order))?;
        serde_json::from_str(&printed).map_err(|error| ChoreError::new(format!("the measuring script printed no sample: {error}")))
    }

    /// The end of what the last measured command said.
    pub(super) fn last_words(&self, lines: usize) -> String {
        let said = std::fs::read(self.log()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let tail: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(lines).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn log(&self) -> PathBuf {
        self.scratch("last.log")
    }
}

/// The interpreter of a virtual environment.
pub(super) fn python(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}

/// Runs a command that must succeed and returns its output.
pub(super) fn succeed(command: &mut Command) -> Result<String, ChoreError> {
    let output = command.output().map_err(|error| ChoreError::new(format!("cannot start `{}`: {error}", command.get_program().to_string_lossy())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(ChoreError::new(format!("`{}` failed: {}", command.get_program().to_string_lossy(), String::from_utf8_lossy(&output.stderr).trim())))
}

/// Removes a file or folder if it is there.
pub(super) fn remove(path: &Path) -> Result<(), ChoreError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ChoreError::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// The middle of several measurements.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert!((median([4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median([9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
    }
}
