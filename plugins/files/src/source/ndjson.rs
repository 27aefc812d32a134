//! NDJSON files with declared types.

use super::json::{JsonFault, JsonValue, read_object};
use super::listing::Found;
use super::opened::Opened;
use super::reader::{Halt, Rows};
use super::record::{Fault, read_line};
use crate::config::FilesConfig;
use karat_plugin_api::cells::{Batcher, Cells, Misfit, Mismatch, parse_float};
use karat_plugin_api::{ConnectorError, ErrorKind, ExtraColumns, ReadRequest};
use std::borrow::Cow;
use std::collections::HashMap;

/// The keys of a file's first object.
pub(crate) fn names(file: &Found, config: &FilesConfig) -> Result<Vec<String>, ConnectorError> {
    let mut opened = Opened::new(file, config.compression)?;
    let mut line = Vec::new();
    let mut names = Vec::new();
    if next_line(file, &mut opened, &mut line, &mut 0)? {
        read_object::<Wrong<'_>>(&line, |key, _| {
            names.push(String::from_utf8_lossy(&key).into_owned());
            Ok(())
        })
        .map_err(|wrong| explain(file, 1, wrong, None))?;
    }
    Ok(names)
}

/// Reads one file into `rows`, and gives its hash.
pub(crate) fn read(file: &Found, config: &FilesConfig, request: &ReadRequest, rows: &mut Rows<'_>) -> Result<String, Halt> {
    let places: HashMap<&[u8], usize> = request.columns.iter().enumerate().map(|(at, choice)| (choice.name.as_bytes(), at)).collect();
    let mut opened = Opened::new(file, config.compression)?;
    let mut line = Vec::new();
    let mut number = 0;
    let mut filled = vec![false; request.columns.len()];
    while next_line(file, &mut opened, &mut line, &mut number)? {
        filled.fill(false);
        let batcher = &mut rows.batcher;
        read_object::<Wrong<'_>>(&line, |key, value| {
            let Some(at) = places.get(&*key).copied() else {
                return if request.extra_columns == ExtraColumns::Ignore { Ok(()) } else { Err(Wrong::Extra(key)) };
            };
            if std::mem::replace(&mut filled[at], true) {
                return Err(Wrong::Twice(key));
            }
            put(batcher, at, value).map_err(Wrong::Misfit)
        })
        .and_then(|()| fill_missing(batcher, &filled).map_err(Wrong::Misfit))
        .map_err(|wrong| explain(file, number, wrong, Some(batcher)))?;
        batcher.end_row(line.len());
        rows.flush_when_full()?;
    }
    Ok(opened.finish()?)
}

/// What can be wrong with a line.
enum Wrong<'a> {
    Json(JsonFault),
    Extra(Cow<'a, [u8]>),
    Twice(Cow<'a, [u8]>),
    Misfit(Misfit),
}

impl From<JsonFault> for Wrong<'_> {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

fn explain(file: &Found, line: u64, wrong: Wrong<'_>, batcher: Option<&Batcher>) -> ConnectorError {
    let place = format!("file `{}`, line {line}", file.path);
    match wrong {
        Wrong::Json(fault) => {
            ConnectorError::new(ErrorKind::BadData, format!("{place}: byte {} should be {}", fault.offset + 1, fault.expected)).with_help("each line is one JSON object")
        }
        Wrong::Extra(key) => ConnectorError::new(ErrorKind::SchemaMismatch, format!("{place}: key `{}` is not declared in `types`", String::from_utf8_lossy(&key)))
            .with_help("declare it in `types`, or name the columns you want in `select`"),
        Wrong::Twice(key) => ConnectorError::new(ErrorKind::BadData, format!("{place}: key `{}` stands there twice", String::from_utf8_lossy(&key))).with_help("correct the line"),
        Wrong::Misfit(misfit) => match batcher {
            Some(batcher) => batcher.explain(&misfit, &format!("line {line}")),
            None => ConnectorError::new(ErrorKind::Bug, format!("{place}: a value without a column")),
        },
    }
}

/// The next line that is not blank; it is UTF-8.
fn next_line(file: &Found, opened: &mut Opened<'_>, line: &mut Vec<u8>, number: &mut u64) -> Result<bool, ConnectorError> {
    loop {
        *number += 1;
        if !read_line(&mut *opened.text, line, *number).map_err(|fault| fault.of(file))? {
            return Ok(false);
        }
        if *number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if *number == 1 && (line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff")) {
            return Err(Fault::Utf16.of(file));
        }
        if let Err(error) = std::str::from_utf8(line) {
            return Err(Fault::NotUtf8 { line: *number, offset: error.valid_up_to() }.of(file));
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            return Ok(true);
        }
    }
}

fn fill_missing(batcher: &mut Batcher, filled: &[bool]) -> Result<(), Misfit> {
    for (at, _) in filled.iter().enumerate().filter(|(_, filled)| !**filled) {
        batcher.column(at).null()?;
    }
    Ok(())
}

fn put(batcher: &mut Batcher, at: usize, value: JsonValue<'_>) -> Result<(), Misfit> {
    let column = batcher.column(at);
    match value {
        JsonValue::Null => column.null(),
        JsonValue::Boolean(value) => column.put(|cells| cells.boolean(value)),
        JsonValue::Text(text) => column.put(|cells| cells.text(&text)),
        JsonValue::Number(text) => column.put(|cells| number(cells, text)),
        JsonValue::Nested(text) => column.put(|cells| if cells.is_text() { cells.text(text) } else { Err(Mismatch::Nested) }),
    }
}

/// A number by its text, which holds more digits than any binary form.
fn number(cells: &mut Cells, text: &[u8]) -> Result<(), Mismatch> {
    if let Some(value) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()) {
        return cells.integer(value);
    }
    match cells.text(text) {
        Err(Mismatch::Form(_)) => cells.real(parse_float(text)?),
        other => other,
    }
}
