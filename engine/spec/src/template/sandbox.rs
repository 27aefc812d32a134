//! The template engine, bounded: no files, no macros, no state across loop turns, no filter that makes much out of little.
//!
//! Fuel bounds steps, the writer bounds what is written, and the counter bounds what `set` blocks capture. What is left is text that one
//! expression makes out of another; so operators that grow text are counted before a template is run.

use super::scan::Segment;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps of one template.
pub(super) const FUEL: u64 = 100_000;
/// Bytes that one template may make.
pub(super) const MAX_OUTPUT: usize = 1 << 20;
/// `~`, `+` and `*` in statements, whose results live on: each can double a text.
const MAX_GROWTH: usize = 8;

/// Counts bytes that expressions of one rendering wrote, captured ones too.
pub(super) type Written = Arc<AtomicUsize>;

/// The engine, and the counter to reset before each rendering.
pub(super) fn engine() -> (Environment<'static>, Written) {
    let written = Written::default();
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(64);
    engine.set_debug(true);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        engine.set_syntax(syntax);
    }
    for name in ["namespace", "debug"] {
        engine.remove_global(name);
    }
    for name in ["format", "indent", "pprint"] {
        engine.remove_filter(name);
    }
    engine.add_filter("replace", replace);
    engine.add_filter("join", join);
    let counter = Arc::clone(&written);
    engine.set_formatter(move |out, state, value| {
        if value.is_undefined() && !matches!(state.undefined_behavior(), UndefinedBehavior::Lenient) {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        let text = value.as_str().map_or_else(|| value.to_string().into(), std::borrow::Cow::Borrowed);
        if counter.fetch_add(text.len(), Ordering::Relaxed) + text.len() > MAX_OUTPUT {
            return Err(Error::new(ErrorKind::WriteFailure, "too much text"));
        }
        out.write_str(&text).map_err(Error::from)
    });
    (engine, written)
}

/// The statement with one growing operator too many.
pub(super) fn grows_too_much(text: &str, segments: &[Segment]) -> Option<std::ops::Range<usize>> {
    let mut operators = 0;
    segments.iter().find_map(|segment| {
        let Segment::Statement { range, inner } = segment else { return None };
        operators += text[inner.clone()].matches(['~', '*', '+']).count();
        (operators > MAX_GROWTH).then(|| range.clone())
    })
}

fn replace(text: String, from: String, to: String) -> Result<String, Error> {
    let hits = if from.is_empty() { text.chars().count() + 1 } else { text.matches(&from).count() };
    if hits.saturating_mul(to.len()).saturating_add(text.len()) > MAX_OUTPUT {
        return Err(Error::new(ErrorKind::WriteFailure, "too much text"));
    }
    Ok(text.replace(&from, &to))
}

fn join(values: &Value, separator: Option<String>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    for (at, value) in values.try_iter()?.enumerate() {
        if at > 0 {
            joined.push_str(&separator);
        }
        match value.as_str() {
            Some(text) => joined.push_str(text),
            None => joined.push_str(&value.to_string()),
        }
        if joined.len() > MAX_OUTPUT {
            return Err(Error::new(ErrorKind::WriteFailure, "too much text"));
        }
    }
    Ok(joined)
}
