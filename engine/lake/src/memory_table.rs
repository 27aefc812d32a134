//! Rows in memory as a table for SQL: given rows of unit tests, rows read back from a database.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::sync::Arc;

/// Rows that SQL can scan: what passes through crates that do not name DataFusion.
pub type Scannable = Arc<dyn TableProvider>;

/// A table that holds exactly these rows.
///
/// # Errors
/// [`ErrorKind::SchemaMismatch`] when a batch does not have the columns of `schema`.
pub fn memory_table(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Scannable, ConnectorError> {
    let table = MemTable::try_new(schema, vec![batches]);
    let table = table.map_err(|error| ConnectorError::new(ErrorKind::SchemaMismatch, "rows in memory do not have the columns of their table").with_source(error))?;
    Ok(Arc::new(table))
}
