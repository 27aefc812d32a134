//! Tests that cannot run here say so, and are counted.

use std::fmt;
use std::io::Write;

/// Why something that a test needs is not there, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    why: String,
}

impl Skip {
    /// A reason, which also says what would help.
    #[must_use]
    pub fn because(why: impl Into<String>) -> Self {
        Self { why: why.into() }
    }

    /// Counts `test` as one that did not run for this reason.
    pub fn report(&self, test: &str) {
        skipped(test, &self.why);
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

/// Says that a test did not run, and why; `tests/run` counts these and fails on them in CI.
///
/// # Panics
/// When the file that `KARAT_SKIPPED` names cannot be written: a skipped test must not pass for one that ran.
pub fn skipped(test: &str, why: &str) {
    let line = format!("SKIPPED {test}: {why}\n");
    // The harness swallows what a passing test prints; the file is what counts.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("KARAT_SKIPPED") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file that counts skipped tests can be written");
    }
}
