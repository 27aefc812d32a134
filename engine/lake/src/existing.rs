//! Reading back what a table holds: which files may hold given values, and chosen columns of one file.

use crate::DataFile;
use crate::conform::conform;
use crate::file_column::FileColumn;
use crate::value_text::text_to_value;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::ScalarValue;
use karat_plugin_api::{ConnectorError, ErrorKind};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use std::fs::File;
use std::path::Path;

/// With more columns than this only their ranges are compared: sorting all of them costs more than it saves.
const MAX_EXACT_COLUMNS: usize = 3;

/// The values that some rows have in some columns, to tell which files may hold one of them.
pub(crate) struct ValueIndex {
    columns: Vec<IndexedColumn>,
}

struct IndexedColumn {
    converter: RowConverter,
    /// Sorted; only the ends when only the range counts.
    values: Vec<OwnedRow>,
    is_exact: bool,
    has_null: bool,
    field: arrow::datatypes::FieldRef,
}

impl ValueIndex {
    /// The index of `batches` over `columns`.
    pub(crate) fn new(batches: &[RecordBatch], columns: &[String]) -> Result<Self, ConnectorError> {
        let Some(first) = batches.first() else { return Ok(Self { columns: Vec::new() }) };
        let is_exact = columns.len() <= MAX_EXACT_COLUMNS;
        let mut indexed = Vec::new();
        for name in columns {
            let at = first.schema_ref().index_of(name).map_err(|_| missing_column(name))?;
            let field = first.schema_ref().fields()[at].clone();
            let converter = RowConverter::new(vec![SortField::new(field.data_type().clone())]).map_err(row_error)?;
            let mut values: Vec<OwnedRow> = Vec::new();
            let mut has_null = false;
            for batch in batches {
                let column = batch.column(at);
                has_null |= column.null_count() > 0;
                let rows = converter.convert_columns(std::slice::from_ref(column)).map_err(row_error)?;
                let present = (0..column.len()).filter(|row| column.is_valid(*row)).map(|row| rows.row(row));
                if is_exact {
                    values.extend(present.map(|row| row.owned()));
                } else {
                    let (min, max) = present.fold((None, None), |(min, max), row| (Some(min.map_or(row, |seen| row.min(seen))), Some(max.map_or(row, |seen| row.max(seen)))));
                    values.extend(min.into_iter().chain(max).map(|row| row.owned()));
                }
            }
            values.sort_unstable();
            values.dedup();
            indexed.push(IndexedColumn { converter, values, is_exact, has_null, field });
        }
        Ok(Self { columns: indexed })
    }

