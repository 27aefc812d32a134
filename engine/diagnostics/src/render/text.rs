//! Findings for people: what, where with an excerpt, why, how to mend it.

use super::{excerpt::Excerpt, in_order, json::help, mask::Masked};
use crate::{Diagnostic, Label, PLACE_OF_RELATED, Severity, SourceMap, Summary};
use annotate_snippets::{Group, Level, Renderer};

/// Whether a text carries ANSI colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// No escape sequences.
    Never,
    /// ANSI escape sequences.
    Always,
}

/// All findings with excerpts, then a line that counts them; empty when there is none.
#[must_use]
pub fn text(findings: &[Diagnostic], sources: &SourceMap, secrets: &[String], color: Color) -> String {
    let renderer = match color {
        Color::Never => Renderer::plain(),
        Color::Always => Renderer::styled(),
    };
    let ordered = in_order(findings, sources);
    let mut out = String::new();
    for finding in &ordered {
        out.push_str(&one(finding, sources, secrets, &renderer));
        out.push_str("\n\n");
    }
    if !ordered.is_empty() {
        out.push_str(&Summary::of(ordered).to_string());
        out.push('\n');
    }
    out
}

/// What a finding shows, owned: annotate-snippets borrows all of it.
struct Parts {
    message: String,
    main: Option<(String, Excerpt)>,
    elsewhere: Vec<(String, Excerpt)>,
    notes: Vec<String>,
    help: Option<String>,
    related: Vec<(String, String, Excerpt)>,
}

impl Parts {
    fn new(finding: &Diagnostic, sources: &SourceMap, secrets: &[String]) -> Self {
        let masked = |text: &str| Masked::message(text, secrets).text;
        let excerpt = |label: &Label, others: &[Label]| (sources.file(label.span.file).path().to_owned(), Excerpt::new(sources, label, others, secrets));
        let first_file = finding.primary.as_ref().map(|label| label.span.file);
        let is_placed = finding.help.as_ref().is_some_and(|help| help.contains(PLACE_OF_RELATED));
        // A help that names the place says all that the excerpt would.
        let related = finding.related.iter().skip(usize::from(is_placed)).map(|related| {
            let (place, lines) = excerpt(&Label { span: related.span, text: String::new() }, &[]);
            (masked(&related.message), place, lines)
        });
        Self {
            message: masked(&finding.message),
            main: finding.primary.as_ref().map(|label| excerpt(label, &finding.secondary)),
            elsewhere: finding.secondary.iter().filter(|label| Some(label.span.file) != first_file).map(|label| excerpt(label, &[])).collect(),
            notes: finding.notes.iter().map(|note| masked(note)).collect(),
            help: help(finding, sources).map(|help| masked(&help)),
            related: related.collect(),
        }
    }
}

