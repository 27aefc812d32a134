//! The finding itself.

use crate::Span;
use std::fmt;

/// A rule's or error's code, such as `G002`; never reused for another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For information; never changes an exit code.
    Note,
    /// Works, but likely not what was meant; an error under `--deny warnings`.
    Warning,
    /// Nothing is run while one exists.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Stands in [`Diagnostic::help`] for the `file:line:column` of the first related place; the rendering fills it in.
pub const PLACE_OF_RELATED: &str = "\u{fffc}";

/// A place with a few words on what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be said of it; may be empty.
    pub text: String,
}

/// Another place that explains the finding, such as the first of two definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// The place.
    pub span: Span,
    /// Why it matters, as a whole sentence.
    pub message: String,
}

/// Replaces the text of `span` by `replacement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

/// A mend that has one right answer and can be applied by a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What the edits do, imperative: "rename the key to `cursor`".
    pub title: String,
    /// The edits, not overlapping.
    pub edits: Vec<Edit>,
}

/// One finding: what, where, why, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule or error.
    pub code: Code,
    /// How serious it is.
    pub severity: Severity,
    /// One line, lowercase, no full stop; names the object and its kind.
    pub message: String,
    /// Where; `None` only for findings about the project as a whole.
    pub primary: Option<Label>,
    /// Further places shown in the same excerpt.
    pub secondary: Vec<Label>,
    /// Why it is wrong, or what the rule is.
    pub notes: Vec<String>,
    /// How to mend it, imperative. May hold [`PLACE_OF_RELATED`].
    pub help: Option<String>,
    /// A mend that a tool can apply.
    pub fix: Option<Fix>,
    /// Places elsewhere that explain the finding.
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// A finding at `span`.
    #[must_use]
    pub fn new(code: Code, severity: Severity, message: impl Into<String>, span: Span) -> Self {
        let primary = Some(Label { span, text: String::new() });
        Self { code, severity, message: message.into(), primary, secondary: Vec::new(), notes: Vec::new(), help: None, fix: None, related: Vec::new() }
    }

    /// An error at `span`.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self::new(code, Severity::Error, message, span)
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self::new(code, Severity::Warning, message, span)
    }

    /// A finding about the whole project, with no place.
    #[must_use]
    pub fn global(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self { code, severity, message: message.into(), primary: None, secondary: Vec::new(), notes: Vec::new(), help: None, fix: None, related: Vec::new() }
    }

    /// Says what stands at the primary place.
    #[must_use]
    pub fn with_label(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = &mut self.primary {
            label.text = text.into();
        }
        self
    }

    /// Adds a place that is shown in the same excerpt.
    #[must_use]
    pub fn with_secondary(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Adds a reason.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says how to mend it, if there is something to say.
    #[must_use]
    pub fn with_help_opt(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Adds a mend that a tool can apply.
    #[must_use]
    pub fn with_fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// Adds a place elsewhere.
    #[must_use]
    pub fn with_related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push(Related { span, message: message.into() });
        self
    }
}
