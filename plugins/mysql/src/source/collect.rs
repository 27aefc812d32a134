//! Rows of one read as batches, and errors that name the row.

use super::decode::{ColumnDecoder, Misfit, push};
use super::value::{Held, cursor_value};
use crate::config::Server;
use crate::error::wrap;
use crate::wire::ColumnDefinition;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use karat_plugin_api::cells::{Batcher, Mismatch};
use karat_plugin_api::{ColumnChoice, ConnectorError, DeclaredType, ErrorKind};
use std::sync::Arc;

/// One batch may hold a row of 1 GiB beyond this, and still be below Arrow's 2 GiB per column.
const GREATEST_BATCH_BYTES: usize = 512 << 20;
/// Rows that builders have room for at once.
const GREATEST_ROOM: usize = 131_072;

/// Collects rows until a batch is full.
pub(crate) struct Collector {
    server: Server,
    label: String,
    choices: Vec<ColumnChoice>,
    schema: SchemaRef,
    columns: Vec<ColumnDecoder>,
    /// Columns of the result whose last values are remembered, and those values.
    pub(crate) watched: Vec<(usize, Held)>,
    /// Names of the columns that tell rows apart.
    key: Vec<String>,
    rows: usize,
    bytes: usize,
    /// Rows that are left until the next multiple of `batch_rows`.
    room: usize,
    batch_rows: usize,
    batch_bytes: usize,
    /// Rows seen so far.
    seen: u64,
}

/// Which rows a collector gets, and how many make a batch.
pub(crate) struct CollectorOptions<'a> {
    /// For messages.
    pub(crate) server: &'a Server,
    /// For messages: "table `t`".
    pub(crate) label: &'a str,
    /// What is delivered.
    pub(crate) choices: &'a [ColumnChoice],
    /// Names of the columns that tell rows apart.
    pub(crate) key: &'a [String],
    /// Rows per batch.
    pub(crate) batch_rows: usize,
    /// Bytes per batch, about.
    pub(crate) batch_bytes: usize,
}

impl Collector {
    /// A collector without a row.
    ///
    /// # Errors
    /// As [`Batcher::new`]: for columns without a type, and for types without a scalar form.
    pub(crate) fn new(options: &CollectorOptions<'_>) -> Result<Self, ConnectorError> {
        let schema = Arc::clone(Batcher::new(options.label, options.choices, 1, 1)?.schema());
        let batch_rows = options.batch_rows.max(1);
        Ok(Self {
            server: options.server.clone(),
            label: options.label.to_owned(),
            choices: options.choices.to_vec(),
            schema,
            columns: Vec::new(),
            watched: Vec::new(),
            key: options.key.to_vec(),
            rows: 0,
            bytes: 0,
            room: batch_rows,
            batch_rows,
            batch_bytes: options.batch_bytes.clamp(1, GREATEST_BATCH_BYTES),
            seen: 0,
        })
    }

    /// Takes the columns of a result; those beyond the delivered ones are only watched.
    ///
    /// # Errors
    /// [`ErrorKind::SchemaMismatch`] when a column cannot be read as its promised type at all.
    pub(crate) fn bind(&mut self, definitions: &[ColumnDefinition], watch: &[usize]) -> Result<(), ConnectorError> {
        let is_known = self.columns.len() == definitions.len() && self.columns.iter().zip(definitions).all(|(known, new)| known.definition().is_like(new));
        if !is_known {
            if self.rows > 0 {
                return Err(ConnectorError::new(ErrorKind::Bug, format!("two results of {} have other columns", self.label)));
            }
            // Each value counts eight bytes at least, so that wide rows fill a batch before their columns fill their room.
            let capacity = self.batch_rows.min(GREATEST_ROOM).min(self.batch_bytes / (8 * definitions.len().max(1)) + 1);
            let mut columns = Vec::with_capacity(definitions.len());
            for (at, definition) in definitions.iter().enumerate() {
                columns.push(match self.choices.get(at) {
                    Some(choice) => ColumnDecoder::new(definition, &choice.data_type, choice.nullable, capacity).ok_or_else(|| self.unreadable(choice))?,
                    None => ColumnDecoder::watched(definition),
                });
            }
            self.columns = columns;
        }
        if self.watched.iter().map(|(at, _)| at).ne(watch) {
            self.watched = watch.iter().map(|at| (*at, Held::default())).collect();
        }
        Ok(())
    }

