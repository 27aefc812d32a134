//! Rows as Arrow batches, each value checked.

use super::{Cells, Mismatch};
use crate::{ColumnChoice, ConnectorError, DeclaredType, ErrorKind};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// One batch may hold a row of 1 GiB beyond this, and still be below Arrow's 2 GiB per column.
const GREATEST_BATCH_BYTES: usize = 512 << 20;

/// Collects rows until a batch is full.
pub struct Batcher {
    label: String,
    choices: Vec<ColumnChoice>,
    schema: SchemaRef,
    cells: Vec<Cells>,
    nullable: Vec<bool>,
    rows: usize,
    bytes: usize,
    /// Rows that are left until the next multiple of `batch_rows`.
    room: usize,
    batch_rows: usize,
    batch_bytes: usize,
}

/// A value that does not fit; [`Batcher::explain`] makes an error of it.
#[derive(Debug, Clone, Copy)]
pub struct Misfit {
    column: usize,
    /// `None` for a NULL where none may be.
    mismatch: Option<Mismatch>,
}

/// Where one value of a row goes.
pub struct RowColumn<'a> {
    at: usize,
    nullable: bool,
    cells: &'a mut Cells,
}

impl RowColumn<'_> {
    /// Which column of the request it is, from zero.
    #[inline]
    #[must_use]
    pub fn index(&self) -> usize {
        self.at
    }

    /// Adds a missing value.
    ///
    /// # Errors
    /// When the column may not be NULL.
    #[inline]
    pub fn null(self) -> Result<(), Misfit> {
        if !self.nullable {
            return Err(Misfit { column: self.at, mismatch: None });
        }
        self.cells.null();
        Ok(())
    }

    /// Adds a value.
    ///
    /// # Errors
    /// When it does not fit the column's type.
    #[inline]
    pub fn put(self, value: impl FnOnce(&mut Cells) -> Result<(), Mismatch>) -> Result<(), Misfit> {
        value(self.cells).map_err(|mismatch| Misfit { column: self.at, mismatch: Some(mismatch) })
    }
}

impl Batcher {
    /// A collector for these columns; `label` names the object in messages.
    ///
    /// # Errors
    /// [`ErrorKind::SchemaMismatch`] for a column without a type, [`ErrorKind::Unsupported`] for a type that has no scalar form.
    pub fn new(label: &str, choices: &[ColumnChoice], batch_rows: usize, batch_bytes: usize) -> Result<Self, ConnectorError> {
        let batch_rows = batch_rows.max(1);
        let cells = choices.iter().map(|choice| Cells::new(&choice.data_type, batch_rows.min(131_072)).ok_or_else(|| unreadable(label, choice))).collect::<Result<_, _>>()?;
        let fields: Vec<Field> = choices.iter().map(|choice| Field::new(&choice.name, choice.data_type.clone(), choice.nullable)).collect();
        Ok(Self {
            label: label.to_owned(),
            choices: choices.to_vec(),
            nullable: choices.iter().map(|choice| choice.nullable).collect(),
            schema: Arc::new(Schema::new(fields)),
            cells,
            rows: 0,
            bytes: 0,
            room: batch_rows,
            batch_rows,
            batch_bytes: batch_bytes.clamp(1, GREATEST_BATCH_BYTES),
        })
    }

    /// Changes what messages name, when rows come from another object now.
    pub fn set_label(&mut self, label: String) {
        self.label = label;
    }

    /// Columns of all batches.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows collected since the last batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// True when the batch must be taken before the next row.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows == self.room || self.bytes >= self.batch_bytes
    }

    /// The columns of the row that is being added, in order. Each must get one value, then [`Batcher::end_row`] is called.
    #[inline]
    pub fn columns(&mut self) -> impl Iterator<Item = RowColumn<'_>> {
        self.cells.iter_mut().zip(&self.nullable).enumerate().map(|(at, (cells, nullable))| RowColumn { at, nullable: *nullable, cells })
    }

    /// One column of the row that is being added.
    #[inline]
    pub fn column(&mut self, at: usize) -> RowColumn<'_> {
        RowColumn { at, nullable: self.nullable[at], cells: &mut self.cells[at] }
    }

    /// Closes the row, which took about so many bytes besides fixed-width values.
    #[inline]
    pub fn end_row(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes + 8 * self.cells.len();
    }

    /// What to tell about a value that does not fit; `place` says which row.
    #[must_use]
    pub fn explain(&self, misfit: &Misfit, place: &str) -> ConnectorError {
        let choice = &self.choices[misfit.column];
        match misfit.mismatch {
            None => ConnectorError::new(ErrorKind::BadData, format!("column `{}` of {} may not be NULL, and is NULL in {place}", choice.name, self.label))
                .with_help("correct the row at the source"),
            Some(mismatch) => does_not_fit(&self.label, choice, mismatch, place),
        }
    }

    /// The collected rows; `None` when there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] when a row was closed without all its values.
    pub fn take(&mut self) -> Result<Option<RecordBatch>, ConnectorError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let columns = self.cells.iter_mut().map(Cells::finish).collect();
        self.room -= self.rows;
        if self.room == 0 {
            self.room = self.batch_rows;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
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
