//! Broken specs: each is reported at the right line and column, all faults at once, and none is a panic.

use crate::karat::{Karat, repository};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[test]
fn every_broken_spec_is_reported_where_it_is_broken() {
    let mut wrong = Vec::new();
    for case in cases() {
        let expected = expected(&case);
        let outcome = lint(&case, "json");
        if outcome.code != Some(1) {
            wrong.push(format!("{}: exit code {:?} instead of 1\n{}", name(&case), outcome.code, outcome.stderr));
            continue;
        }
        let found = places(&outcome.json());
        if found != expected {
            wrong.push(format!("{}\n  expected {expected:?}\n  found    {found:?}", name(&case)));
        }
    }
    assert!(wrong.is_empty(), "{} broken specs are not reported as they should be:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn there_are_sixty_broken_specs_and_ten_of_them_have_several_faults() {
    let counts: Vec<usize> = cases().iter().map(|case| expected(case).len()).collect();

    assert!(counts.len() >= 60, "{} broken specs", counts.len());
    assert!(counts.iter().filter(|count| **count >= 3).count() >= 10, "too few specs with three faults and more");
    assert!(counts.iter().all(|count| *count >= 1), "a broken spec without an expected finding proves nothing");
}

#[test]
fn every_finding_says_what_is_wrong_in_one_line_and_most_say_how_to_mend_it() {
    let mut all = 0;
    let mut helpful = 0;
    for case in cases() {
        for finding in lint(&case, "json").json()["findings"].as_array().expect("findings are a list") {
            let message = finding["message"].as_str().expect("a finding has a message");
            assert!(!message.is_empty() && !message.contains('\n') && !message.ends_with('.'), "{}: {message}", name(&case));
            for vague in ["invalid", "unable", "illegal", "unknown error"] {
                assert!(!message.to_lowercase().contains(vague), "{}: `{vague}` says nothing: {message}", name(&case));
            }
            all += 1;
            helpful += usize::from(finding["help"].is_string() || !finding["notes"].as_array().is_none_or(Vec::is_empty));
        }
    }
    assert!(helpful * 10 >= all * 8, "only {helpful} of {all} findings say why or how to mend it");
}

#[test]
fn the_text_form_shows_the_line_for_every_finding() {
    for case in cases() {
        let shown = lint(&case, "text");
        for (place, codes) in by_place(&case) {
            for code in codes {
                assert!(shown.stdout.contains(&format!("[{code}]")), "{}: no {code} in\n{}", name(&case), shown.stdout);
            }
            assert!(shown.stdout.contains(&place), "{}: no `{place}` in\n{}", name(&case), shown.stdout);
        }
    }
}

#[test]
fn a_secret_in_a_broken_spec_is_never_shown() {
    let case = cases().into_iter().find(|case| name(case).ends_with("secret-in-plain-text")).expect("the spec with a secret is there");

    for format in ["text", "json"] {
        assert!(!lint(&case, format).said().contains("hunter2"), "the secret stands in the {format} output");
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = repository().join("tests/broken");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder).expect("tests/broken can be read").map(|entry| entry.expect("tests/broken can be read").path()).collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_name().expect("a case has a name").to_string_lossy().into_owned()
}

fn lint(case: &Path, format: &str) -> crate::karat::Outcome {
    Karat::within(case).args(["lint", "--format", format, "."]).run()
}

/// `expected.txt`: one `CODE [file:]line:column` for each error or warning, in the order of the output.
fn expected(case: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(case.join("expected.txt")).unwrap_or_else(|error| panic!("{}/expected.txt: {error}", name(case)));
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn by_place(case: &Path) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in expected(case) {
        let (code, place) = line.split_once(' ').expect("a code and a place");
        let place = if place.matches(':').count() == 2 { place.to_owned() } else { format!("pipeline.yaml:{place}") };
        places.entry(place).or_default().push(code.to_owned());
    }
    places
}

fn places(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("findings are a list");
    let judged = findings.iter().filter(|finding| finding["severity"] != "note");
    judged
        .map(|finding| {
            let file = finding["file"].as_str().unwrap_or("-").trim_start_matches("./");
            let prefix = if file == "pipeline.yaml" { String::new() } else { format!("{file}:") };
            format!("{} {prefix}{}:{}", finding["code"].as_str().unwrap_or("-"), finding["line"], finding["column"])
        })
        .collect()
}
