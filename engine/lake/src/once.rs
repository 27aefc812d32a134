//! Append of rows that may have been delivered before: leaves out what the table already holds.

use crate::DataFile;
use crate::existing::{FileRows, pick_schema, row_error};
use crate::row_hash::RowHasher;
use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use karat_plugin_api::ConnectorError;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// How many copies of a row, by the hash of its identity, were left out already by this load.
pub(crate) type LeftOut = HashMap<u128, u64>;

/// What identifies a row, and where the table is.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) columns: Vec<String>,
    /// Without a key equal rows are different rows: as many copies as the table holds are left out, not more.
    pub(crate) counts_copies: bool,
    pub(crate) schema: SchemaRef,
}

/// The rows of `batches` whose identity is in none of `files`.
pub(crate) fn leave_out_known(
    identity: &Identity,
    folder: &Path,
    batches: &[RecordBatch],
    files: &[Arc<DataFile>],
    left_out: &mut LeftOut,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let hasher = RowHasher::new(&identity.schema, &identity.columns)?;
    let hashes = batches.iter().map(|batch| hasher.hashes(batch)).collect::<Result<Vec<_>, _>>()?;
    let mut held: HashMap<u128, u64> = hashes.iter().flatten().map(|hash| (*hash, 0)).collect();
    let wanted = pick_schema(&identity.schema, &identity.columns)?;
    for file in files {
        for batch in FileRows::open(folder, file, &wanted, None)? {
            for hash in hasher.hashes(&batch?)? {
                if let Some(count) = held.get_mut(&hash) {
                    *count += 1;
                }
            }
        }
    }
    let mut kept = Vec::new();
    for (batch, hashes) in batches.iter().zip(&hashes) {
        let keep: Vec<bool> = hashes.iter().map(|hash| !is_known(*hash, &held, identity.counts_copies, left_out)).collect();
        let rows = filter_record_batch(batch, &BooleanArray::from(keep)).map_err(row_error)?;
        if rows.num_rows() > 0 {
            kept.push(rows);
        }
    }
    Ok(kept)
}

fn is_known(hash: u128, held: &HashMap<u128, u64>, counts_copies: bool, left_out: &mut LeftOut) -> bool {
    let held = held.get(&hash).copied().unwrap_or(0);
    if !counts_copies || held == 0 {
        return held > 0;
    }
    let used = left_out.entry(hash).or_insert(0);
    let is_known = *used < held;
    if is_known {
        *used += 1;
    }
    is_known
}
