//! Codes of what can only be seen once the source's schema is known. Numbers from 100 on are this crate's.

use karat_diagnostics::{Code, Diagnostic, Severity, Span};
use karat_spec::ProjectSpec;
use karat_spec::model::LintLevel;

pub(crate) const CURSOR_ABSENT: Code = Code("D101");
pub(crate) const KEY_ABSENT: Code = Code("D102");
pub(crate) const COLUMN_ABSENT: Code = Code("D103");
pub(crate) const CURSOR_NULLABLE: Code = Code("I101");
pub(crate) const CURSOR_NOT_UNIQUE: Code = Code("D104");
pub(crate) const KEY_NOT_UNIQUE: Code = Code("I102");
pub(crate) const LOSSY_TYPE: Code = Code("D105");
pub(crate) const CURSOR_TYPE: Code = Code("D106");
pub(crate) const KEY_MISSING: Code = Code("D107");
pub(crate) const MARK_TAKEN: Code = Code("D108");
pub(crate) const CURSOR_NOT_INDEXED: Code = Code("L101");
pub(crate) const NOT_A_TABLE: Code = Code("C101");
pub(crate) const NOT_LOCKED: Code = Code("C102");
pub(crate) const LOCKED_OTHERWISE: Code = Code("C103");
pub(crate) const LOCK_CONTRADICTS: Code = Code("S110");

/// The level of a code of this crate unless the project sets another.
#[must_use]
pub fn default_level(code: &str) -> LintLevel {
    match code {
        "C102" => LintLevel::Note,
        _ if code.starts_with(['I', 'L', 'C']) => LintLevel::Warn,
        _ => LintLevel::Error,
    }
}

/// Findings at the levels that the project sets.
pub(crate) struct Found<'a> {
    spec: &'a ProjectSpec,
    list: Vec<Diagnostic>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(spec: &'a ProjectSpec) -> Self {
        Self { spec, list: Vec::new() }
    }

    /// Adds one, unless the project turned the rule off.
    pub(crate) fn add(&mut self, code: Code, span: Span, message: String, more: impl FnOnce(Diagnostic) -> Diagnostic) {
        let severity = match self.spec.lint.levels.get(code.0).copied().unwrap_or_else(|| default_level(code.0)) {
            LintLevel::Off => return,
            LintLevel::Note => Severity::Note,
            LintLevel::Warn => Severity::Warning,
            LintLevel::Error => Severity::Error,
        };
        self.list.push(more(Diagnostic::new(code, severity, message, span)));
    }

    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        self.list
    }
}
