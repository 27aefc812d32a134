//! All codes and their pages.

use crate::Rule;
use crate::rules::RULES;
use karat_diagnostics::Explanation;

/// All rules, sorted by code.
#[must_use]
pub fn registry() -> &'static [&'static Rule] {
    &RULES
}

/// The pages of all codes that lint can report, without those of the SQL engine: the model's, the graph's and the rules', sorted by code.
#[must_use]
pub fn explanations() -> Vec<&'static Explanation> {
    let mut pages: Vec<&'static Explanation> = karat_spec::explanations().iter().chain(karat_graph::explanations()).chain(RULES.iter().map(|rule| &rule.page)).collect();
    pages.sort_by_key(|page| page.code);
    pages
}

/// The page of one code; case does not matter.
#[must_use]
pub fn explain(code: &str) -> Option<&'static Explanation> {
    explanations().into_iter().find(|page| page.code.eq_ignore_ascii_case(code))
}
