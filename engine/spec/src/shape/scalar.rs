//! Scalars with a grammar of their own (`x-scalar` in the schema), read by the model's own parsers.

use crate::model::{ByteSize, Compression, Count, Duration, PartitionTransform, Percent};
use crate::yaml::{Plain, resolve};
use serde_json::Value;

/// The grammars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Count,
    Size,
    Duration,
    Percent,
    MaxFailed,
    ChunkRows,
    PartitionTransform,
    Compression,
}

/// Why a text is not of its grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScalarProblem {
    /// Another form; with what would be right, if that can be guessed.
    Form(Option<String>),
    /// A whole number outside of what fits.
    Range,
}

impl ScalarKind {
    /// Reads `x-scalar`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "size" => Self::Size,
            "duration" => Self::Duration,
            "percent" => Self::Percent,
            "max_failed" => Self::MaxFailed,
            "chunk_rows" => Self::ChunkRows,
            "partition_transform" => Self::PartitionTransform,
            "compression" => Self::Compression,
            _ => return None,
        })
    }

    /// The value serde reads.
    pub(super) fn read(self, text: &str, plain: bool) -> Result<Value, ScalarProblem> {
        let number = if plain { resolve(text) } else { Plain::Text };
        match self {
            Self::Count => whole(text, number, 0),
            Self::ChunkRows if text == "auto" => Ok(Value::from("auto")),
            Self::ChunkRows => whole(text, number, 1),
            Self::MaxFailed => match Percent::parse(text) {
                Some(_) => Ok(Value::from(text)),
                None => whole(text, number, 0).map_err(|problem| match problem {
                    ScalarProblem::Form(guess) => ScalarProblem::Form(guess.or_else(|| percent_guess(text))),
                    ScalarProblem::Range => ScalarProblem::Range,
                }),
            },
            Self::Size => text_if(ByteSize::parse(text).is_some(), text, size_guess),
            Self::Duration => text_if(Duration::parse(text).is_some(), text, duration_guess),
            Self::Percent => text_if(Percent::parse(text).is_some(), text, percent_guess),
            Self::PartitionTransform => text_if(PartitionTransform::parse(text).is_some(), text, transform_guess),
            Self::Compression => text_if(Compression::parse(text).is_some(), text, compression_guess),
        }
    }
}

fn text_if(fits: bool, text: &str, guess: fn(&str) -> Option<String>) -> Result<Value, ScalarProblem> {
    if fits { Ok(Value::from(text)) } else { Err(ScalarProblem::Form(guess(text))) }
}

fn whole(text: &str, number: Plain, min: u64) -> Result<Value, ScalarProblem> {
    match number {
        Plain::Integer(value) => u64::try_from(value).ok().filter(|value| (min..=i64::MAX as u64).contains(value)).map(Value::from).ok_or(ScalarProblem::Range),
        _ => match Count::parse(text) {
            // Only quoted digits and leading zeros come here.
            Some(count) => Err(ScalarProblem::Form(Some(format!("write `{count}`, without quotes or leading zeros")))),
            None => Err(ScalarProblem::Form(integer_guess(text))),
        },
    }
}

/// What was meant where a whole number is wanted.
pub(super) fn integer_guess(text: &str) -> Option<String> {
    let Plain::Float(value) = resolve(text) else {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let separated = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | ' ' | '\'' | '_' | '\u{a0}'));
        let trimmed = digits.trim_start_matches('0');
        return (separated && !digits.is_empty()).then(|| format!("write `{}`", if trimmed.is_empty() { "0" } else { trimmed }));
    };
    (value.fract() == 0.0 && value.abs() < 1e15).then(|| format!("write `{value}`"))
}

fn size_guess(text: &str) -> Option<String> {
    let number = leading_number(text)?;
    let unit = text[number.len()..].trim();
    let fixed = match unit.to_lowercase().as_str() {
        "" => return Some(format!("add a unit: `{number}B`, `{number}KiB`, `{number}MiB` or `{number}GiB`")),
        "b" | "byte" | "bytes" => "B",
        "k" | "kb" => "KB",
        "ki" | "kib" => "KiB",
        "m" | "mb" | "mbb" => "MB",
        "mi" | "mib" => "MiB",
        "g" | "gb" => "GB",
        "gi" | "gib" => "GiB",
        "t" | "tb" => "TB",
        "ti" | "tib" => "TiB",
        _ => return Some("units are `B`, `KB`, `MB`, `GB`, `TB` and `KiB`, `MiB`, `GiB`, `TiB`".to_owned()),
    };
    ByteSize::parse(&format!("{number}{fixed}")).map(|_| format!("write `{number}{fixed}`"))
}

fn duration_guess(text: &str) -> Option<String> {
    let number = leading_number(text)?;
    let unit = text[number.len()..].trim();
    let fixed = match unit.to_lowercase().as_str() {
        "" => return Some(format!("add a unit: `{number}s`, `{number}m`, `{number}h` or `{number}d`")),
        "sec" | "secs" | "second" | "seconds" | "s" => "s",
        "min" | "mins" | "minute" | "minutes" | "m" => "m",
        "hr" | "hrs" | "hour" | "hours" | "h" => "h",
        "day" | "days" | "d" => "d",
        "week" | "weeks" | "w" => "w",
        "msec" | "millis" | "milliseconds" => "ms",
        _ => return Some("units are `ms`, `s`, `m`, `h`, `d`, `w`, as in `1h30m`".to_owned()),
    };
    Duration::parse(&format!("{number}{fixed}")).map(|_| format!("write `{number}{fixed}`"))
}

fn percent_guess(text: &str) -> Option<String> {
    let joined: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if Percent::parse(&joined).is_some() {
        return Some(format!("write `{joined}`"));
    }
    if joined.ends_with('%') {
        return Some("percentages go from `0%` to `100%`".to_owned());
    }
    match resolve(text) {
        Plain::Integer(value) if (0..=100).contains(&value) => Some(format!("add the unit: `{value}%`")),
        Plain::Float(value) if (0.0..=1.0).contains(&value) => Some(format!("write `{}%`", value * 100.0)),
        _ => None,
    }
}

fn transform_guess(text: &str) -> Option<String> {
    let (function, rest) = text.split_once('(')?;
    let near = karat_diagnostics::nearest(function.trim(), ["identity", "day", "month", "year"])?;
    Some(format!("write `{near}({rest}`"))
}

fn compression_guess(text: &str) -> Option<String> {
    let folded = text.to_lowercase();
    if Compression::parse(&folded).is_some() {
        return Some(format!("write `{folded}`"));
    }
    if folded.starts_with("zstd") {
        return Some("levels of `zstd` go from 1 to 22".to_owned());
    }
    karat_diagnostics::did_you_mean(&folded, ["zstd(3)", "snappy", "lz4", "gzip", "none"])
}

/// Digits, underscores and one point at the start.
fn leading_number(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '_' || c == '.')).unwrap_or(text.len());
    (end > 0).then(|| &text[..end])
}
