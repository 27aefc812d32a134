//! Every page of the registry, and its examples.

use crate::fixture::Project;
use crate::registry;
use karat_diagnostics::Severity;

/// A page whose YAML belongs into `karat.yaml` says so in its first line; everything else is a pipeline.
fn file_of(yaml: &str) -> &'static str {
    if yaml.starts_with("# karat.yaml") { "karat.yaml" } else { "pipelines/example.yaml" }
}

#[test]
fn codes_are_sorted_unique_and_in_their_ranges() {
    let codes: Vec<&str> = registry().iter().map(|rule| rule.code()).collect();
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(codes, sorted);
    assert!(codes.iter().all(|code| code.len() == 4 && code.starts_with(['S', 'G', 'I', 'D', 'L', 'P', 'C'])));
    let pages = crate::explanations();
    assert!(pages.windows(2).all(|pair| pair[0].code < pair[1].code), "two pages have one code");
}

#[test]
fn every_page_says_everything() {
    for page in crate::explanations() {
        let texts = [page.title, page.since, page.what, page.why, page.fails, page.passes, page.fix];
        assert!(texts.iter().all(|text| !text.trim().is_empty()), "{}", page.code);
    }
}

#[test]
fn every_rule_reports_what_its_page_says_fails() {
    let mut faults = Vec::new();
    for rule in registry() {
        let project = Project::new(&[(file_of(rule.page.fails), rule.page.fails)], &[rule.code()]);
        let hits: Vec<_> = project.findings.iter().filter(|finding| finding.code.0 == rule.code()).collect();
        if hits.is_empty() {
            faults.push(format!("{} is not reported; found instead:\n{}", rule.code(), project.text()));
        }
        if hits.iter().any(|hit| hit.primary.is_none() || hit.help.is_none() && hit.notes.is_empty()) {
            faults.push(format!("{} has no place, or says neither why nor how", rule.code()));
        }
        let unparsed: Vec<String> =
            project.findings.iter().filter(|finding| finding.code.0.starts_with('S') && finding.code.0 < "S100").map(|finding| finding.message.clone()).collect();
        if !unparsed.is_empty() {
            faults.push(format!("{}: the example does not parse: {}", rule.code(), unparsed.join("; ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_found_in_what_a_page_says_passes() {
    let mut faults = Vec::new();
    let pages = karat_graph::explanations().iter().chain(registry().iter().map(|rule| &rule.page));
    for page in pages {
        let forced = registry().iter().map(|rule| rule.code()).filter(|code| *code == page.code).collect::<Vec<_>>();
        let project = Project::new(&[(file_of(page.passes), page.passes)], &forced);
        // A secret needs a connection to a server, which this build does not carry.
        if project.findings.iter().any(|finding| finding.code.0 == page.code || finding.severity == Severity::Error && finding.code.0 != "P001") {
            faults.push(format!("{}:\n{}", page.code, project.text()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
