//! The page of one code.

/// What `karat explain CODE` prints, and what the generated reference is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code, such as `G002`.
    pub code: &'static str,
    /// What is wrong, in a few words: "unknown table in SQL".
    pub title: &'static str,
    /// The version that first reported it.
    pub since: &'static str,
    /// What is reported.
    pub what: &'static str,
    /// Why it is bad.
    pub why: &'static str,
    /// YAML that is reported.
    pub fails: &'static str,
    /// The same YAML, mended.
    pub passes: &'static str,
    /// How to mend it, imperative.
    pub fix: &'static str,
}
