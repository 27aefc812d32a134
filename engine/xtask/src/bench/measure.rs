//! The workbench: a scratch folder, a virtual environment with the peers, and one way to run a command.

use super::BenchOptions;
use crate::{ChoreError, write_text};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const MEASURE: &str = include_str!("measure.py");
const PEERS: &str = include_str!("peers.py");
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// What one command took.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Sample {
    exit: i32,
    pub(super) wall_seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_bytes: u64,
}

/// A scratch folder with everything that a workload needs.
pub(super) struct Bench<'say> {
    pub(super) root: PathBuf,
    pub(super) karat: PathBuf,
    pub(super) options: BenchOptions,
    say: &'say mut dyn FnMut(&str),
}

impl<'say> Bench<'say> {
    /// Makes the scratch folder and the virtual environment, unless they are there.
    pub(super) fn prepare(root: &Path, karat: PathBuf, options: &BenchOptions, say: &'say mut dyn FnMut(&str)) -> Result<Self, ChoreError> {
        let bench = Self { root: root.to_owned(), karat, options: options.clone(), say };
        for (name, text) in [("measure.py", MEASURE), ("peers.py", PEERS), ("requirements.txt", REQUIREMENTS)] {
            write_text(&bench.scratch(name), text)?;
        }
        if !bench.python().exists() {
            (bench.say)("installing the peers");
            succeed(Command::new("python3").args(["-m", "venv"]).arg(bench.scratch("venv")))?;
            succeed(Command::new(bench.python()).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(bench.scratch("requirements.txt")))?;
        }
        Ok(bench)
    }

    pub(super) fn say(&mut self, line: &str) {
        (self.say)(line);
    }

    pub(super) fn scratch(&self, name: impl AsRef<Path>) -> PathBuf {
        self.options.scratch.join(name)
    }

    pub(super) fn python(&self) -> PathBuf {
        self.scratch("venv/bin/python")
    }

    /// Runs one command from a cold start and says what it took.
    pub(super) fn measure(&self, command: &[OsString]) -> Result<Sample, ChoreError> {
        let log = self.scratch("last.log");
        let output = Command::new(self.python())
            .arg(self.scratch("measure.py"))
            .arg(&log)
            .args(command)
            .output()
            .map_err(|error| ChoreError::new(format!("cannot start the measuring script: {error}")))?;
        let sample: Sample = serde_json::from_slice(&output.stdout).map_err(|error| ChoreError::new(format!("the measuring script printed no sample: {error}")))?;
        if sample.exit == 0 {
            return Ok(sample);
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let tail: Vec<&str> = said.lines().rev().take(20).collect();
        let command: Vec<_> = command.iter().map(|part| part.to_string_lossy()).collect();
        Err(ChoreError::new(format!("`{}` ended with {}:\n{}", command.join(" "), sample.exit, tail.into_iter().rev().collect::<Vec<_>>().join("\n"))))
    }

    /// Runs the peers' script and returns its output.
    pub(super) fn peers(&self, arguments: &[&std::ffi::OsStr]) -> Result<String, ChoreError> {
        succeed(Command::new(self.python()).arg(self.scratch("peers.py")).args(arguments))
    }
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
pub(super) fn median(mut values: Vec<f64>) -> f64 {
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
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
    }
}
