//! The pages of rules.

use crate::project::CANNOT_READ_PAGE;
use karat_diagnostics::Explanation;
use karat_lint::Rule;
use std::fmt::Write;

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

/// One page as Markdown, which reads well as it is.
pub(crate) fn page(page: &Explanation) -> String {
    let mut out = format!("# {}: {}\n\n", page.code, page.title);
    let _infallible = writeln!(out, "{} Since {}.\n", level(page.code), page.since);
    section(&mut out, "What it does", page.what);
    section(&mut out, "Why is this bad?", page.why);
    example(&mut out, "Fails", page.fails);
    example(&mut out, "Passes", page.passes);
    section(&mut out, "How to fix", page.fix);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// What a code's letter and group say of its level.
fn level(code: &str) -> String {
    let rule: Option<&&Rule> = karat_lint::registry().iter().find(|rule| rule.code() == code);
    if let Some(rule) = rule {
        let level = match rule.default_level() {
            karat_spec::model::LintLevel::Off => "off by default",
            karat_spec::model::LintLevel::Note => "a note by default",
            karat_spec::model::LintLevel::Warn => "a warning by default",
            karat_spec::model::LintLevel::Error => "an error by default",
        };
        return format!("Group `{}`, {level}.", rule.group.as_str());
    }
    match code.chars().next() {
        Some('I' | 'L' | 'C') => "A warning.".to_owned(),
        _ => "An error.".to_owned(),
    }
}

fn section(out: &mut String, title: &str, text: &str) {
    if !text.trim().is_empty() {
        let _infallible = writeln!(out, "## {title}\n\n{}\n", text.trim());
    }
}

fn example(out: &mut String, title: &str, yaml: &str) {
    if !yaml.trim().is_empty() {
        let _infallible = writeln!(out, "## {title}\n\n```yaml\n{}\n```\n", yaml.trim_end());
    }
}
