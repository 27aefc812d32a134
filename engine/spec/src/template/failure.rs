//! What can go wrong in a template, as findings-to-be: the range is in bytes of the value.

use super::render::Scope;
use super::scan::{ScanProblem, ScanProblemKind, Segment};
use crate::codes;
use karat_diagnostics::{Code, did_you_mean};
use minijinja::{Error, ErrorKind, Value};
use std::ops::Range;

/// A finding about a value, before the value's place in the file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) note: Option<String>,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(super) fn new(code: Code, range: &Range<usize>, message: impl Into<String>) -> Self {
        Self { code, range: range.clone(), message: message.into(), note: None, help: None }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn with_help_opt(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// A problem that was seen before any evaluation.
pub(super) fn scan_problem(problem: &ScanProblem, text: &str) -> Problem {
    let shown = &text[problem.range.clone()];
    match problem.kind {
        ScanProblemKind::VariableOpen => Problem::new(codes::VARIABLE_SYNTAX, &problem.range, "`${` is never closed").with_help("write `${NAME}`, or `$${` for a literal `${`"),
        ScanProblemKind::VariableName => Problem::new(codes::VARIABLE_SYNTAX, &problem.range, format!("`{shown}` does not name an environment variable"))
            .with_note("a name matches `[A-Za-z_][A-Za-z0-9_]*`; a default follows after `:-`")
            .with_help("write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`"),
        ScanProblemKind::VariableNested => Problem::new(codes::VARIABLE_SYNTAX, &problem.range, "a default cannot hold another `${…}`").with_help("write the default out"),
        ScanProblemKind::TagOpen => {
            Problem::new(codes::TEMPLATE_SYNTAX, &problem.range, format!("`{shown}` is never closed")).with_help("add the missing end, or write `{{ '{{' }}` for literal braces")
        }
        ScanProblemKind::VariableInTag => {
            Problem::new(codes::VARIABLE_SYNTAX, &problem.range, "`${…}` cannot stand inside a template tag").with_help("put it beside the tag, or use a var")
        }
    }
}

/// Turns the engine's error about `text` into problems.
pub(super) fn template_problems(error: &Error, text: &str, segments: &[Segment], undeclared: &[String], scope: &Scope) -> Vec<Problem> {
    let range = error.range().filter(|range| range.end <= text.len() && range.start < range.end).unwrap_or(0..text.len());
    // The engine counts an unexpected character as one byte.
    let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
    let detail = error.detail().unwrap_or("").to_owned();
    match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => vec![Problem::new(codes::TEMPLATE_SYNTAX, &range, format!("the template does not parse: {detail}"))],
        ErrorKind::UndefinedError => undefined_names(text, segments, undeclared, scope, &range),
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => {
            vec![Problem::new(codes::TEMPLATE_NAME, &range, format!("the template uses what does not exist: {detail}"))]
        }
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
            vec![Problem::new(codes::TEMPLATE_FAILED, &range, "a template cannot read other files").with_help("write the text here, or use `sql_file`")]
        }
        ErrorKind::OutOfFuel => {
            vec![Problem::new(codes::TEMPLATE_FAILED, &range, "the template takes too many steps").with_note(format!("at most {} steps are done", super::sandbox::FUEL))]
        }
        ErrorKind::WriteFailure => {
            vec![Problem::new(codes::TEMPLATE_FAILED, &range, "the template makes too much text").with_note(format!("at most {} bytes are made", super::sandbox::MAX_OUTPUT))]
        }
        _ => vec![Problem::new(codes::TEMPLATE_FAILED, &range, format!("the template fails: {}", if detail.is_empty() { error.kind().to_string() } else { detail }))],
    }
}

/// One problem per name that has no value; guarded names (`is defined`, `default`) are left to the engine's own verdict.
fn undefined_names(text: &str, segments: &[Segment], undeclared: &[String], scope: &Scope, range: &Range<usize>) -> Vec<Problem> {
    let guarded = text.contains("defined") || text.contains("default");
    let mut names: Vec<&String> = undeclared.iter().collect();
    names.sort();
    let mut problems: Vec<Problem> = Vec::new();
    for name in names {
        let Some((known, missing, choices)) = undefined_part(name, scope) else { continue };
        let full = if known.is_empty() { missing.clone() } else { format!("{known}.{missing}") };
        let Some(place) = occurrence(text, segments, &full) else { continue };
        let overlaps = place.start < range.end && range.start < place.end;
        if guarded && !overlaps || problems.iter().any(|problem| problem.range == place) {
            continue;
        }
        let help = did_you_mean(&missing, choices.iter().map(String::as_str));
        let mut problem = Problem::new(codes::TEMPLATE_NAME, &place, format!("the template reads `{full}`, which is not defined")).with_help_opt(help);
        if !choices.is_empty() && choices.len() <= 10 {
            let listed: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
            let owner = if known.is_empty() { "defined names".to_owned() } else { format!("`{known}` has") };
            problem = problem.with_note(format!("{owner}: {}", listed.join(", ")));
        }
        problems.push(problem);
    }
    if problems.is_empty() {
        // The engine's range begins at the last part of `a.b[c]`.
        let before = &text[..range.start];
        let start = before.trim_end_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.')).len();
        let range = &(start..range.end);
        problems.push(Problem::new(codes::TEMPLATE_NAME, range, format!("the template reads `{}`, which is not defined", &text[range.clone()])));
    }
    problems.sort_by_key(|problem| problem.range.start);
    problems
}

/// Splits `a.b.c` where it stops having a value: what is known, the missing part, the names there are instead.
fn undefined_part(name: &str, scope: &Scope) -> Option<(String, String, Vec<String>)> {
    let mut value = scope.value().clone();
    let mut known: Vec<&str> = Vec::new();
    for part in name.split('.') {
        let next = value.get_attr(part).unwrap_or(Value::UNDEFINED);
        if next.is_undefined() {
            let is_map = value.kind() == minijinja::value::ValueKind::Map;
            let choices = value.try_iter().ok().filter(|_| is_map).map(|keys| keys.filter_map(|key| key.as_str().map(str::to_owned)).collect()).unwrap_or_default();
            let is_function = known.is_empty() && matches!(part, "range" | "dict" | "loop" | "namespace" | "debug" | "caller");
            return (!is_function).then(|| (known.join("."), part.to_owned(), choices));
        }
        known.push(part);
        value = next;
    }
    None
}

/// Where `name` stands as a whole word inside a tag.
fn occurrence(text: &str, segments: &[Segment], name: &str) -> Option<Range<usize>> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    segments.iter().find_map(|segment| {
        let (Segment::Expression { inner, .. } | Segment::Statement { inner, .. }) = segment else { return None };
        text[inner.clone()].match_indices(name).find_map(|(at, _)| {
            let start = inner.start + at;
            let end = start + name.len();
            let free = !text[..start].ends_with(word) && !text[end..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
            free.then_some(start..end)
        })
    })
}
