//! The pages of all codes.

use crate::project::CANNOT_READ_PAGE;
use crate::reference::rules;
use karat_diagnostics::Explanation;
use karat_spec::model::LintLevel;

/// The pages of all codes, sorted by code, each code once.
pub(crate) fn all_pages() -> Vec<&'static Explanation> {
    let mut pages: Vec<&'static Explanation> = vec![&CANNOT_READ_PAGE];
    pages.extend(karat_spec::explanations());
    pages.extend(karat_lint::explanations());
    pages.extend(karat_sql::explanations());
    pages.extend(karat_plan::explanations());
    pages.sort_by_key(|page| page.code);
    pages.dedup_by_key(|page| page.code);
    pages
}

/// One page, as `karat explain` prints it.
pub(crate) fn page(page: &Explanation) -> String {
    rules::page(page, level(page.code))
}

/// The default level of a code: a rule says its own, all others follow from their letter.
pub(super) fn level(code: &str) -> &'static str {
    let rule = karat_lint::registry().iter().find(|rule| rule.code() == code);
    match rule.map(|rule| rule.default_level()) {
        Some(LintLevel::Off) => "off",
        Some(LintLevel::Note) => "note",
        Some(LintLevel::Warn) => "warn",
        Some(LintLevel::Error) => "error",
        None => match karat_plan::default_level(code) {
            LintLevel::Note => "note",
            LintLevel::Warn => "warn",
            LintLevel::Off | LintLevel::Error => "error",
        },
    }
}
