//! Findings for machines: `lint --format json`.

use super::{in_order, mask::Masked};
use crate::{Diagnostic, PLACE_OF_RELATED, SourceMap, Span, Summary};
use schemars::JsonSchema;
use serde::Serialize;

/// All findings of a command, as `lint --format json` prints them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LintRecord {
    /// The findings in file and source order.
    pub findings: Vec<FindingRecord>,
    /// How many there are.
    pub summary: Summary,
}

/// One finding. Lines and columns count from 1, columns in characters; byte offsets count from 0.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FindingRecord {
    /// The rule or error, such as `G002`.
    pub code: String,
    /// `error`, `warning` or `note`.
    #[schemars(extend("enum" = ["error", "warning", "note"]))]
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// Where; all `null` for a finding about the project as a whole.
    #[serde(flatten)]
    pub place: PlaceRecord,
    /// What stands there.
    pub label: Option<String>,
    /// Why it is wrong.
    pub notes: Vec<String>,
    /// How to mend it.
    pub help: Option<String>,
    /// A mend that a tool can apply.
    pub fix: Option<FixRecord>,
    /// Other places that explain the finding.
    pub related: Vec<RelatedRecord>,
}

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct PlaceRecord {
    /// The path as the command was given it.
    pub file: Option<String>,
    /// First line.
    pub line: Option<usize>,
    /// First column.
    pub column: Option<usize>,
    /// Line of the end.
    pub end_line: Option<usize>,
    /// Column after the last character.
    pub end_column: Option<usize>,
    /// Offset of the first byte.
    pub byte_start: Option<u32>,
    /// Offset after the last byte.
    pub byte_end: Option<u32>,
}

/// A mend that a tool can apply.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FixRecord {
    /// What it does.
    pub title: String,
    /// The edits, not overlapping.
    pub edits: Vec<EditRecord>,
}

/// Replaces the text of a place.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EditRecord {
    /// What is replaced.
    #[serde(flatten)]
    pub place: PlaceRecord,
    /// The new text.
    pub replacement: String,
}

/// Another place that explains a finding.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RelatedRecord {
    /// Where.
    #[serde(flatten)]
    pub place: PlaceRecord,
    /// Why it matters.
    pub message: String,
}

/// The findings as one JSON object with a final line break.
#[must_use]
pub fn json(findings: &[Diagnostic], sources: &SourceMap, secrets: &[String]) -> String {
    let mut out = serde_json::to_string_pretty(&record(findings, sources, secrets)).expect("a record of texts and numbers is always JSON");
    out.push('\n');
    out
}

/// The findings as a value to serialise.
#[must_use]
pub fn record(findings: &[Diagnostic], sources: &SourceMap, secrets: &[String]) -> LintRecord {
    let ordered = in_order(findings, sources);
    LintRecord { summary: Summary::of(ordered.iter().copied()), findings: ordered.into_iter().map(|finding| finding_record(finding, sources, secrets)).collect() }
}

/// The JSON Schema (2020-12) of what [`json`] prints.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(LintRecord).to_value()
}

fn finding_record(finding: &Diagnostic, sources: &SourceMap, secrets: &[String]) -> FindingRecord {
    let masked = |text: &str| Masked::message(text, secrets).text;
    let secondary = finding.secondary.iter().map(|label| RelatedRecord { place: place(sources, label.span), message: masked(&label.text) });
    let related = finding.related.iter().map(|related| RelatedRecord { place: place(sources, related.span), message: masked(&related.message) });
    FindingRecord {
        code: finding.code.to_string(),
        severity: finding.severity.to_string(),
        message: masked(&finding.message),
        place: finding.primary.as_ref().map(|label| place(sources, label.span)).unwrap_or_default(),
        label: finding.primary.as_ref().filter(|label| !label.text.is_empty()).map(|label| masked(&label.text)),
        notes: finding.notes.iter().map(|note| masked(note)).collect(),
        help: help(finding, sources).map(|help| masked(&help)),
        fix: fix_record(finding, sources, secrets),
        related: secondary.chain(related).collect(),
    }
}

pub(super) fn help(finding: &Diagnostic, sources: &SourceMap) -> Option<String> {
    let help = finding.help.as_ref()?;
    Some(match finding.related.first() {
        Some(related) => help.replace(PLACE_OF_RELATED, &sources.place(related.span)),
        None => help.clone(),
    })
}

