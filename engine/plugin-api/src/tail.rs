//! Order-independent digests of rows.

use crate::{ConnectorError, ErrorKind, Tail};
use arrow_array::RecordBatch;
use arrow_row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_128;

/// Count and sum of row hashes, as [`Tail`] defines them: equal multisets of rows have equal digests, whatever their order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TailDigest {
    /// How many rows were added.
    pub rows: u64,
    sum: u128,
}

impl TailDigest {
    /// The digest that a position remembers; `None` when its text is not one.
    #[must_use]
    pub fn of_tail(tail: &Tail) -> Option<Self> {
        Some(Self { rows: tail.rows, sum: u128::from_str_radix(&tail.digest, 16).ok()? })
    }

    /// What a position remembers of it.
    #[must_use]
    pub fn tail(&self) -> Tail {
        Tail { rows: self.rows, digest: format!("{:032x}", self.sum) }
    }

    /// Adds all rows of a batch. Batches of other columns make another digest.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] for a type that has no row form.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        let bug = |error| ConnectorError::new(ErrorKind::Bug, "cannot hash rows").with_source(error);
        let fields = batch.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        // Arrow's row form is injective: types are fixed, and each value says where it ends.
        let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(batch.columns())).map_err(bug)?;
        for row in &rows {
            self.sum = self.sum.wrapping_add(xxh3_128(row.as_ref()));
            self.rows += 1;
        }
        Ok(())
    }
}
