//! Every valid example, each line and word of it deleted, doubled, renamed, retyped or cut off: the mutant is either valid, or has a finding
//! near the mutation; nothing panics, and what the check accepts serde accepts.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod catalog;

use catalog::catalog;
use karat_diagnostics::{Diagnostic, SourceMap};
use karat_spec::{Environment, SourceSet, parse};
use std::panic::{AssertUnwindSafe, catch_unwind};

const EXAMPLES: &[&str] = &[include_str!("data/market.yaml"), include_str!("data/full.yaml")];

/// Something that stands in the text and can be mutated: bytes of a key, a value, or an entry.
fn words(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let inside = c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '%' | '*');
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                words.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    words
}

const REPLACEMENTS: &[&str] = &[
    "",
    "null",
    "yes",
    "5",
    "-1",
    "5e4",
    "010",
    "[]",
    "{}",
    "[a, [b]]",
    "{a: b}",
    "\"quoted\"",
    "'",
    "\"",
    "*nope",
    "&x y",
    "!tag",
    "${UNSET}",
    "${",
    "\"{{ nope }}\"",
    "\"{{\"",
    "{{ x }}",
    "|",
    ">-",
    "9223372036854775808",
    "12:30",
    "\u{a0}",
    "日本",
    "# ",
    ": ",
    "- ",
    "\n",
    "\t",
    "\0",
];

fn findings(text: &str) -> (SourceMap, Vec<Diagnostic>) {
    let sources = SourceSet::from_texts("/project", &[("pipeline.yaml", text)]);
    let (_, findings) = parse(&sources, &Environment::Unresolved, &catalog());
    (sources.map, findings)
}

fn check(mutant: &str, what: &str) {
    let result = catch_unwind(AssertUnwindSafe(|| findings(mutant)));
    let Ok((map, findings)) = result else { panic!("{what} panics:\n{mutant}") };
    for finding in findings {
        let span = finding.primary.as_ref().unwrap_or_else(|| panic!("{what}: a finding without a place")).span;
        let text = map.file(span.file).text();
        assert!(span.start <= span.end && span.end as usize <= text.len(), "{what}: {} points outside: {span:?}\n{mutant}", finding.code);
        assert!(text.is_char_boundary(span.start as usize) && text.is_char_boundary(span.end as usize), "{what}: {} cuts a character\n{mutant}", finding.code);
        assert!(!finding.message.is_empty() && !finding.message.contains("cannot be read: "), "{what}: serde refuses what the check accepts: {}\n{mutant}", finding.message);
        for edit in finding.fix.iter().flat_map(|fix| &fix.edits) {
            assert!(edit.span.end as usize <= text.len());
        }
    }
}

/// Lines that mutating `line` may break: itself, the next one, and the keys it stands below.
fn near(lines: &[&str], line: usize) -> Vec<usize> {
    let depth = |at: usize| lines[at].len() - lines[at].trim_start().len();
    let mut places = vec![line, line + 1];
    let mut limit = depth(line);
    for at in (0..line).rev().filter(|at| !lines[*at].trim().is_empty()) {
        if depth(at) < limit {
            limit = depth(at);
            places.push(at);
        }
    }
    places
}

#[test]
fn a_mutated_value_is_reported_where_it_stands() {
    // What other places refer to may break there: vars, anchors, `for_each`, connections' defaults.
    let referred = [
        "vars", "quote", "limits", "columns", "deep", "&", "*", "for_each", "region", "kind", "name:", "{{", "{%", "version", "defaults", "to:", "from:", "cdc:", "chunk:",
        "bronze:", "silver:", "gold:",
    ];
    let mut reported = 0;
    for example in EXAMPLES {
        let lines: Vec<&str> = example.lines().collect();
        for word in words(example) {
            let line = example[..word.start].matches('\n').count();
            let in_defaults = (0..=line).rev().find(|at| !lines[*at].starts_with(' ')).is_some_and(|at| lines[at].starts_with("defaults"));
            if in_defaults || lines[line].trim_start().starts_with('#') || referred.iter().any(|word| lines[line].contains(word)) {
                continue;
            }
            for replacement in ["null", "yes", "[]", "[a, [b]]", "{a: b}", "\"quoted\"", "5e4", "010", "-1", "!tag x", "*nope"] {
                let mutant = format!("{}{replacement}{}", &example[..word.start], &example[word.end..]);
                let (map, findings) = findings(&mutant);
                let Some(first) = findings.first() else { continue };
                reported += 1;
                let places = near(&lines, line);
                let found = findings.iter().filter_map(|finding| finding.primary.as_ref()).map(|label| map.file(label.span.file).line_column(label.span.start).line - 1);
                let found: Vec<usize> = found.collect();
                assert!(found.iter().any(|at| places.contains(at)), "line {}: `{}` -> {replacement}: {} at {found:?}\n{mutant}", line + 1, &example[word.clone()], first.message);
            }
        }
    }
    assert!(reported > 500, "only {reported} findings");
}

#[test]
fn examples_are_valid() {
    for example in EXAMPLES {
        let (map, findings) = findings(example);
        let shown: Vec<String> =
            findings.iter().map(|finding| format!("{} {} [{}]", finding.code, finding.message, finding.primary.as_ref().map_or("", |label| map.snippet(label.span)))).collect();
        assert_eq!(shown, Vec::<String>::new());
    }
}

#[test]
fn no_mutant_panics_or_points_nowhere() {
    let mut count = 0;
    for example in EXAMPLES {
        for (index, word) in words(example).into_iter().enumerate() {
            let (before, rest) = example.split_at(word.start);
            let (inside, after) = rest.split_at(word.len());
            for (at, replacement) in REPLACEMENTS.iter().enumerate() {
                // Each word meets a fifth of the replacements, each replacement a fifth of the words.
                if (index + at) % 5 == 0 {
                    check(&format!("{before}{replacement}{after}"), &format!("`{inside}` replaced by {replacement:?}"));
                    count += 1;
                }
            }
            check(&format!("{before}{inside}x{after}"), &format!("`{inside}` misspelt"));
            check(&format!("{before}{inside}"), &format!("cut after `{inside}`"));
            count += 2;
        }
        let lines: Vec<&str> = example.split_inclusive('\n').collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            check(&without.concat(), &format!("line {} deleted", at + 1));
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            check(&doubled.concat(), &format!("line {} doubled", at + 1));
            let mut moved = lines.clone();
            let indented = format!("  {}", lines[at]);
            moved[at] = &indented;
            check(&moved.concat(), &format!("line {} indented", at + 1));
            count += 3;
        }
    }
    assert!(count >= 5_000, "only {count} mutants");
}
