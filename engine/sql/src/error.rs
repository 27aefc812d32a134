//! DataFusion's errors as errors of Karat: short, with a kind, without values of rows.

use crate::planning;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::error::Error;

/// What `subject` (``SQL of `silver.trades` ``) met.
pub(crate) fn sql_error(subject: &str, error: DataFusionError) -> ConnectorError {
    let cause = Cause::of(&error);
    if let ErrorKind::BadConfiguration | ErrorKind::SchemaMismatch | ErrorKind::Unsupported = cause.kind
        && let Some(problem) = planning::problems(&error).and_then(|problems| problems.into_iter().next())
    {
        let place = problem.place.map(|place| format!(" (line {}, column {})", place.start.line, place.start.column)).unwrap_or_default();
        let wrapped = ConnectorError::new(cause.kind, format!("{subject}: {}{place}", problem.message));
        return match problem.help {
            Some(help) => wrapped.with_help(help),
            None => wrapped,
        };
    }
    let message = match cause.kind {
        ErrorKind::BadConfiguration | ErrorKind::SchemaMismatch | ErrorKind::Unsupported => strip_noise(&cause.text),
        _ => hide_values(&strip_noise(&cause.text)),
    };
    let wrapped = ConnectorError::new(cause.kind, format!("{subject}: {message}"));
    match cause.help.or_else(|| help_for(&message)) {
        Some(help) => wrapped.with_help(help),
        None => wrapped,
    }
}

/// A panic inside an operator.
pub(crate) fn panicked(subject: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Bug, format!("{subject}: the SQL engine stopped in the middle")).with_help("this is a mistake in the program: please report it with the SQL")
}

struct Cause {
    kind: ErrorKind,
    text: String,
    help: Option<String>,
}

