//! The one place that prints: data to stdout, conversation to stderr, secrets nowhere.

use crate::arguments::ColorChoice;
use crate::error::CliError;
use crate::exit::Exit;
use karat_diagnostics::render::Color;
use serde_json::Value;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Shorter values from the environment cannot be told from ordinary text; where they came from is known only before they are printed.
const SHORTEST_SECRET: usize = 4;
const MASK: &str = "***";

/// Prints for one command. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    color: ColorChoice,
    is_quiet: bool,
    secrets: Arc<Mutex<Vec<String>>>,
}

impl Printer {
    pub(crate) fn new(color: ColorChoice, is_quiet: bool) -> Self {
        Self { color, is_quiet, secrets: Arc::default() }
    }

    /// From now on these values are masked wherever they stand.
    pub(crate) fn hide(&self, secrets: &[String]) {
        let mut known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET).cloned());
        // The longest first: a secret may be part of another.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known.dedup();
    }

    /// Whether stdout takes colours.
    pub(crate) fn color(&self) -> Color {
        self.color_for(std::io::stdout().is_terminal())
    }

    /// True when only what asks for something to be done is to be printed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// True when progress bars can be drawn.
    pub(crate) fn has_live_terminal(&self) -> bool {
        !self.is_quiet && std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Prints data. A reader that went away is no error.
    pub(crate) fn data(&self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        match out.write_all(self.masked(text).as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::failed(karat_plugin_api::ErrorKind::of_io(&error), format!("cannot write to stdout: {error}"))),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Prints data that quiet commands keep to themselves.
    pub(crate) fn story(&self, text: &str) -> Result<(), CliError> {
        if self.is_quiet { Ok(()) } else { self.data(text) }
    }

    /// Prints a value as JSON, masked inside its texts so that it stays JSON.
    pub(crate) fn json<T: serde::Serialize>(&self, value: &T) -> Result<(), CliError> {
        self.data(&self.json_text(value)?)
    }

    /// A value as JSON with a final line break, masked inside its texts.
    pub(crate) fn json_text<T: serde::Serialize>(&self, value: &T) -> Result<String, CliError> {
        let value = serde_json::to_value(value).and_then(|mut value| {
            self.mask_texts(&mut value);
            serde_json::to_string_pretty(&value)
        });
        value.map(|text| text + "\n").map_err(|error| CliError::failed(karat_plugin_api::ErrorKind::Bug, format!("the result is no JSON: {error}")))
    }

    /// Says something that is no data.
    pub(crate) fn say(&self, text: &str) {
        if !self.is_quiet {
            self.say_always(text);
        }
    }

    /// Says what went wrong, and returns the exit code for it.
    pub(crate) fn error(&self, error: &CliError) -> Exit {
        let kind = error.kind.map(|kind| format!("[{kind}]")).unwrap_or_default();
        let help = error.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        let label = match self.color_for(std::io::stderr().is_terminal()) {
            Color::Always => format!("\u{1b}[1;31merror{kind}\u{1b}[0m"),
            Color::Never => format!("error{kind}"),
        };
        self.say_always(&format!("{label}: {}{help}", error.message));
        error.exit
    }

    /// Without the secrets.
    pub(crate) fn masked(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().fold(text.to_owned(), |text, secret| if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text })
    }

    fn say_always(&self, text: &str) {
        // Nobody is left to tell if stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", self.masked(text));
    }

    fn mask_texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.masked(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_texts(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.mask_texts(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn color_for(&self, is_terminal: bool) -> Color {
        let is_wanted = match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        if is_wanted { Color::Always } else { Color::Never }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_texts_and_numbers_stay_numbers() {
        let printer = Printer::new(ColorChoice::Never, false);
        printer.hide(&["hunter2".into(), "hunter2-and-more".into(), "5".into(), String::new()]);

        assert_eq!(printer.masked("a hunter2-and-more b hunter2 5"), "a *** b *** 5");
        let shown = printer.json_text(&serde_json::json!({"url": "x://hunter2", "rows": 55})).expect("JSON");
        assert_eq!(shown, "{\n  \"url\": \"x://***\",\n  \"rows\": 55\n}\n");
    }
}