/// The fix; none if it holds a secret, because with the secret masked it would break the file.
fn fix_record(finding: &Diagnostic, sources: &SourceMap, secrets: &[String]) -> Option<FixRecord> {
    let fix = finding.fix.as_ref()?;
    if fix.edits.iter().any(|edit| Masked::source(&edit.replacement, secrets).is_changed()) {
        return None;
    }
    let edits = fix.edits.iter().map(|edit| EditRecord { place: place(sources, edit.span), replacement: edit.replacement.clone() });
    Some(FixRecord { title: Masked::message(&fix.title, secrets).text, edits: edits.collect() })
}

fn place(sources: &SourceMap, span: Span) -> PlaceRecord {
    let file = sources.file(span.file);
    let (start, end) = (file.line_column(span.start), file.line_column(span.end));
    PlaceRecord {
        file: Some(file.path().to_owned()),
        line: Some(start.line),
        column: Some(start.column),
        end_line: Some(end.line),
        end_column: Some(end.column),
        byte_start: Some(span.start),
        byte_end: Some(span.end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Edit, Fix, Severity, SourceFile};
    use expect_test::expect;

    #[test]
    fn findings_are_one_object_with_places_in_lines_and_bytes() {
        let mut sources = SourceMap::default();
        let file = sources.add(SourceFile::new("a.yaml", "é: ab\nc: d\n"));
        let first = Diagnostic::error(Code("S013"), "`ab` is no key", Span::new(file, 4, 6))
            .with_label("no key")
            .with_note("keys are listed in the schema")
            .with_help(format!("see {PLACE_OF_RELATED}"))
            .with_related(Span::new(file, 7, 8), "it is defined here")
            .with_fix(Fix { title: "write `abc`".to_owned(), edits: vec![Edit { span: Span::new(file, 4, 6), replacement: "abc".to_owned() }] });
        let second = Diagnostic::global(Code("C000"), Severity::Note, "s3cret");

        let shown = json(&[second, first], &sources, &["s3cret".to_owned()]);

        expect![[r#"
            {
              "findings": [
                {
                  "code": "S013",
                  "severity": "error",
                  "message": "`ab` is no key",
                  "file": "a.yaml",
                  "line": 1,
                  "column": 4,
                  "end_line": 1,
                  "end_column": 6,
                  "byte_start": 4,
                  "byte_end": 6,
                  "label": "no key",
                  "notes": [
                    "keys are listed in the schema"
                  ],
                  "help": "see a.yaml:2:1",
                  "fix": {
                    "title": "write `abc`",
                    "edits": [
                      {
                        "file": "a.yaml",
                        "line": 1,
                        "column": 4,
                        "end_line": 1,
                        "end_column": 6,
                        "byte_start": 4,
                        "byte_end": 6,
                        "replacement": "abc"
                      }
                    ]
                  },
                  "related": [
                    {
                      "file": "a.yaml",
                      "line": 2,
                      "column": 1,
                      "end_line": 2,
                      "end_column": 2,
                      "byte_start": 7,
                      "byte_end": 8,
                      "message": "it is defined here"
                    }
                  ]
                },
                {
                  "code": "C000",
                  "severity": "note",
                  "message": "***",
                  "file": null,
                  "line": null,
                  "column": null,
                  "end_line": null,
                  "end_column": null,
                  "byte_start": null,
                  "byte_end": null,
                  "label": null,
                  "notes": [],
                  "help": null,
                  "fix": null,
                  "related": []
                }
              ],
              "summary": {
                "errors": 1,
                "warnings": 0,
                "notes": 1
              }
            }
        "#]]
        .assert_eq(&shown);
    }

    #[test]
    fn a_fix_that_holds_a_secret_is_left_out() {
        let mut sources = SourceMap::default();
        let span = Span::start_of(sources.add(SourceFile::new("a.yaml", "")));
        let fix = Fix { title: "write it".to_owned(), edits: vec![Edit { span, replacement: "url: s3cret".to_owned() }] };

        let shown = record(&[Diagnostic::warning(Code("C000"), "x", span).with_fix(fix)], &sources, &["s3cret".to_owned()]);

        assert_eq!(shown.findings[0].fix, None);
    }

    #[test]
    fn the_schema_names_every_key_of_the_contract() {
        let schema = json_schema();
        let keys = schema.pointer("/$defs/FindingRecord/properties").and_then(serde_json::Value::as_object).expect("a finding has keys");
        for key in ["code", "severity", "message", "file", "line", "column", "end_line", "end_column", "notes", "help", "fix", "related"] {
            assert!(keys.contains_key(key), "{key}");
        }
    }
}
