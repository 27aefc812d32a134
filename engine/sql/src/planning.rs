//! What is wrong with a SELECT once the columns of its inputs are known, in Karat's words.
//!
//! DataFusion says it in many forms (error variants, texts, diagnostics with places); this file is the only one that knows them.

use crate::output::type_name;
use crate::statement::shorten;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Diagnostic as SqlDiagnostic, SchemaError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan};
use karat_diagnostics::{nearest, quoted};
use std::str::FromStr;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanningProblem {
    pub(crate) class: Class,
    /// Lowercase, without the table.
    pub(crate) message: String,
    pub(crate) label: &'static str,
    pub(crate) help: Option<String>,
    /// Where, in lines and columns of the text.
    pub(crate) place: Option<SqlSpan>,
    /// Calls of this function are the place, when there is one only.
    pub(crate) function: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    UnknownColumn,
    AmbiguousColumn,
    TypeMismatch,
    NotGrouped,
    UnknownFunction,
    Other,
}

impl PlanningProblem {
    fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), label: "", help: None, place: None, function: None }
    }

    fn label(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    fn function(mut self, name: &str) -> Self {
        self.function = Some(name.to_owned());
        self
    }
}

/// Every mistake in `error`; `None` when it is not one of planning.
pub(crate) fn problems(error: &DataFusionError) -> Option<Vec<PlanningProblem>> {
    let found: Vec<PlanningProblem> = error.iter().filter_map(problem).collect();
    (!found.is_empty()).then_some(found)
}

fn problem(error: &DataFusionError) -> Option<PlanningProblem> {
    let diagnostic = error.diagnostic();
    let found = match root(error) {
        DataFusionError::SchemaError(schema, _) => of_schema(schema, diagnostic),
        DataFusionError::Plan(text) => of_text(text),
        DataFusionError::NotImplemented(text) => PlanningProblem::new(Class::Other, format!("not supported: {}", shorten_long(text))),
        _ => return None,
    };
    let place = found.place.or_else(|| diagnostic.and_then(place));
    Some(PlanningProblem { place, ..found })
}

fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

fn place(diagnostic: &SqlDiagnostic) -> Option<SqlSpan> {
    let span = diagnostic.span.or_else(|| diagnostic.notes.iter().find_map(|note| note.span))?;
    Some(SqlSpan::new(Location::new(span.start.line, span.start.column), Location::new(span.end.line, span.end.column)))
}

fn of_schema(error: &SchemaError, diagnostic: Option<&SqlDiagnostic>) -> PlanningProblem {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let table = field.relation.as_ref().map(ToString::to_string);
            let mut names: Vec<&str> = valid_fields.iter().filter(|valid| table.is_none() || valid.relation == field.relation).map(|valid| valid.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            if let Some(table) = table
                && names.is_empty()
            {
                let mut tables: Vec<String> = valid_fields.iter().filter_map(|valid| valid.relation.as_ref().map(ToString::to_string)).collect();
                tables.sort_unstable();
                tables.dedup();
                let help = (!tables.is_empty()).then(|| format!("columns here come from {}", quoted(&tables)));
                return PlanningProblem::new(Class::UnknownColumn, format!("`{}.{}` names `{table}`, which is not read here", table, field.name)).label("not read here").help(help);
            }
            PlanningProblem::new(Class::UnknownColumn, format!("there is no column `{}`", field.name)).label("no such column").help(column_help(&field.name, &names))
        }
        SchemaError::AmbiguousReference { field } => {
            let candidates: Vec<&str> = diagnostic.iter().flat_map(|diagnostic| &diagnostic.notes).filter_map(|note| note.message.strip_prefix("possible column ")).collect();
            let help = if candidates.is_empty() { format!("put the table before it: `t.{}`", field.name) } else { format!("write {}", choices(&candidates)) };
            PlanningProblem::new(Class::AmbiguousColumn, format!("`{}` is a column of more than one table", field.name)).label("which one?").help(Some(help))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            PlanningProblem::new(Class::AmbiguousColumn, format!("two columns are named `{name}`")).help(Some("give each its own name with AS".to_owned()))
        }
    }
}

fn column_help(name: &str, names: &[&str]) -> Option<String> {
    if let Some(same) = names.iter().find(|valid| valid.eq_ignore_ascii_case(name)) {
        return Some(format!("write `\"{}\"`: names without double quotes are read as lower case", same.replace('"', "\"\"")));
    }
    if let Some(near) = nearest(name, names.iter().copied()) {
        let quotes = if near.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') { "" } else { "\"" };
        return Some(format!("did you mean `{quotes}{near}{quotes}`?"));
    }
    match names.len() {
        0 => None,
        1..=10 => Some(format!("there are {}", quoted(names.iter().copied()))),
        more => Some(format!("there are {more} columns: {}, …", quoted(names.iter().copied().take(10)))),
    }
}