    /// What the server says of column `at` of the result.
    pub(crate) fn definition(&self, at: usize) -> Option<&ColumnDefinition> {
        self.columns.get(at).map(ColumnDecoder::definition)
    }

    /// Rows collected since the last batch.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// True when the batch must be taken before the next row.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.rows == self.room || self.bytes >= self.batch_bytes
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] names the column and the row.
    #[inline]
    pub(crate) fn push(&mut self, row: &[u8]) -> Result<(), ConnectorError> {
        match push(&mut self.columns, row, &mut self.watched) {
            Ok(bytes) => {
                self.rows += 1;
                self.seen += 1;
                self.bytes += bytes + 8 * self.choices.len();
                Ok(())
            }
            Err(misfit) => Err(self.explain(misfit, row)),
        }
    }

    /// The collected rows; `None` when there are none.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] for text that is not UTF-8.
    pub(crate) fn take(&mut self) -> Result<Option<RecordBatch>, ConnectorError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let mut arrays = Vec::with_capacity(self.choices.len());
        for at in 0..self.columns.len() {
            match self.columns[at].finish() {
                Ok(array) => arrays.extend(array),
                Err(mismatch) => {
                    let place = format!("rows {} to {} of this read", self.seen - self.rows as u64 + 1, self.seen);
                    return Err(self.does_not_fit(at, mismatch, &place));
                }
            }
        }
        self.room -= self.rows;
        if self.room == 0 {
            self.room = self.batch_rows;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map(Some)
            .map_err(|error| ConnectorError::new(ErrorKind::Bug, format!("columns of {} do not make a batch", self.label)).with_source(error))
    }

    fn explain(&self, misfit: Misfit, row: &[u8]) -> ConnectorError {
        let (at, mismatch) = match misfit {
            Misfit::Packet(fault) => return wrap(&format!("read {}", self.label), &self.server, fault),
            Misfit::Value(at, mismatch) => return self.does_not_fit(at, mismatch, &self.place(row)),
            Misfit::NoDate(at) => (at, "holds a zero or partial date, which is no day of the calendar,"),
            Misfit::Null(at) => (at, "may not be NULL, and is"),
        };
        let name = &self.choices[at].name;
        let error = ConnectorError::new(ErrorKind::BadData, format!("column `{name}` of {} {mismatch} in {}", self.label, self.place(row)));
        match misfit {
            Misfit::NoDate(_) => error.with_help(format!("read the column as text with `types: {{{name}: text}}`, or correct the row at the source")),
            _ => error.with_help("correct the row at the source"),
        }
    }

    fn does_not_fit(&self, at: usize, mismatch: Mismatch, place: &str) -> ConnectorError {
        let choice = &self.choices[at];
        let name = &choice.name;
        let wider = match (mismatch, &choice.data_type) {
            (Mismatch::NotUtf8, _) | (_, DataType::Utf8) => "binary",
            (Mismatch::TooManyDigits, DataType::Timestamp(..)) => "timestamp",
            (Mismatch::OutOfRange, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Boolean) => "bigint",
            (Mismatch::TooManyDigits, DataType::Float32) => "double",
            _ => "text",
        };
        ConnectorError::new(ErrorKind::BadData, format!("column `{name}` of {} cannot be read as {} in {place}: {mismatch}", self.label, type_name(&choice.data_type)))
            .with_help(format!("declare what the column really holds, such as `types: {{{name}: {wider}}}`, or correct the row at the source"))
    }

    fn unreadable(&self, choice: &ColumnChoice) -> ConnectorError {
        let name = &choice.name;
        ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{name}` of {} cannot be read as {}", self.label, type_name(&choice.data_type)))
            .with_help(format!("declare another type: `types: {{{name}: binary}}`"))
    }

    /// Names a row by its key, or by its number where the key is not read.
    fn place(&self, row: &[u8]) -> String {
        let values = super::decode::values(&self.columns, row);
        let of_key: Option<Vec<String>> = self
            .key
            .iter()
            .map(|name| {
                let at = self.columns.iter().position(|column| column.definition().name == *name)?;
                let value = cursor_value(self.columns[at].definition(), *values.as_ref()?.get(at)?).ok()?;
                Some(format!("`{name}` = {value}"))
            })
            .collect();
        match of_key.filter(|parts| !parts.is_empty()) {
            Some(parts) => format!("the row with {}", parts.join(", ")),
            None => format!("row {} of this read", self.seen + 1),
        }
    }
}

fn type_name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).map_or_else(|| data_type.to_string(), |name| format!("`{name}`"))
}
