//! CSV files with declared types.

use super::delimited::Records;
use super::listing::Found;
use super::opened::Opened;
use super::reader::{Halt, Rows};
use super::record::Fault;
use crate::config::FilesConfig;
use karat_plugin_api::cells::{Batcher, Mismatch};
use karat_plugin_api::{ConnectorError, ErrorKind, ExtraColumns, ReadRequest};
use std::collections::BTreeSet;

/// The names in a file's header; empty without a header.
pub(crate) fn names(file: &Found, config: &FilesConfig) -> Result<Vec<String>, ConnectorError> {
    if !config.csv.header {
        return Ok(Vec::new());
    }
    let mut opened = Opened::new(file, config.compression)?;
    let mut records = Records::new(&mut *opened.text, config.csv.delimiter_byte()?, config.csv.quote_byte()?);
    header(file, &mut records)
}

/// Reads one file into `rows`, and gives its hash.
pub(crate) fn read(file: &Found, config: &FilesConfig, request: &ReadRequest, rows: &mut Rows<'_>) -> Result<String, Halt> {
    let mut opened = Opened::new(file, config.compression)?;
    let mut records = Records::new(&mut *opened.text, config.csv.delimiter_byte()?, config.csv.quote_byte()?);
    let (width, places) = if config.csv.header {
        let names = header(file, &mut records)?;
        (names.len(), places(file, &names, request)?)
    } else {
        if request.extra_columns == ExtraColumns::Ignore {
            return Err(Halt::Failed(
                ConnectorError::new(ErrorKind::Unsupported, "columns cannot be selected in CSV files without a header")
                    .with_help("declare all columns in `types`, and select in Silver"),
            ));
        }
        (request.columns.len(), (0..request.columns.len()).collect())
    };
    let nulls: Vec<&[u8]> = config.csv.null_values.iter().map(String::as_bytes).collect();
    while records.advance().map_err(|fault| fault.of(file))? {
        if records.len() != width {
            if records.is_blank() {
                continue;
            }
            return Err(Halt::Failed(wrong_width(file, records.line, records.len(), width)));
        }
        add(&records, &places, &nulls, &mut rows.batcher)?;
        rows.flush_when_full()?;
    }
    Ok(opened.finish()?)
}

fn add(records: &Records<'_>, places: &[usize], nulls: &[&[u8]], batcher: &mut Batcher) -> Result<(), ConnectorError> {
    for (at, place) in places.iter().enumerate() {
        let (field, quoted) = records.field(*place).unwrap_or_default();
        let column = batcher.column(at);
        let fitted = if !quoted && nulls.contains(&field) {
            column.null()
        } else {
            column.put(|cells| cells.text(field).map_err(|mismatch| if field.is_empty() { Mismatch::Empty } else { mismatch }))
        };
        if let Err(misfit) = fitted {
            return Err(batcher.explain(&misfit, &format!("line {}", records.line)));
        }
    }
    batcher.end_row(records.byte_count());
    Ok(())
}

fn header(file: &Found, records: &mut Records<'_>) -> Result<Vec<String>, ConnectorError> {
    if !records.advance().map_err(|fault| fault.of(file))? {
        return Err(ConnectorError::new(ErrorKind::BadData, format!("file `{}` is empty: it has no header", file.path)).with_help("remove the file, or set `csv: {header: false}`"));
    }
    let mut names = Vec::with_capacity(records.len());
    for at in 0..records.len() {
        let (field, _) = records.field(at).unwrap_or_default();
        let name = std::str::from_utf8(field).map_err(|error| Fault::NotUtf8 { line: records.line, offset: error.valid_up_to() }.of(file))?;
        names.push(name.to_owned());
    }
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("the header of file `{}` names column `{twice}` twice", file.path))
            .with_help("give each column a name of its own")),
        None => Ok(names),
    }
}

/// Where each column of the request stands in the records.
fn places(file: &Found, names: &[String], request: &ReadRequest) -> Result<Vec<usize>, ConnectorError> {
    let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let missing: Vec<&str> = request.columns.iter().map(|choice| choice.name.as_str()).filter(|name| !names.iter().any(|known| known == name)).collect();
    let extra: Vec<&str> = names.iter().map(String::as_str).filter(|name| !request.columns.iter().any(|choice| choice.name == *name)).collect();
    if !missing.is_empty() {
        let mut message = format!("the header of file `{}` lacks {} that `types` declares", file.path, list(&missing));
        if !extra.is_empty() {
            message.push_str(&format!("; it has {} instead", list(&extra)));
        }
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, message).with_help("make names in `types` and in the file the same; check `delimiter` too"));
    }
    if !extra.is_empty() && request.extra_columns == ExtraColumns::Refuse {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("file `{}` has {} that `types` does not declare", file.path, list(&extra)))
            .with_help("declare them in `types`, or name the columns you want in `select`"));
    }
    Ok(request.columns.iter().filter_map(|choice| names.iter().position(|name| *name == choice.name)).collect())
}

fn wrong_width(file: &Found, line: u64, found: usize, expected: usize) -> ConnectorError {
    let fields = if found == 1 { "1 field".to_owned() } else { format!("{found} fields") };
    ConnectorError::new(ErrorKind::BadData, format!("file `{}`, line {line}: the record has {fields} instead of {expected}", file.path))
        .with_help("correct the line; a delimiter inside a field needs quotes around it")
}
