//! One data file while it is written: rows in, a durable file and its statistics out.

use crate::DataFile;
use crate::encode::{Encoder, HashedFile, encode_error};
use crate::partition::Partition;
use crate::statistics::RowStatistics;
use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use karat_plugin_api::{ConnectorError, ErrorKind};
use parquet::file::properties::WriterProperties;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file that takes rows.
pub(crate) struct OpenFile {
    path: PathBuf,
    relative: String,
    partition: Partition,
    schema: SchemaRef,
    encoder: Encoder,
    rows: u64,
    row_statistics: RowStatistics,
    sort_by: Vec<String>,
    unsorted: Vec<RecordBatch>,
    unsorted_bytes: usize,
}

/// Everything that a new file needs.
pub(crate) struct NewFile<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) relative: String,
    pub(crate) partition: Partition,
    pub(crate) schema: SchemaRef,
    pub(crate) properties: &'a WriterProperties,
    pub(crate) sort_by: &'a [String],
}

impl OpenFile {
    pub(crate) fn create(new: NewFile<'_>) -> Result<Self, ConnectorError> {
        let path = new.folder.join(&new.relative);
        let file = HashedFile::create(&path).map_err(|error| ConnectorError::io("create", &path, error))?;
        let encoder = Encoder::try_new(file, new.schema.clone(), Some(new.properties.clone())).map_err(|error| encode_error(&path, error))?;
        let sort_by = new.sort_by.iter().filter(|name| new.schema.field_with_name(name).is_ok()).cloned().collect();
        Ok(Self {
            path,
            relative: new.relative,
            partition: new.partition,
            schema: new.schema,
            encoder,
            rows: 0,
            row_statistics: RowStatistics::default(),
            sort_by,
            unsorted: Vec::new(),
            unsorted_bytes: 0,
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes on disk and still to come, about.
    pub(crate) fn size(&self) -> u64 {
        (self.encoder.bytes_written() + self.encoder.in_progress_size() + self.unsorted_bytes) as u64
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.encoder.memory_size() + self.unsorted_bytes
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        self.rows += batch.num_rows() as u64;
        self.row_statistics.add(batch);
        if self.sort_by.is_empty() {
            return self.encoder.write(batch).map_err(|error| encode_error(&self.path, error));
        }
        self.unsorted_bytes += batch.get_array_memory_size();
        self.unsorted.push(batch.clone());
        Ok(())
    }

    /// Moves what is in memory to the disk. A sorted file is then sorted piece by piece.
    pub(crate) fn flush(&mut self) -> Result<(), ConnectorError> {
        self.encode_sorted()?;
        self.encoder.flush().map_err(|error| encode_error(&self.path, error))
    }

    fn encode_sorted(&mut self) -> Result<(), ConnectorError> {
        let Some(first) = self.unsorted.first() else { return Ok(()) };
        let failed = |error| ConnectorError::new(ErrorKind::BadData, "rows cannot be sorted for their file").with_source(error);
        let batch = concat_batches(first.schema_ref(), &self.unsorted).map_err(failed)?;
        self.unsorted.clear();
        self.unsorted_bytes = 0;
        let columns: Vec<SortColumn> =
            self.sort_by.iter().filter_map(|name| batch.column_by_name(name)).map(|values| SortColumn { values: values.clone(), options: None }).collect();
        let order = lexsort_to_indices(&columns, None).map_err(failed)?;
        let sorted = take_record_batch(&batch, &order).map_err(failed)?;
        self.encoder.write(&sorted).map_err(|error| encode_error(&self.path, error))
    }

    /// Makes the file durable. Its name is durable after the folder was synced.
    pub(crate) fn finish(mut self) -> Result<DataFile, ConnectorError> {
        self.encode_sorted()?;
        let footer = self.encoder.finish().map_err(|error| encode_error(&self.path, error))?;
        let (size, xxh3) = self.encoder.inner_mut().finish().map_err(|error| ConnectorError::io("sync", &self.path, error))?;
        Ok(DataFile {
            path: self.relative,
            size,
            rows: self.rows,
            xxh3: Some(xxh3),
            modified_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            partition_values: self.partition.declared,
            stats: self.row_statistics.finish(&self.schema, &footer),
        })
    }

    /// Gives the file up and removes it.
    pub(crate) fn discard(self) {
        discard(&self.path);
    }
}

/// Removes a file of an own attempt that was never committed. What stays behind costs space, never correctness.
pub(crate) fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove an uncommitted file");
    }
}
