//! The page of one rule or error, as `karat explain` prints it.

/// What a code means, why it matters, and how to mend it.
///
/// All texts are Markdown; `fails` and `passes` are YAML of a pipeline file, or of the part of it that the text before it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code, such as `S014`.
    pub code: &'static str,
    /// A few words, lowercase: `unknown key`.
    pub title: &'static str,
    /// The version of Karat that reported it first.
    pub since: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Why this is bad.
    pub why: &'static str,
    /// YAML that gives the finding.
    pub fails: &'static str,
    /// YAML that does not.
    pub passes: &'static str,
    /// How to mend it.
    pub fix: &'static str,
}
