//! Date and timestamp cells, as the whole numbers that bounds of windows are.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use karat_plugin_api::{ConnectorError, CursorValue, ErrorKind};

/// The cells of a column, `None` for NULL.
pub(crate) fn cells(rows: &RecordBatch, column: &str) -> Result<Vec<Option<CursorValue>>, ConnectorError> {
    let Some(array) = rows.column_by_name(column) else {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("there is no column `{column}`")));
    };
    match array.data_type() {
        DataType::Date32 => Ok(array.as_primitive::<Date32Type>().iter().map(|cell| cell.map(CursorValue::Date)).collect()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(array.as_primitive::<TimestampMicrosecondType>().iter().map(|cell| cell.map(CursorValue::Timestamp)).collect()),
        other => Err(ConnectorError::new(ErrorKind::Unsupported, format!("windows in memory are of dates or microseconds, `{column}` is {other}"))),
    }
}

/// Days or microseconds, whichever the value counts.
pub(crate) fn number(value: &CursorValue) -> Option<i64> {
    match value {
        CursorValue::Date(days) => Some(i64::from(*days)),
        CursorValue::Timestamp(micros) => Some(*micros),
        _ => None,
    }
}
