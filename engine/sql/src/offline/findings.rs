//! From mistakes in SQL to findings at the right character.

use crate::planning::{self, Class};
use crate::statement::{Problem, ProblemKind, shorten};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::tokenizer::Span as SqlSpan;
use karat_diagnostics::{Code, Diagnostic, Span};
use karat_spec::SqlText;
use karat_spec::model::TableName;
use std::ops::Range;

const SYNTAX: Code = Code("Q001");
const NOT_ONE_SELECT: Code = Code("Q002");
const UNKNOWN_COLUMN: Code = Code("Q003");
const AMBIGUOUS_COLUMN: Code = Code("Q004");
pub(super) const TYPE_MISMATCH: Code = Code("Q005");
const NOT_GROUPED: Code = Code("Q006");
const UNKNOWN_FUNCTION: Code = Code("Q007");
const OTHER: Code = Code("Q008");
pub(super) const CHECK_COLUMN: Code = Code("Q009");
pub(super) const CHECK_EXPRESSION: Code = Code("Q010");
const UNNAMED_COLUMN: Code = Code("Q011");
pub(super) const DUPLICATE_COLUMN: Code = Code("Q012");
pub(super) const OUTPUT_COLUMN: Code = Code("Q013");
pub(super) const OUTPUT_TYPE: Code = Code("Q014");

/// Whose SQL it is.
pub(super) struct Subject(String);

impl Subject {
    pub(super) fn table(name: &TableName) -> Self {
        Self(format!("`{name}`"))
    }

    pub(super) fn check(name: &TableName, kind: &str) -> Self {
        Self(format!("`{kind}` check of `{name}`"))
    }

    pub(super) fn says(&self, message: &str) -> String {
        format!("{}: {message}", self.0)
    }
}

pub(super) fn of_statement(subject: &Subject, sql: &SqlText, problem: Problem) -> Diagnostic {
    let code = match problem.kind {
        ProblemKind::Syntax => SYNTAX,
        ProblemKind::NotOneSelect => NOT_ONE_SELECT,
        ProblemKind::UnnamedColumn => UNNAMED_COLUMN,
    };
    let span = match (problem.place, problem.kind) {
        (Some(place), _) => span(sql, place),
        (None, ProblemKind::Syntax) => last_token(sql),
        (None, ProblemKind::NotOneSelect | ProblemKind::UnnamedColumn) => first_token(sql),
    };
    let help = match problem.kind {
        ProblemKind::Syntax => {
            problem.help.unwrap_or_else(|| "look at what stands right before this place: a comma, a parenthesis or a keyword is missing or misspelled".to_owned())
        }
        ProblemKind::NotOneSelect | ProblemKind::UnnamedColumn => problem.help.unwrap_or_default(),
    };
    Diagnostic::error(code, subject.says(&problem.message), span).with_help(help)
}

pub(super) fn of_planning(subject: &Subject, sql: &SqlText, error: &DataFusionError) -> Vec<Diagnostic> {
    let Some(problems) = planning::problems(error) else {
        // What is no mistake of the SQL is not reported as one; the run would say it with its cause.
        tracing::warn!(%error, "SQL could not be planned");
        return Vec::new();
    };
    let finding = |problem: planning::PlanningProblem| {
        let code = match problem.class {
            Class::UnknownColumn => UNKNOWN_COLUMN,
            Class::AmbiguousColumn => AMBIGUOUS_COLUMN,
            Class::TypeMismatch => TYPE_MISMATCH,
            Class::NotGrouped => NOT_GROUPED,
            Class::UnknownFunction => UNKNOWN_FUNCTION,
            Class::Other => OTHER,
        };
        let call = || problem.function.as_deref().and_then(|function| only_call(sql, function));
        let place = problem.place.map(|place| span(sql, place)).or_else(call).unwrap_or_else(|| sql.whole());
        let help = problem.help.unwrap_or_else(|| "the SQL is read in the dialect of DataFusion: see its SQL reference".to_owned());
        Diagnostic::error(code, subject.says(&problem.message), place).with_label(problem.label).with_help(help)
    };
    problems.into_iter().map(finding).collect()
}

pub(super) fn hopeless_literal(subject: &Subject, sql: &SqlText, literal: &str, data_type: &DataType) -> Diagnostic {
    let quoted = format!("'{}'", literal.replace('\'', "''"));
    let mut places = sql.as_str().match_indices(&quoted);
    let place = match (places.next(), places.next()) {
        (Some((at, _)), None) => sql.span(at..at + quoted.len()),
        _ => sql.whole(),
    };
    let message = format!("{} can never be a {}", shorten(&quoted), super::shown(data_type));
    Diagnostic::error(TYPE_MISMATCH, subject.says(&message), place)
        .with_label("not of this type")
        .with_help("the other side is of this type: write a value of it, or cast the other side to text")
}

/// The place of the last mention of a word, which is where an output column is named; else the whole text.
pub(super) fn last_word(sql: &SqlText, word: &str) -> Span {
    words(sql.as_str(), word).last().map_or_else(|| sql.whole(), |range| sql.span(range))
}

fn only_call(sql: &SqlText, function: &str) -> Option<Span> {
    let text = sql.as_str();
    let mut calls = words(text, function).filter(|range| text[range.end..].trim_start().starts_with('('));
    let first = calls.next()?;
    calls.next().is_none().then(|| sql.span(first))
}

fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let is_inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter_map(move |at| {
        let end = at + word.len();
        let same = !word.is_empty() && text.get(at..end).is_some_and(|part| part.eq_ignore_ascii_case(word));
        (same && !is_inside(text[..at].chars().next_back()) && !is_inside(text[end..].chars().next())).then_some(at..end)
    })
}

fn span(sql: &SqlText, place: SqlSpan) -> Span {
    let start = sql.offset(place.start.line, place.start.column);
    let end = sql.offset(place.end.line, place.end.column);
    let text = sql.as_str();
    if start >= text.trim_end().len() {
        return last_token(sql);
    }
    sql.span(start..if end > start { end } else { token_end(text, start) })
}

/// Where the word, or the single sign, at `start` ends.
fn token_end(text: &str, start: usize) -> usize {
    let word = text[start..].char_indices().find(|(_, c)| !c.is_alphanumeric() && *c != '_').map_or(text.len(), |(at, _)| start + at);
    if word > start { word } else { text[start..].chars().next().map_or(start, |c| start + c.len_utf8()) }
}

fn first_token(sql: &SqlText) -> Span {
    let text = sql.as_str();
    let start = text.len() - text.trim_start().len();
    if start == text.len() { sql.whole() } else { sql.span(start..token_end(text, start)) }
}

/// The last word or sign: what is missing at the end is missing after it.
fn last_token(sql: &SqlText) -> Span {
    let text = sql.as_str().trim_end();
    let start = text.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    if text.is_empty() {
        return sql.whole();
    }
    let start = if start == text.len() { text.char_indices().next_back().map_or(0, |(at, _)| at) } else { start };
    sql.span(start..text.len())
}
