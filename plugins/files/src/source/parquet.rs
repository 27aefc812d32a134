//! Parquet files: columns and types come from their footers.

use super::listing::{Found, Listing};
use super::opened::{check_unchanged, hash_file, open};
use super::reader::{Halt, Rows};
use super::widening::{holds, plain};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use karat_plugin_api::{Column, ColumnChoice, ConnectorError, DeclaredType, ErrorKind, ExtraColumns, ReadRequest};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Footers that are read for an estimate of rows.
const ESTIMATED_FILES: usize = 64;

type Builder = ParquetRecordBatchReaderBuilder<File>;

/// The columns of a file.
pub(crate) fn columns(file: &Found) -> Result<Vec<Column>, ConnectorError> {
    let builder = footer(file, open(file)?)?;
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let data_type = plain(field.data_type());
        Column { name: field.name().clone(), declared: DeclaredType::name_of(&data_type).unwrap_or_else(|| data_type.to_string()), data_type, nullable: field.is_nullable() }
    };
    Ok(builder.schema().fields().iter().map(column).collect())
}

/// About how many rows, from the footers of the first files.
pub(crate) fn estimate(listing: &Listing) -> Result<u64, ConnectorError> {
    let sample = &listing.files[..listing.files.len().min(ESTIMATED_FILES)];
    let mut rows = 0_u64;
    for file in sample {
        rows += u64::try_from(footer(file, open(file)?)?.metadata().file_metadata().num_rows()).unwrap_or(0);
    }
    let bytes = |files: &[Found]| files.iter().map(|file| file.size).sum::<u64>();
    let scaled = u128::from(rows) * u128::from(bytes(&listing.files)) / u128::from(bytes(sample).max(1));
    Ok(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// Reads one file into `rows`, and gives its hash. A file that breaks the decoder is an error like any other.
pub(crate) fn read_guarded(file: &Found, request: &ReadRequest, rows: &mut Rows<'_>) -> Result<String, Halt> {
    match catch_unwind(AssertUnwindSafe(|| read(file, request, rows))) {
        Ok(read) => read,
        Err(_) => {
            Err(Halt::Failed(ConnectorError::new(ErrorKind::Corrupt, format!("file `{}` is damaged so that it cannot be decoded", file.path)).with_help("copy the file again")))
        }
    }
}

fn read(file: &Found, request: &ReadRequest, rows: &mut Rows<'_>) -> Result<String, Halt> {
    let hash = hash_file(file)?;
    let handle = open(file)?;
    let again = handle.try_clone().map_err(|error| ConnectorError::io("read file", &file.absolute, error))?;
    let builder = footer(file, handle)?;
    let places = agree(file, builder.schema(), request)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), places.iter().copied());
    let batch_rows = batch_rows(&builder, request);
    let reader = builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(|error| unreadable(file, error))?;
    // The reader delivers columns in the file's order.
    let mut in_file_order: Vec<usize> = places.clone();
    in_file_order.sort_unstable();
    let order: Vec<usize> = places.iter().filter_map(|place| in_file_order.binary_search(place).ok()).collect();
    for batch in reader {
        let batch = batch.map_err(|error| {
            ConnectorError::new(ErrorKind::Corrupt, format!("file `{}` cannot be read to its end", file.path)).with_source(error).with_help("copy the file again")
        })?;
        rows.send_whole(convert(file, &batch, &order, request, rows.schema())?)?;
    }
    check_unchanged(file, &again)?;
    Ok(hash)
}

fn footer(file: &Found, handle: File) -> Result<Builder, ConnectorError> {
    Builder::try_new_with_options(handle, ArrowReaderOptions::new()).map_err(|error| unreadable(file, error))
}

fn unreadable(file: &Found, error: parquet::errors::ParquetError) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadData, format!("file `{}` is not a Parquet file that can be read", file.path))
        .with_source(error)
        .with_help("set `format` of the connection to what the files are, or copy the file again")
}

/// Where each column of the request stands in the file.
fn agree(file: &Found, schema: &SchemaRef, request: &ReadRequest) -> Result<Vec<usize>, ConnectorError> {
    let mismatch = |text: String, help: String| ConnectorError::new(ErrorKind::SchemaMismatch, format!("file `{}` {text}", file.path)).with_help(help);
    let mut places = Vec::with_capacity(request.columns.len());
    for choice in &request.columns {
        let Ok(place) = schema.index_of(&choice.name) else {
            return Err(mismatch(format!("has no column `{}`", choice.name), "all files of a table have the same columns: correct the file, or narrow `path`".into()));
        };
        let found = plain(schema.field(place).data_type());
        if !holds(&choice.data_type, &found) {
            let text = format!("has column `{}` as {} instead of {}", choice.name, name(&found), name(&choice.data_type));
            return Err(mismatch(text, format!("correct the file, or declare a type that holds both: `types: {{{}: …}}`", choice.name)));
        }
        places.push(place);
    }
    if request.extra_columns == ExtraColumns::Refuse
        && let Some(extra) = schema.fields().iter().find(|field| !request.columns.iter().any(|choice| choice.name == *field.name()))
    {
        return Err(mismatch(
            format!("has column `{}`, which the table does not have", extra.name()),
            "name the columns you want in `select`, or run `karat lock` to take it over".into(),
        ));
    }
    Ok(places)
}

fn name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).map_or_else(|| data_type.to_string(), |name| format!("`{name}`"))
}

/// So many rows that a batch has about as many bytes as asked for.
fn batch_rows(builder: &Builder, request: &ReadRequest) -> usize {
    let (rows, bytes) = builder
        .metadata()
        .row_groups()
        .iter()
        .fold((0_u64, 0_u64), |(rows, bytes), group| (rows + u64::try_from(group.num_rows()).unwrap_or(0), bytes + u64::try_from(group.total_byte_size()).unwrap_or(0)));
    let row_bytes = usize::try_from(bytes / rows.max(1)).unwrap_or(usize::MAX).max(1);
    (request.batch_bytes / row_bytes).clamp(1, request.batch_rows.max(1))
}

fn convert(file: &Found, batch: &RecordBatch, order: &[usize], request: &ReadRequest, schema: &SchemaRef) -> Result<RecordBatch, ConnectorError> {
    let columns: Vec<ArrayRef> = order.iter().zip(&request.columns).map(|(at, choice)| convert_column(file, batch.column(*at), choice)).collect::<Result<_, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| ConnectorError::new(ErrorKind::Bug, format!("columns of file `{}` do not make a batch", file.path)).with_source(error))
}

fn convert_column(file: &Found, column: &ArrayRef, choice: &ColumnChoice) -> Result<ArrayRef, ConnectorError> {
    let bad = |text: &str| {
        ConnectorError::new(ErrorKind::BadData, format!("column `{}` of file `{}` {text}", choice.name, file.path))
            .with_help("correct the file, or declare another type in `types`")
    };
    if !choice.nullable && column.null_count() > 0 {
        return Err(bad("may not be NULL, and is NULL in some rows"));
    }
    if column.data_type() == &choice.data_type {
        return Ok(Arc::clone(column));
    }
    // The cause is left out: it quotes the value.
    let converted = cast_with_options(column, &choice.data_type, &CastOptions { safe: false, ..CastOptions::default() })
        .map_err(|_| bad(&format!("has a value that is no {}", name(&choice.data_type))))?;
    if let DataType::Date64 = column.data_type() {
        let back = cast_with_options(&converted, &DataType::Date64, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|_| bad("has a date out of range"))?;
        if &back != column {
            return Err(bad("has a date with a time of day"));
        }
    }
    Ok(converted)
}
