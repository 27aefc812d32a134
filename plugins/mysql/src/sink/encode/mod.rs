//! Rows as text that the server reads back to exactly the same values: for `LOAD DATA`, and as literals of an `INSERT`.
//!
//! Knows Arrow's values and the server's spelling of them; knows nothing of connections. What a column cannot hold is refused here or by the server,
//! never rounded, cut or shifted.

mod cell;
mod digits;

use crate::sink::column::{Kind, type_name};
use arrow::array::RecordBatch;
use cell::Cells;
use karat_plugin_api::{ConnectorError, ErrorKind};

/// One column that is written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// The name.
    pub(crate) name: String,
    /// What the target's column stores.
    pub(crate) kind: Kind,
}

/// How rows are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Tab-separated, `\` escaped, `\N` for NULL, one row a line: the defaults of `LOAD DATA`, read with `CHARACTER SET binary`.
    Load,
    /// `(…)` with literals, separated by commas.
    Literals,
}

/// Why one value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

/// Appends rows of a batch, from row `from`, until the buffer holds `most_bytes`; returns the row after the last one.
///
/// `ordinal` is what the first row of the batch is numbered with, in a leading column of its own.
///
/// # Errors
/// [`ErrorKind::BadData`] names column and row of a value that the column cannot hold; `rows_before` is what is added to that row's number.
pub(crate) fn append_rows(batch: &RecordBatch, columns: &[Written], how: Rows, out: &mut Vec<u8>) -> Result<usize, ConnectorError> {
    let mut cells = Vec::with_capacity(columns.len());
    let schema = batch.schema_ref();
    for ((array, field), column) in batch.columns().iter().zip(schema.fields()).zip(columns) {
        cells.push(Cells::new(array, field, &column.kind).ok_or_else(|| no_way(column, array.data_type()))?);
    }
    let mut scratch = Vec::new();
    for row in how.from..batch.num_rows() {
        if out.len() >= how.most_bytes {
            return Ok(row);
        }
        let is_first = out.is_empty();
        match how.spelling {
            Spelling::Load => {}
            Spelling::Literals if is_first => out.push(b'('),
            Spelling::Literals => out.extend_from_slice(b",("),
        }
        let mut separate = false;
        if let Some(ordinal) = how.ordinal {
            digits::push_u64(ordinal + row as u64, out);
            separate = true;
        }
        for (cell, column) in cells.iter().zip(columns) {
            if separate {
                out.push(if how.spelling == Spelling::Load { b'\t' } else { b',' });
            }
            separate = true;
            cell.append(row, how.spelling, out, &mut scratch).map_err(|unfit| refusal(column, how.rows_before + row as u64, &unfit))?;
        }
        out.push(if how.spelling == Spelling::Load { b'\n' } else { b')' });
    }
    Ok(batch.num_rows())
}

/// Which rows are appended, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// The first row.
    pub(crate) from: usize,
    /// Rows of the load before this batch, for messages.
    pub(crate) rows_before: u64,
    /// Number of the batch's first row, when rows are numbered.
    pub(crate) ordinal: Option<u64>,
    /// The spelling.
    pub(crate) spelling: Spelling,
    /// Where to stop.
    pub(crate) most_bytes: usize,
}

/// How a `LOAD DATA` assigns a column: directly, or an expression over the user variable of its name.
pub(crate) fn assignment(kind: &Kind, variable: &str) -> Option<String> {
    match kind {
        Kind::Bit { .. } => Some(format!("CAST({variable} AS UNSIGNED)")),
        // These read text, and take bytes for something else; other character sets must be converted.
        Kind::Json | Kind::TextForm | Kind::Text { is_unicode: false, .. } | Kind::Label { is_unicode: false } => Some(format!("CONVERT({variable} USING utf8mb4)")),
        Kind::Whole { .. }
        | Kind::Decimal { .. }
        | Kind::Float
        | Kind::Double
        | Kind::Text { is_unicode: true, .. }
        | Kind::Label { is_unicode: true }
        | Kind::Bytes { .. }
        | Kind::Date
        | Kind::Time { .. }
        | Kind::DateTime { .. }
        | Kind::Timestamp { .. }
        | Kind::Year
        | Kind::Geometry => None,
    }
}

fn no_way(column: &Written, data_type: &arrow::datatypes::DataType) -> ConnectorError {
    ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` of the target cannot take {}", column.name, type_name(data_type)))
        .with_help("load the table anew with `--full-refresh`, or change the column's type")
}

fn refusal(column: &Written, row: u64, unfit: &Unfit) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadData, format!("column `{}`, row {} of this load: {}", column.name, row + 1, unfit.0))
        .with_help("mend the row at its source, or read the column as text with `types`")
}