    /// False when no row of `file` can have the indexed values of one row.
    pub(crate) fn may_be_in(&self, file: &DataFile) -> Result<bool, ConnectorError> {
        for column in &self.columns {
            if !column.may_be_in(file)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl IndexedColumn {
    fn may_be_in(&self, file: &DataFile) -> Result<bool, ConnectorError> {
        let held = FileColumn::of(file, &self.field);
        if held.null_count == Some(file.rows) {
            return Ok(self.has_null);
        }
        if self.has_null && held.null_count != Some(0) {
            return Ok(true);
        }
        let (Some(min), Some(max)) = (held.min, held.max) else { return Ok(true) };
        let (min, max) = (self.encode(&min)?, self.encode(&max)?);
        let first = self.values.partition_point(|value| *value < min);
        if !self.is_exact {
            let (Some(low), Some(high)) = (self.values.first(), self.values.last()) else { return Ok(false) };
            return Ok(*low <= max && *high >= min);
        }
        Ok(self.values.get(first).is_some_and(|value| *value <= max))
    }

    fn encode(&self, value: &ScalarValue) -> Result<OwnedRow, ConnectorError> {
        let array = value.to_array().map_err(|error| ConnectorError::new(ErrorKind::Bug, "a bound is no value").with_source(error))?;
        Ok(self.converter.convert_columns(&[array]).map_err(row_error)?.row(0).owned())
    }
}

/// Batches of one data file with exactly the columns of `wanted`, in the order of the file's rows: as many as the log says, or an error.
pub(crate) struct FileRows {
    reader: parquet::arrow::arrow_reader::ParquetRecordBatchReader,
    constants: Vec<(String, ScalarValue)>,
    wanted: SchemaRef,
    described: String,
    /// Rows still to come.
    rest: u64,
}

impl FileRows {
    /// Opens `file` of the table in `folder`; `rows` limits it to these row numbers, ascending.
    pub(crate) fn open(folder: &Path, file: &DataFile, wanted: &SchemaRef, rows: Option<&[u64]>) -> Result<Self, ConnectorError> {
        let path = folder.join(&file.path);
        let described = path.display().to_string();
        let handle = File::open(&path).map_err(|error| ConnectorError::io("open", &path, error))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(handle).map_err(|error| damaged(&described, error))?;
        let roots: Vec<usize> = builder.schema().fields().iter().enumerate().filter(|(_, field)| wanted.field_with_name(field.name()).is_ok()).map(|(at, _)| at).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let mut builder = builder.with_projection(mask);
        if let Some(rows) = rows {
            builder = builder.with_row_selection(selection(rows, file.rows));
        }
        let mut constants = Vec::new();
        for (name, text) in &file.partition_values {
            if let Ok(field) = wanted.field_with_name(name) {
                let value = text_to_value(text.as_deref(), field.data_type()).ok_or_else(|| {
                    ConnectorError::new(ErrorKind::Corrupt, format!("the partition value of column `{name}` of file `{described}` is not a `{}`", field.data_type()))
                })?;
                constants.push((name.clone(), value));
            }
        }
        let reader = builder.build().map_err(|error| damaged(&described, error))?;
        let rest = rows.map_or(file.rows, |rows| rows.len() as u64);
        Ok(Self { reader, constants, wanted: wanted.clone(), described, rest })
    }

    fn complete(&self, batch: RecordBatch) -> Result<RecordBatch, ConnectorError> {
        if self.constants.is_empty() {
            return conform(&batch, &self.wanted);
        }
        let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for (name, value) in &self.constants {
            let array = value.to_array_of_size(batch.num_rows()).map_err(|error| ConnectorError::new(ErrorKind::Bug, "a partition value is no value").with_source(error))?;
            fields.push(std::sync::Arc::new(arrow::datatypes::Field::new(name, array.data_type().clone(), true)));
            columns.push(array);
        }
        let whole = RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns).map_err(row_error)?;
        conform(&whole, &self.wanted)
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, ConnectorError>;

    fn next(&mut self) -> Option<Self::Item> {
        let miscounted = || ConnectorError::new(ErrorKind::Corrupt, format!("data file `{}` does not hold as many rows as its log says", self.described));
        let Some(batch) = self.reader.next() else {
            return (std::mem::take(&mut self.rest) > 0).then(|| Err(miscounted()));
        };
        let counted = batch.map_err(|error| damaged(&self.described, error)).and_then(|batch| {
            self.rest = self.rest.checked_sub(batch.num_rows() as u64).ok_or_else(miscounted)?;
            Ok(batch)
        });
        Some(counted.and_then(|batch| self.complete(batch)))
    }
}

fn selection(rows: &[u64], total: u64) -> RowSelection {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let mut selectors = Vec::new();
    let mut next = 0;
    for row in rows {
        if *row > next {
            selectors.push(RowSelector::skip(size(row - next)));
        }
        selectors.push(RowSelector::select(1));
        next = row + 1;
    }
    if total > next {
        selectors.push(RowSelector::skip(size(total - next)));
    }
    RowSelection::from(selectors)
}

/// The encoder of rows of these columns, comparable and exact.
pub(crate) fn row_encoder(schema: &Schema, columns: &[String]) -> Result<RowConverter, ConnectorError> {
    let fields = columns.iter().map(|name| schema.field_with_name(name).map(|field| SortField::new(field.data_type().clone())).map_err(|_| missing_column(name)));
    RowConverter::new(fields.collect::<Result<_, _>>()?).map_err(row_error)
}

/// The named columns of a batch.
pub(crate) fn pick(batch: &RecordBatch, columns: &[String]) -> Result<Vec<ArrayRef>, ConnectorError> {
    columns.iter().map(|name| batch.column_by_name(name).cloned().ok_or_else(|| missing_column(name))).collect()
}

/// The schema of the named columns.
pub(crate) fn pick_schema(schema: &Schema, columns: &[String]) -> Result<SchemaRef, ConnectorError> {
    let fields = columns.iter().map(|name| schema.field_with_name(name).cloned().map_err(|_| missing_column(name)));
    Ok(std::sync::Arc::new(Schema::new(fields.collect::<Result<Vec<_>, _>>()?)))
}

fn missing_column(name: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::SchemaMismatch, format!("key column `{name}` is not a column of the table")).with_help("name it in `select`, or change `key`")
}

/// A failure of comparing rows.
pub(crate) fn row_error(error: arrow::error::ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::SchemaMismatch, "rows of these types cannot be compared").with_source(error)
}

fn damaged(path: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectorError {
    ConnectorError::new(ErrorKind::Corrupt, format!("data file `{path}` cannot be read")).with_source(error)
}
