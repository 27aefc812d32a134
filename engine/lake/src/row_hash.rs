//! Rows as 128-bit hashes: what tells rows apart without keeping them, and an index over very many of them.

use crate::existing::{pick, row_encoder, row_error};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::row::RowConverter;
use karat_plugin_api::{ConnectorError, ErrorKind};
use xxhash_rust::xxh3::xxh3_128;

/// Entries of one bucket of an index, about: they lie in one or two cache lines.
const BUCKET_ENTRIES: usize = 4;

/// Hashes rows by some of their columns.
pub(crate) struct RowHasher {
    columns: Vec<String>,
    encoder: RowConverter,
}

impl RowHasher {
    pub(crate) fn new(schema: &Schema, columns: &[String]) -> Result<Self, ConnectorError> {
        Ok(Self { columns: columns.to_vec(), encoder: row_encoder(schema, columns)? })
    }

    /// XXH3-128 of each row's encoding: equal where all columns are equal to the last bit, NULL to NULL, and else only by a chance of 2^-128.
    pub(crate) fn hashes(&self, batch: &RecordBatch) -> Result<Vec<u128>, ConnectorError> {
        if self.columns.is_empty() {
            return Ok(vec![0; batch.num_rows()]);
        }
        let rows = self.encoder.convert_columns(&pick(batch, &self.columns)?).map_err(row_error)?;
        Ok(rows.iter().map(|row| xxh3_128(row.data())).collect())
    }
}

/// What is found by a hash.
pub(crate) trait Hashed {
    /// The hash.
    fn hash(&self) -> u128;
}

impl Hashed for u128 {
    fn hash(&self) -> u128 {
        *self
    }
}

/// Entries by hash: sorted, with the first place of each range of hashes, at one byte per entry. Hashes are spread evenly, so ranges are short.
pub(crate) struct HashIndex<T> {
    entries: Vec<T>,
    starts: Vec<u32>,
}

impl<T: Hashed> HashIndex<T> {
    /// The index of `entries`, of which several may have one hash.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for more than 2^32 entries.
    pub(crate) fn new(mut entries: Vec<T>) -> Result<Self, ConnectorError> {
        if u32::try_from(entries.len()).is_err() {
            return Err(ConnectorError::new(ErrorKind::Unsupported, "more than 2^32 rows cannot be compared in one load").with_help("use `strategy: window`"));
        }
        entries.sort_unstable_by_key(Hashed::hash);
        let buckets = entries.len() / BUCKET_ENTRIES + 1;
        let mut starts = vec![0_u32; buckets + 1];
        for entry in &entries {
            starts[bucket(entry.hash(), buckets) + 1] += 1;
        }
        for at in 0..buckets {
            starts[at + 1] += starts[at];
        }
        Ok(Self { entries, starts })
    }

    /// For each hash, all entries that have it.
    ///
    /// Looked up together, since nearly every look goes past the processor's caches: first all ranges, then their entries, without a branch that
    /// waits for memory, so that many looks are under way at once.
    pub(crate) fn get_all(&self, hashes: &[u128]) -> Vec<&[T]> {
        let buckets = self.starts.len() - 1;
        let near = hashes.iter().map(|hash| {
            let bucket = bucket(*hash, buckets);
            (self.starts[bucket], self.starts[bucket + 1])
        });
        let near: Vec<(u32, u32)> = near.collect();
        let found = near.into_iter().zip(hashes).map(|((start, end), hash)| {
            let near = &self.entries[start as usize..end as usize];
            let (below, equal) = near.iter().fold((0, 0), |(below, equal), entry| (below + usize::from(entry.hash() < *hash), equal + usize::from(entry.hash() == *hash)));
            &near[below..below + equal]
        });
        found.collect()
    }
}

/// The range that a hash lies in: its upper half, scaled.
fn bucket(hash: u128, buckets: usize) -> usize {
    (((hash >> 64) * buckets as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, ArrayRef, Float64Array, StringArray};
    use arrow::datatypes::{DataType, Field};
    use std::sync::Arc;

    #[test]
    fn every_entry_is_found_and_nothing_else() {
        let hashes: Vec<u128> = (0..5_000_u32).map(|number| xxh3_128(&number.to_le_bytes())).collect();
        let twice: Vec<u128> = hashes.iter().chain(&hashes[..10]).copied().chain([0, u128::MAX]).collect();

        let index = HashIndex::new(twice).unwrap();

        let found = index.get_all(&hashes);
        assert!(found.iter().zip(&hashes).all(|(found, hash)| found.iter().all(|entry| entry == hash)));
        assert!(found.iter().enumerate().all(|(at, found)| found.len() == if at < 10 { 2 } else { 1 }));
        assert_eq!(index.get_all(&[0, u128::MAX, 1]).iter().map(|found| found.len()).collect::<Vec<_>>(), [1, 1, 0]);
        assert!(HashIndex::<u128>::new(Vec::new()).unwrap().get_all(&[7])[0].is_empty());
    }

    #[test]
    fn rows_are_equal_only_to_the_last_bit() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), Some(f64::NAN), Some(f64::NAN), None, None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("a"), Some(""), Some(""), Some(""), None]));
        let schema = Arc::new(Schema::new(vec![Field::new("n", numbers.data_type().clone(), true), Field::new("t", DataType::Utf8, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![numbers, texts]).unwrap();

        let hashes = RowHasher::new(&schema, &["n".into(), "t".into()]).unwrap().hashes(&batch).unwrap();

        assert_ne!(hashes[0], hashes[1]);
        assert_eq!(hashes[2], hashes[3]);
        assert_ne!(hashes[4], hashes[5]);
    }
}
