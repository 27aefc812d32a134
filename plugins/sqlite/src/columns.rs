//! Rows of SQLite as Arrow batches, each value checked.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::cells::{Cells, Mismatch};
use karat_plugin_api::{ColumnChoice, ConnectorError, DeclaredType, ErrorKind};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use std::sync::Arc;

/// One batch may hold a row of SQLite's greatest size beyond this, and still be below Arrow's 2 GiB per column.
const GREATEST_BATCH_BYTES: usize = 512 << 20;

/// Collects rows until a batch is full.
pub(crate) struct Batcher {
    label: String,
    choices: Vec<ColumnChoice>,
    schema: SchemaRef,
    cells: Vec<Cells>,
    rows: usize,
    bytes: usize,
    /// Rows that are left until the next multiple of `batch_rows`.
    room: usize,
    batch_rows: usize,
    batch_bytes: usize,
}

/// A value that does not fit; [`Batcher::explain`] makes an error of it.
#[derive(Debug)]
pub(crate) struct Misfit {
    column: usize,
    /// `None` for a NULL where none may be.
    mismatch: Option<Mismatch>,
}

impl Batcher {
    /// A collector for these columns.
    pub(crate) fn new(label: &str, choices: &[ColumnChoice], batch_rows: usize, batch_bytes: usize) -> Result<Self, ConnectorError> {
        let batch_rows = batch_rows.max(1);
        let cells = choices.iter().map(|choice| Cells::new(&choice.data_type, batch_rows.min(131_072)).ok_or_else(|| unreadable(label, choice))).collect::<Result<_, _>>()?;
        let fields: Vec<Field> = choices.iter().map(|choice| Field::new(&choice.name, choice.data_type.clone(), choice.nullable)).collect();
        Ok(Self {
            label: label.to_owned(),
            choices: choices.to_vec(),
            schema: Arc::new(Schema::new(fields)),
            cells,
            rows: 0,
            bytes: 0,
            room: batch_rows,
            batch_rows,
            batch_bytes: batch_bytes.clamp(1, GREATEST_BATCH_BYTES),
        })
    }

    /// Columns of all batches.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows collected since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// True when the batch must be taken before the next row.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.rows == self.room || self.bytes >= self.batch_bytes
    }

    /// Adds the first columns of a row.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), Misfit> {
        let mut bytes = 0;
        for (at, cells) in self.cells.iter_mut().enumerate() {
            let fitted = match row.get_ref_unwrap(at) {
                ValueRef::Integer(number) => cells.integer(number),
                ValueRef::Text(text) => {
                    bytes += text.len();
                    cells.text(text)
                }
                ValueRef::Null if self.choices[at].nullable => {
                    cells.null();
                    Ok(())
                }
                ValueRef::Null => return Err(Misfit { column: at, mismatch: None }),
                ValueRef::Real(number) => cells.real(number),
                ValueRef::Blob(blob) => {
                    bytes += blob.len();
                    cells.bytes(blob)
                }
            };
            if let Err(mismatch) = fitted {
                return Err(Misfit { column: at, mismatch: Some(mismatch) });
            }
        }
        self.rows += 1;
        self.bytes += bytes + 8 * self.cells.len();
        Ok(())
    }

    /// What to tell about a value that does not fit; `place` says which row.
    pub(crate) fn explain(&self, misfit: &Misfit, place: &str) -> ConnectorError {
        let choice = &self.choices[misfit.column];
        match misfit.mismatch {
            None => ConnectorError::new(ErrorKind::BadData, format!("column `{}` of {} may not be NULL, and is NULL in {place}", choice.name, self.label))
                .with_help("correct the row at the source"),
            Some(mismatch) => does_not_fit(&self.label, choice, mismatch, place),
        }
    }

    /// The collected rows; `None` when there are none.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>, ConnectorError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let columns = self.cells.iter_mut().map(Cells::finish).collect();
        self.room -= self.rows;
        if self.room == 0 {
            self.room = self.batch_rows;
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map(Some)
            .map_err(|error| ConnectorError::new(ErrorKind::Bug, format!("columns of {} do not make a batch", self.label)).with_source(error))
    }
}

fn unreadable(label: &str, choice: &ColumnChoice) -> ConnectorError {
    let name = &choice.name;
    if choice.data_type == DataType::Null {
        return ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{name}` of {label} declares no exact type"))
            .with_help(format!("declare one, such as `types: {{{name}: text}}` or `{{{name}: \"decimal(18,4)\"}}`, or leave the column out with `exclude`"));
    }
    ConnectorError::new(ErrorKind::Unsupported, format!("column `{name}` of {label} cannot be read as {}", type_name(&choice.data_type)))
        .with_help(format!("declare another type: `types: {{{name}: text}}`"))
}

fn does_not_fit(label: &str, choice: &ColumnChoice, mismatch: Mismatch, place: &str) -> ConnectorError {
    let name = &choice.name;
    let wider = match (mismatch, &choice.data_type) {
        (Mismatch::HasOffset, _) => "timestamptz",
        (Mismatch::TooManyDigits, DataType::Timestamp(..)) => "timestamp(9)",
        (Mismatch::TooManyDigits, DataType::Date32) => "timestamp",
        (Mismatch::TooManyDigits | Mismatch::OutOfRange, DataType::Decimal128(..) | DataType::Decimal256(..)) => "decimal(p,s)` with more digits, or `text",
        (Mismatch::OutOfRange, DataType::Int8 | DataType::Int16 | DataType::Int32) => "bigint",
        (Mismatch::TooManyDigits, DataType::Float32) => "double",
        (Mismatch::NotUtf8, _) | (_, DataType::Utf8) => "binary",
        _ => "text",
    };
    ConnectorError::new(ErrorKind::BadData, format!("column `{name}` of {label} cannot be read as {} in {place}: {mismatch}", type_name(&choice.data_type)))
        .with_help(format!("declare what the column really holds, such as `types: {{{name}: {wider}}}`, or correct the row at the source"))
}

fn type_name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).map_or_else(|| data_type.to_string(), |name| format!("`{name}`"))
}
