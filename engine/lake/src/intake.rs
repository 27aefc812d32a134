//! What happens to rows of a load before they are written.

use crate::DataFile;
use crate::difference::{Comparison, Difference};
use crate::existing::ValueIndex;
use crate::once::{Identity, LeftOut};
use crate::upsert::Matching;
use crate::writer::WriterOptions;
use arrow::array::RecordBatch;
use karat_plugin_api::{ConnectorError, LoadRequest, WriteMode};
use std::sync::Arc;

/// How rows come in.
pub(crate) enum Intake {
    /// They are written.
    Direct,
    /// Those that the table holds are left out.
    Once { identity: Identity, left_out: LeftOut, buffer: Buffer },
    /// Those with the same key are replaced.
    Upsert { matching: Matching, unique_in_read: bool, buffer: Buffer },
    /// Those that the table holds are left out, and what the load does not have goes.
    Diff(DiffIntake),
}

/// How far a diff has come.
pub(crate) enum DiffIntake {
    /// The table is read with the first rows, or when there are none.
    Waiting(Comparison),
    /// Rows are compared with the table as they come.
    Comparing(Box<Difference>),
    /// All rows came.
    Settled,
}

/// Rows that must be compared with the table before they are written.
#[derive(Default)]
pub(crate) struct Buffer {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) bytes: u64,
}

impl Buffer {
    pub(crate) fn push(&mut self, batch: RecordBatch) {
        self.bytes += batch.get_array_memory_size() as u64;
        self.batches.push(batch);
    }
}

impl Intake {
    /// The intake of a load.
    pub(crate) fn of(request: &LoadRequest, options: &WriterOptions, described: &str) -> Self {
        let schema = || Arc::clone(&options.schema);
        match &request.mode {
            WriteMode::Append { once_by: Some(columns) } => {
                let identity = Identity { columns: columns.clone(), counts_copies: columns.len() >= options.schema.fields().len(), schema: schema() };
                Self::Once { identity, left_out: LeftOut::new(), buffer: Buffer::default() }
            }
            WriteMode::Upsert { key, unique_in_read, order_by } => {
                let matching = Matching { key: key.clone(), order_by: order_by.clone(), schema: schema() };
                Self::Upsert { matching, unique_in_read: *unique_in_read, buffer: Buffer::default() }
            }
            WriteMode::Diff { key, deletes, max_delete } => {
                let (folder, described) = (options.folder.clone(), described.to_owned());
                let comparison = Comparison { key: key.clone(), deletes: *deletes, max_delete: *max_delete, schema: schema(), folder, described };
                Self::Diff(DiffIntake::Waiting(comparison))
            }
            // A window clears its rows when it is committed.
            WriteMode::Append { once_by: None } | WriteMode::Replace | WriteMode::Window { .. } => Self::Direct,
        }
    }

    /// Bytes of rows that wait to be compared.
    pub(crate) fn buffered_bytes(&self) -> u64 {
        match self {
            Self::Direct | Self::Diff(_) => 0,
            Self::Once { buffer, .. } | Self::Upsert { buffer, .. } => buffer.bytes,
        }
    }
}

/// False when none of `files` can hold the values that a row of `batch` has in `columns`.
pub(crate) fn may_be_in_any(batch: &RecordBatch, columns: &[String], files: &[Arc<DataFile>]) -> Result<bool, ConnectorError> {
    if files.is_empty() {
        return Ok(false);
    }
    let index = ValueIndex::new(std::slice::from_ref(batch), columns)?;
    for file in files {
        if index.may_be_in(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those of `files` that may hold the values of a row.
pub(crate) fn candidates(batches: &[RecordBatch], columns: &[String], files: Vec<Arc<DataFile>>) -> Result<Vec<Arc<DataFile>>, ConnectorError> {
    let index = ValueIndex::new(batches, columns)?;
    let mut kept = Vec::new();
    for file in files {
        if index.may_be_in(&file)? {
            kept.push(file);
        }
    }
    Ok(kept)
}