fn of_text(text: &str) -> PlanningProblem {
    let text = text.trim_end_matches('.');
    if let Some(name) = between(text, "Invalid function '", "'") {
        let near = between(text, "Did you mean '", "'").map(|near| format!("did you mean `{near}`?"));
        return PlanningProblem::new(Class::UnknownFunction, format!("there is no function `{name}`")).label("no such function").help(near).function(name);
    }
    if let Some((_, rest)) = text.split_once(": While expanding wildcard, column \"") {
        let column = unqualified(rest.split_once("\" must").map_or(rest, |(column, _)| column));
        let help = format!("add `{column}` to GROUP BY, or take `min({column})`, `max({column})`, `first_value({column} ORDER BY …)`");
        return PlanningProblem::new(Class::NotGrouped, format!("`{column}` must stand in GROUP BY or inside an aggregate function")).label("not grouped").help(Some(help));
    }
    if let Some((condition, given)) = between(text, "non-boolean predicate '", "' returning ").zip(text.rsplit_once("' returning ").map(|(_, given)| given)) {
        let message = format!("the condition `{}` is {}, not true or false", unqualified(condition), sql_type(given));
        return PlanningProblem::new(Class::TypeMismatch, message).help(Some("compare it with something, such as `amount > 0`".to_owned()));
    }
    if let Some((left, right)) = between(text, "Cannot coerce arithmetic expression ", " to valid types").and_then(split_operator) {
        return PlanningProblem::new(Class::TypeMismatch, format!("{} and {} cannot be combined", sql_type(left.0), sql_type(right)))
            .label("types do not fit")
            .help(Some(format!("cast one side with CAST(… AS …) before `{}`", left.1)));
    }
    if let Some(rest) = text.strip_prefix("Cannot infer common argument type for comparison operation ")
        && let Some((left, right)) = split_operator(rest)
    {
        return PlanningProblem::new(Class::TypeMismatch, format!("{} and {} cannot be compared", sql_type(left.0), sql_type(right)))
            .label("types do not fit")
            .help(Some("cast one side with CAST(… AS …)".to_owned()));
    }
    if let Some(name) = between(text, "call to '", "'").or_else(|| between(text, "No function matches the given name and argument types '", "(")) {
        let given = between(text, "coercion from ", " to the signature")
            .or_else(|| between(text, "argument types '", "'. You might").and_then(|call| call.split_once('(')).map(|(_, types)| types.trim_end_matches(')')));
        let message = match given {
            Some(given) => format!("`{name}` does not take ({})", given.trim_matches(['[', ']']).split(", ").map(sql_type).collect::<Vec<_>>().join(", ")),
            None => format!("`{name}` does not take these arguments"),
        };
        return PlanningProblem::new(Class::TypeMismatch, message)
            .label("arguments do not fit")
            .help(Some("look at their number and types; CAST(… AS …) changes a type".to_owned()))
            .function(name);
    }
    if let Some(name) = between(text, "table '", "' not found") {
        let name = name.strip_prefix("karat.").unwrap_or(name);
        return PlanningProblem::new(Class::Other, format!("there is no table `{}`", name.strip_prefix("unqualified.").unwrap_or(name)))
            .label("no such table")
            .help(Some("tables are named `<layer>.<table>`".to_owned()));
    }
    let lower = text.to_lowercase();
    let class = if ["coerce", "type", "cast", "non-boolean", "incompatible"].iter().any(|word| lower.contains(word)) { Class::TypeMismatch } else { Class::Other };
    let mut message = shorten_long(crate::error::strip_noise(text).as_str());
    if message.chars().nth(1).is_some_and(char::is_lowercase) {
        message = message.chars().take(1).flat_map(char::to_lowercase).chain(message.chars().skip(1)).collect();
    }
    PlanningProblem::new(class, message)
}

/// `silver.trades.id` as `id`; expressions stay as they are.
fn unqualified(column: &str) -> &str {
    let is_name = column.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if is_name { column.rsplit('.').next().unwrap_or(column) } else { column }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    text[start..].find(after).map(|end| &text[start..start + end])
}

/// `Int64 + Utf8View` to its parts.
fn split_operator(text: &str) -> Option<((&str, &str), &str)> {
    let mut words = text.match_indices(' ');
    loop {
        let (at, _) = words.next()?;
        let rest = &text[at + 1..];
        let (operator, right) = rest.split_once(' ')?;
        if ["+", "-", "*", "/", "%", "=", "!=", "<", "<=", ">", ">=", "LIKE", "IS"].contains(&operator) {
            return Some(((&text[..at], operator), right));
        }
    }
}

/// The language's name of a type that DataFusion printed.
fn sql_type(text: &str) -> String {
    let text = text.trim().trim_start_matches("Field { ");
    DataType::from_str(text).map_or_else(|_| text.to_owned(), |data_type| type_name(&data_type))
}

fn choices(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

fn shorten_long(text: &str) -> String {
    let flat = text.lines().next().unwrap_or_default().trim();
    if flat.chars().count() > 240 { shorten(flat) } else { flat.to_owned() }
}
