//! The level at which each rule counts in a project.

use crate::Rule;
use karat_diagnostics::Severity;
use karat_spec::model::{LintLevel, LintSettings};

/// The severity of a rule's findings; `None` when the rule is off.
pub(crate) fn severity(rule: &Rule, settings: &LintSettings) -> Option<Severity> {
    match settings.levels.get(rule.code()).copied().unwrap_or(rule.default_level()) {
        LintLevel::Off => None,
        LintLevel::Note => Some(Severity::Note),
        LintLevel::Warn => Some(Severity::Warning),
        LintLevel::Error => Some(Severity::Error),
    }
}
