//! Copy-on-write: a file written anew without some of its rows, or with some of them marked as deleted.

use crate::DataFile;
use crate::data_file::discard;
use crate::existing::{FileRows, row_error};
use crate::side_by_side::{side_by_side, threads};
use crate::writer::{FileSetWriter, WriterGauge, WriterOptions};
use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use karat_plugin_api::{ConnectorError, DELETED_AT, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// Full files that a further thread must have to write: each leaves one that is not full.
const MIN_FILES_PER_WRITER: u64 = 4;

/// A file whose rows do not all stay as they are.
pub(crate) struct Rewrite {
    pub(crate) file: Arc<DataFile>,
    kept: Kept,
    stamp: Option<Stamp>,
}

/// Which rows of a file stay.
enum Kept {
    All,
    None,
    /// One bit per row.
    Some(BooleanBuffer),
}

/// Rows that get a time of deletion.
struct Stamp {
    rows: BooleanBuffer,
    /// Microseconds since 1970-01-01T00:00:00Z.
    at: i64,
}

impl Rewrite {
    /// A file that keeps all rows, in the types of the table.
    pub(crate) fn whole(file: Arc<DataFile>) -> Self {
        Self { file, kept: Kept::All, stamp: None }
    }

    /// A file of which nothing stays.
    pub(crate) fn gone(file: Arc<DataFile>) -> Self {
        Self { file, kept: Kept::None, stamp: None }
    }

    /// A file without the rows that are marked; one bit per row.
    pub(crate) fn without(file: Arc<DataFile>, dropped: &BooleanBuffer) -> Self {
        match dropped.count_set_bits() {
            0 => Self::whole(file),
            count if count == dropped.len() => Self::gone(file),
            _ => Self { file, kept: Kept::Some(!dropped), stamp: None },
        }
    }

    /// A file without the rows of these numbers, which were read from it.
    pub(crate) fn without_rows(file: Arc<DataFile>, dropped: impl Iterator<Item = u64>) -> Self {
        let rows = usize::try_from(file.rows).unwrap_or(usize::MAX);
        let mut marked = BooleanBufferBuilder::new(rows);
        marked.append_n(rows, false);
        dropped.for_each(|row| marked.set_bit(row as usize, true));
        Self::without(file, &marked.build())
    }

    /// The same, with a time of deletion in the marked rows.
    pub(crate) fn stamped(mut self, rows: BooleanBuffer, at: i64) -> Self {
        self.stamp = (rows.count_set_bits() > 0).then_some(Stamp { rows, at });
        self
    }

    /// Rows that do not stay.
    pub(crate) fn dropped_rows(&self) -> u64 {
        match &self.kept {
            Kept::All => 0,
            Kept::None => self.file.rows,
            Kept::Some(kept) => (kept.len() - kept.count_set_bits()) as u64,
        }
    }

    fn kept_rows(&self) -> u64 {
        self.file.rows.saturating_sub(self.dropped_rows())
    }

    /// Rows that get a time of deletion.
    pub(crate) fn stamped_rows(&self) -> u64 {
        self.stamp.as_ref().map_or(0, |stamp| stamp.rows.count_set_bits() as u64)
    }

    /// Writes what stays; a file of which nothing stays is not even opened.
    pub(crate) fn copy_to(&self, writer: &mut FileSetWriter, folder: &Path, schema: &SchemaRef) -> Result<(), ConnectorError> {
        if matches!(self.kept, Kept::None) {
            return Ok(());
        }
        let mut first = 0;
        for batch in FileRows::open(folder, &self.file, schema, None)? {
            let batch = batch?;
            let count = batch.num_rows();
            let batch = match &self.stamp {
                Some(stamp) => stamp.apply(&batch, first)?,
                None => batch,
            };
            match &self.kept {
                Kept::Some(kept) => writer.write(&filter_record_batch(&batch, &BooleanArray::new(kept.slice(first, count), None)).map_err(row_error)?)?,
                Kept::All | Kept::None => writer.write(&batch)?,
            }
            first += count;
        }
        Ok(())
    }
}

impl Stamp {
    fn apply(&self, batch: &RecordBatch, first: usize) -> Result<RecordBatch, ConnectorError> {
        let failed = |error| ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{DELETED_AT}` cannot hold a time")).with_source(error);
        let at = batch.schema_ref().index_of(DELETED_AT).map_err(row_error)?;
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        let time = ScalarValue::TimestampMicrosecond(Some(self.at), Some("UTC".into())).cast_to(columns[at].data_type()).and_then(|time| time.to_scalar()).map_err(failed)?;
        let rows = BooleanArray::new(self.rows.slice(first, batch.num_rows()), None);
        columns[at] = zip(&rows, &time, &columns[at]).map_err(row_error)?;
        RecordBatch::try_new(Arc::clone(batch.schema_ref()), columns).map_err(row_error)
    }
}

/// What rewriting did.
pub(crate) struct Merged {
    /// Files of new rows.
    pub(crate) added: Vec<DataFile>,
    /// Files of rows that were there before.
    pub(crate) carried: Vec<DataFile>,
    pub(crate) removed: Vec<Arc<DataFile>>,
    pub(crate) new_rows: u64,
    /// Rows that went, or were marked as deleted.
    pub(crate) removed_rows: u64,
}

/// Writes what stays of these files into new files, nearly as few as the layout allows; on several threads where each gets much to write.
pub(crate) fn carry(options: &WriterOptions, rewrites: Vec<Rewrite>) -> Result<Merged, ConnectorError> {
    let full_files = rewrites.iter().map(Rewrite::kept_rows).sum::<u64>() / options.layout.min_file_rows.max(1);
    let writers = threads(usize::try_from(full_files / MIN_FILES_PER_WRITER).unwrap_or(usize::MAX));
    let written = side_by_side(rewrites.iter().collect(), writers, |number, rewrites| {
        let options = WriterOptions { attempt: format!("{}-{number}", options.attempt), memory_bytes: options.memory_bytes / writers as u64, ..options.clone() };
        let (folder, schema) = (options.folder.clone(), Arc::clone(&options.schema));
        let mut writer = FileSetWriter::new(options, Arc::new(WriterGauge::default()))?;
        for rewrite in rewrites {
            rewrite.copy_to(&mut writer, &folder, &schema)?;
        }
        writer.finish()
    });
    let mut carried = Vec::new();
    let mut failed = Ok(());
    for written in written {
        match written {
            Ok(files) => carried.extend(files),
            Err(error) => failed = Err(error),
        }
    }
    failed.inspect_err(|_| carried.iter().for_each(|file: &DataFile| discard(&options.folder.join(&file.path))))?;
    let removed_rows = rewrites.iter().map(|rewrite| rewrite.dropped_rows() + rewrite.stamped_rows()).sum();
    let removed = rewrites.into_iter().map(|rewrite| rewrite.file).collect();
    Ok(Merged { added: Vec::new(), carried, removed, new_rows: 0, removed_rows })
}
