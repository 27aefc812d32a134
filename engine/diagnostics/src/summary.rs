//! How many findings there are of each severity.

use crate::{Diagnostic, Severity};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// Counts of findings by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Findings that stop a run.
    pub errors: usize,
    /// Findings that work, but are likely not meant.
    pub warnings: usize,
    /// Findings for information.
    pub notes: usize,
}

impl Summary {
    /// Counts `findings`.
    #[must_use]
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Diagnostic>) -> Self {
        let mut summary = Self::default();
        for finding in findings {
            match finding.severity {
                Severity::Error => summary.errors += 1,
                Severity::Warning => summary.warnings += 1,
                Severity::Note => summary.notes += 1,
            }
        }
        summary
    }
}

impl fmt::Display for Summary {
    /// `2 errors, 1 warning`; `no findings` when all are zero.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")];
        let mut separator = "";
        for (count, noun) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(out, "{separator}{count} {noun}{}", if count == 1 { "" } else { "s" })?;
            separator = ", ";
        }
        if separator.is_empty() { out.write_str("no findings") } else { Ok(()) }
    }
}