fn one(finding: &Diagnostic, sources: &SourceMap, secrets: &[String], renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let parts = Parts::new(finding, sources, secrets);
    let mut first = Group::with_title(level.primary_title(parts.message.as_str()).id(finding.code.0));
    for (place, excerpt) in parts.main.iter().chain(&parts.elsewhere) {
        first = first.element(excerpt.snippet(place));
    }
    first = first.elements(parts.notes.iter().map(|note| Level::NOTE.message(note.as_str())));
    let mut groups = vec![first];
    for (message, place, excerpt) in &parts.related {
        groups.push(Level::NOTE.secondary_title(message.as_str()).element(excerpt.snippet(place)));
    }
    if let Some(help) = &parts.help {
        groups.push(Group::with_title(Level::HELP.secondary_title(help.as_str())));
    }
    renderer.render(&groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, SourceFile, Span};
    use expect_test::{Expect, expect};

    const CODE: Code = Code("G002");

    fn sources(texts: &[(&str, &str)]) -> (SourceMap, Vec<crate::FileId>) {
        let mut sources = SourceMap::default();
        let files = texts.iter().map(|(path, text)| sources.add(SourceFile::new(*path, *text))).collect();
        (sources, files)
    }

    fn span_of(sources: &SourceMap, file: crate::FileId, words: &str) -> Span {
        let at = sources.file(file).text().find(words).expect("the words stand in the text");
        Span::new(file, at, at + words.len())
    }

    fn check(finding: Diagnostic, sources: &SourceMap, expected: Expect) {
        expected.assert_eq(&text(&[finding], sources, &["s3cret".to_owned()], Color::Never));
    }

    #[test]
    fn a_finding_looks_as_the_contract_says() {
        let yaml = "bronze:\n  trades_binance: {}\nsilver:\n  trades:\n    sql: |\n      SELECT *\n      FROM bronze.trades_binanse\n";
        let (sources, files) = sources(&[("pipelines/market.yaml", yaml)]);
        let finding = Diagnostic::error(CODE, "`silver.trades` reads `bronze.trades_binanse`, which is not defined", span_of(&sources, files[0], "bronze.trades_binanse"))
            .with_label("not defined")
            .with_note("tables are named `<layer>.<table>`")
            .with_help(format!("a table with a similar name is defined at {PLACE_OF_RELATED}: `bronze.trades_binance`"))
            .with_related(span_of(&sources, files[0], "trades_binance"), "`bronze.trades_binance` is defined here");
        check(
            finding,
            &sources,
            expect![[r#"
            error[G002]: `silver.trades` reads `bronze.trades_binanse`, which is not defined
             --> pipelines/market.yaml:7:12
              |
            7 |       FROM bronze.trades_binanse
              |            ^^^^^^^^^^^^^^^^^^^^^ not defined
              |
              = note: tables are named `<layer>.<table>`
            help: a table with a similar name is defined at pipelines/market.yaml:2:3: `bronze.trades_binance`

            1 error
        "#]],
        );
    }

    #[test]
    fn related_places_are_shown_with_their_files() {
        let (sources, files) = sources(&[("a.yaml", "gold:\n  x: 1\n"), ("b.yaml", "gold:\n  x: 2\n  y: 3\n")]);
        let finding = Diagnostic::warning(CODE, "table `gold.x` is defined twice", span_of(&sources, files[1], "x"))
            .with_secondary(span_of(&sources, files[1], "y"), "its neighbour")
            .with_secondary(span_of(&sources, files[0], "gold"), "the other layer")
            .with_related(span_of(&sources, files[0], "x"), "it is first defined here")
            .with_help("rename one of them");
        check(
            finding,
            &sources,
            expect![[r#"
            warning[G002]: table `gold.x` is defined twice
             --> b.yaml:2:3
              |
            2 |   x: 2
              |   ^
            3 |   y: 3
              |   - its neighbour
              |
             ::: a.yaml:1:1
              |
            1 | gold:
              | ^^^^ the other layer
              |
            note: it is first defined here
             --> a.yaml:2:3
              |
            2 |   x: 1
              |   ^
            help: rename one of them

            1 warning
        "#]],
        );
    }

    #[test]
    fn secrets_never_appear() {
        let (sources, files) = sources(&[("a.yaml", "c: { url: \"mysql://me:hunter2@db\", x: s3cret, kind: y }\n")]);
        let finding = Diagnostic::error(CODE, "s3cret is known", span_of(&sources, files[0], "kind"));
        check(
            finding,
            &sources,
            expect![[r#"
            error[G002]: *** is known
             --> a.yaml:1:40
              |
            1 | c: { url: "mysql://me:***@db", x: ***, kind: y }
              |                                        ^^^^

            1 error
        "#]],
        );
    }

    #[test]
    fn marks_follow_wide_characters_tabs_and_line_ends() {
        let (sources, files) = sources(&[("a.yaml", "\u{feff}名前:\t\"値\" # x\r\nb: y\r\n")]);
        check(
            Diagnostic::error(CODE, "wide", span_of(&sources, files[0], "値")),
            &sources,
            expect![[r#"
            error[G002]: wide
             --> a.yaml:1:6
              |
            1 | 名前:    "値" # x
              |           ^^

            1 error
        "#]],
        );
        check(
            Diagnostic::error(CODE, "first", Span::start_of(files[0])),
            &sources,
            expect![[r#"
            error[G002]: first
             --> a.yaml:1:1
              |
            1 | 名前:    "値" # x
              | ^

            1 error
        "#]],
        );
        check(
            Diagnostic::error(CODE, "end of line", span_of(&sources, files[0], "\r\nb")),
            &sources,
            expect![[r#"
            error[G002]: end of line
             --> a.yaml:1:12
              |
            1 | 名前:    "値" # x
              |                  ^

            1 error
        "#]],
        );
        check(
            Diagnostic::error(CODE, "end of file", Span::new(files[0], 999, 1000)),
            &sources,
            expect![[r#"
            error[G002]: end of file
             --> a.yaml:3:1
              |
            3 |
              | ^

            1 error
        "#]],
        );
    }

    #[test]
    fn a_finding_without_a_place_has_no_excerpt() {
        let (sources, _) = sources(&[]);
        check(
            Diagnostic::global(CODE, Severity::Note, "there are no pipelines").with_note("nothing was read"),
            &sources,
            expect![[r#"
            note[G002]: there are no pipelines
             |
             = note: nothing was read

            1 note
        "#]],
        );
    }

    #[test]
    fn nothing_is_printed_for_no_findings() {
        assert_eq!(text(&[], &SourceMap::default(), &[], Color::Never), "");
    }

    proptest::proptest! {
        #[test]
        fn no_text_and_no_span_panics(yaml in "([a-z: é値\u{1f600}\\-]|\n|\r\n|\t|\u{feff}|:// u:p@|\u{0}|\u{1b}){0,40}", start in 0_usize..140, length in 0_usize..90, other in 0_usize..140, secret in "[a-z値]{0,2}") {
            let (sources, files) = sources(&[("a.yaml", &yaml)]);
            let span = Span::new(files[0], start, start + length);
            let finding = Diagnostic::error(CODE, yaml.clone(), span)
                .with_label(yaml.clone())
                .with_secondary(Span::new(files[0], other, start), yaml.clone())
                .with_related(Span::new(files[0], other, other), yaml.clone())
                .with_note(yaml.clone())
                .with_help(format!("{yaml}{PLACE_OF_RELATED}"));
            let secrets = [secret];
            let _ = text(std::slice::from_ref(&finding), &sources, &secrets, Color::Never);
            let _ = text(std::slice::from_ref(&finding), &sources, &secrets, Color::Always);
            let _ = super::super::json(&[finding], &sources, &secrets);
        }
    }
}