impl Cause {
    fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), help: None }
    }

    fn of(error: &DataFusionError) -> Self {
        match error {
            DataFusionError::Context(_, inner) => Self::of(inner),
            DataFusionError::Diagnostic(_, inner) => Self::of(inner),
            DataFusionError::Shared(inner) => Self::of(inner),
            DataFusionError::Collection(errors) => errors.first().map_or_else(|| Self::new(ErrorKind::Bug, "an empty list of errors"), Self::of),
            DataFusionError::External(inner) => Self::of_foreign(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => Self::of_arrow(inner),
            DataFusionError::SchemaError(..) => Self::new(ErrorKind::SchemaMismatch, error.strip_backtrace()),
            DataFusionError::SQL(..) | DataFusionError::Plan(_) | DataFusionError::Configuration(_) => Self::new(ErrorKind::BadConfiguration, error.strip_backtrace()),
            DataFusionError::NotImplemented(_) => Self::new(ErrorKind::Unsupported, error.strip_backtrace()),
            DataFusionError::ResourcesExhausted(text) if text.contains("disk space") => Self::new(ErrorKind::NoSpace, "the disk for temporary files is full"),
            DataFusionError::ResourcesExhausted(text) => Self::new(ErrorKind::OutOfMemory, first_line(text)),
            DataFusionError::IoError(inner) => Self::new(ErrorKind::of_io(inner), inner.to_string()),
            DataFusionError::ParquetError(inner) => Self::new(ErrorKind::Corrupt, inner.to_string()),
            DataFusionError::ObjectStore(inner) => Self::of_foreign(inner.as_ref()),
            DataFusionError::Execution(_) => Self::new(ErrorKind::BadData, error.strip_backtrace()),
            DataFusionError::ExecutionJoin(_) => Self::new(ErrorKind::Bug, "a part of the query stopped in the middle"),
            _ => Self::new(ErrorKind::Bug, error.strip_backtrace()),
        }
    }

    fn of_foreign(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        if let Some(inner) = error.downcast_ref::<DataFusionError>() {
            return Self::of(inner);
        }
        if let Some(inner) = error.downcast_ref::<ArrowError>() {
            return Self::of_arrow(inner);
        }
        if let Some(inner) = error.downcast_ref::<ConnectorError>() {
            return Self { kind: inner.kind(), text: inner.chain(), help: inner.help().map(str::to_owned) };
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>() {
            return Self::new(ErrorKind::of_io(inner), inner.to_string());
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(inner) = cause.downcast_ref::<std::io::Error>() {
                return Self::new(ErrorKind::of_io(inner), error.to_string());
            }
            source = cause.source();
        }
        Self::new(ErrorKind::Corrupt, error.to_string())
    }

    fn of_arrow(error: &ArrowError) -> Self {
        match error {
            ArrowError::ExternalError(inner) => Self::of_foreign(inner.as_ref()),
            ArrowError::IoError(_, inner) => Self::new(ErrorKind::of_io(inner), inner.to_string()),
            ArrowError::DivideByZero => Self::new(ErrorKind::BadData, "division by zero"),
            ArrowError::ArithmeticOverflow(_) => Self::new(ErrorKind::BadData, "the result of a calculation does not fit its type"),
            ArrowError::MemoryError(text) => Self::new(ErrorKind::OutOfMemory, text.as_str()),
            ArrowError::CastError(text) | ArrowError::ParseError(text) | ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => {
                Self::new(ErrorKind::BadData, text.as_str())
            }
            other => Self::new(ErrorKind::Corrupt, other.to_string()),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end_matches([':', ' '])
}

const NOISE: [&str; 9] = [
    "Error during planning: ",
    "Schema error: ",
    "Execution error: ",
    "External error: ",
    "Arrow error: ",
    "Invalid or Unsupported Configuration: ",
    "This feature is not implemented: ",
    "SQL error: ",
    "Internal error: ",
];

/// Takes off what says only which part of DataFusion speaks.
pub(crate) fn strip_noise(text: &str) -> String {
    let mut text = text.trim();
    while let Some(rest) = NOISE.iter().find_map(|noise| text.strip_prefix(noise)) {
        text = rest;
    }
    text.trim_end_matches('.').replace("karat.", "")
}

/// Puts `…` for what stands in quotes and for numbers: DataFusion quotes values of rows in them.
fn hide_values(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quote: Option<char> = None;
    let mut previous = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => {
                out.push(c);
                quote = None;
            }
            // Between backticks stands SQL, which Karat quotes itself.
            Some('`') => out.push(c),
            Some(_) => {}
            None if c == '`' => {
                out.push(c);
                quote = Some(c);
            }
            None if (c == '\'' || c == '"') && !previous.is_alphanumeric() => {
                out.push(c);
                out.push('…');
                quote = Some(c);
            }
            // Numbers that stand alone; `Int64` and `Decimal128(5, 2)` are types.
            None if c.is_ascii_digit() && matches!(previous, ' ' | '-' | ':') && !out.ends_with(", ") => {
                while chars.peek().is_some_and(|next| next.is_ascii_digit() || matches!(next, '.' | 'e' | 'E')) {
                    chars.next();
                }
                out.push('…');
            }
            None => out.push(c),
        }
        previous = c;
    }
    if quote.is_some() {
        out.push('…');
    }
    out
}

fn help_for(message: &str) -> Option<String> {
    let lower = message.to_lowercase();
    if lower.starts_with("cannot cast") || lower.contains("cast error") || lower.contains("parsing") {
        return Some("TRY_CAST gives NULL where a value does not fit, or leave such rows out with WHERE".to_owned());
    }
    if lower == "division by zero" {
        return Some("divide by NULLIF(…, 0) to get NULL".to_owned());
    }
    if lower.starts_with("integer overflow") || lower.starts_with("the total of") || lower.contains("does not fit its type") {
        return Some("compute in a wider type: CAST(… AS DECIMAL(38, 0))".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn values_of_rows_are_hidden_and_types_are_not() {
        let cases = [
            "Cannot cast string 'alice@example.org' to value of Int64 type",
            "Cannot cast to Decimal128(5, 2). Overflowing on 123456",
            "Error parsing timestamp from '2024-99-01': error parsing date",
            "integer overflow in `a * 2`",
            "Invalid argument 17 for \"secret",
        ];
        let hidden: Vec<String> = cases.iter().map(|text| hide_values(text)).collect();
        expect![[r#"
            Cannot cast string '…' to value of Int64 type
            Cannot cast to Decimal128(5, 2). Overflowing on …
            Error parsing timestamp from '…': error parsing date
            integer overflow in `a * 2`
            Invalid argument … for "……"#]]
        .assert_eq(&hidden.join("\n"));
    }
}
