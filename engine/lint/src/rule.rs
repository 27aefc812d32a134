//! What a rule is.

use crate::view::{PipelineView, ProjectView, TableView};
use karat_diagnostics::{Code, Diagnostic, Explanation, Severity, Span};
use karat_spec::model::LintLevel;

/// One rule: its page, its default level and its check.
#[derive(Debug)]
pub struct Rule {
    /// What kind of harm it prevents; gives the default level.
    pub group: Group,
    /// Its page, with the code.
    pub page: Explanation,
    pub(crate) check: Check,
}

/// What kind of harm a rule prevents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// It cannot work as written.
    Correctness,
    /// Something could be lost, destroyed or leaked.
    DataSafety,
    /// A plugin or this build does not do it.
    Capability,
    /// Works, but a key has no effect, or the result is not what was likely meant.
    Incremental,
    /// Works, but slowly or at a price.
    Cost,
    /// Works, but reads badly.
    Style,
    /// A guess that may be wrong: for information.
    Hint,
    /// For those who want more: off unless a project sets a level.
    Pedantic,
}

/// A check, by what it may see. It returns what is wrong; the runner adds code and severity.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Check {
    /// One table at a time.
    Table(fn(&TableView<'_>) -> Vec<Diagnostic>),
    /// One pipeline at a time.
    Pipeline(fn(&PipelineView<'_>) -> Vec<Diagnostic>),
    /// The whole project with its graph.
    Project(fn(&ProjectView<'_>) -> Vec<Diagnostic>),
}

impl Rule {
    /// The code, such as `D001`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.page.code
    }

    /// The level unless the project sets another.
    #[must_use]
    pub fn default_level(&self) -> LintLevel {
        match self.group {
            Group::Correctness | Group::DataSafety | Group::Capability => LintLevel::Error,
            Group::Incremental | Group::Cost | Group::Style => LintLevel::Warn,
            Group::Hint => LintLevel::Note,
            Group::Pedantic => LintLevel::Off,
        }
    }
}

impl Group {
    /// The name as printed on a rule's page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Correctness => "correctness",
            Self::DataSafety => "data-safety",
            Self::Capability => "capability",
            Self::Incremental => "incremental",
            Self::Cost => "cost",
            Self::Style => "style",
            Self::Hint => "hint",
            Self::Pedantic => "pedantic",
        }
    }
}

/// A finding of the rule that is running: the runner puts in the rule's code and level.
pub(crate) fn at(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code(""), Severity::Error, message, span)
}
