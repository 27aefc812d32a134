//! Diff: which rows of a load are new or changed, and which rows of the table have no counterpart any more.
//!
//! The table is read once. Of each of its rows 32 bytes and three bits stay in memory, hashes of its key and of its other columns; of each new row the
//! hash of its key. Rows of the load are compared as they come, and only those that must be written go on.

use crate::DataFile;
use crate::existing::{FileRows, row_error};
use crate::rewrite::Rewrite;
use crate::row_hash::{HashIndex, Hashed, RowHasher};
use crate::side_by_side::{side_by_side, threads};
use arrow::array::{Array, BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use karat_plugin_api::{ConnectorError, DELETED_AT, ErrorKind};
use karat_spec::model::Deletes;
use std::path::PathBuf;
use std::sync::Arc;

/// How a load is compared with a table.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) key: Vec<String>,
    pub(crate) deletes: Deletes,
    /// The share of rows that may vanish.
    pub(crate) max_delete: f64,
    pub(crate) schema: SchemaRef,
    pub(crate) folder: PathBuf,
    /// The table, for people.
    pub(crate) described: String,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    key: u128,
    /// 96 bits of the hash of all columns that are not the key: compared only where the key is equal.
    content: [u32; 3],
    /// Its place among all rows of the table.
    place: u32,
}

const _: () = assert!(size_of::<Held>() == 32, "memory per row is promised");

impl Hashed for Held {
    fn hash(&self) -> u128 {
        self.key
    }
}

/// A table and the part of a load that it was compared with.
pub(crate) struct Difference {
    comparison: Comparison,
    hashes: Hashers,
    files: Vec<Arc<DataFile>>,
    held: HashIndex<Held>,
    /// Rows whose equal is in the load.
    kept: BooleanBufferBuilder,
    /// Rows whose key is in the load with other values.
    replaced: BooleanBufferBuilder,
    /// Rows that are not marked as deleted.
    live: BooleanBuffer,
    /// Keys of the load that the table does not have.
    fresh: Vec<u128>,
}

/// The hashes of a row.
struct Hashers {
    key: RowHasher,
    content: RowHasher,
}

impl Hashers {
    fn new(comparison: &Comparison) -> Result<Self, ConnectorError> {
        let rest = comparison.schema.fields().iter().map(|field| field.name()).filter(|name| !comparison.key.contains(name));
        let rest: Vec<String> = rest.cloned().collect();
        Ok(Self { key: RowHasher::new(&comparison.schema, &comparison.key)?, content: RowHasher::new(&comparison.schema, &rest)? })
    }

    /// Keys and contents of all rows.
    fn of(&self, batch: &RecordBatch) -> Result<(Vec<u128>, impl Iterator<Item = [u32; 3]>), ConnectorError> {
        let contents = self.content.hashes(batch)?.into_iter().map(|hash| [hash as u32, (hash >> 32) as u32, (hash >> 64) as u32]);
        Ok((self.key.hashes(batch)?, contents))
    }
}

impl Difference {
    /// Reads the table.
    ///
    /// # Errors
    /// When a file cannot be read, or the table has more rows than can be compared.
    pub(crate) fn read(comparison: Comparison, files: Vec<Arc<DataFile>>) -> Result<Self, ConnectorError> {
        if comparison.deletes == Deletes::Soft && comparison.schema.field_with_name(DELETED_AT).is_err() {
            return Err(ConnectorError::new(ErrorKind::Bug, format!("deleted rows shall be marked, but the load has no column `{DELETED_AT}`")));
        }
        let hashes = Hashers::new(&comparison)?;
        let (held, live) = read_all(&comparison, &hashes, &files)?;
        let rows = held.len();
        let bits = || {
            let mut bits = BooleanBufferBuilder::new(rows);
            bits.append_n(rows, false);
            bits
        };
        Ok(Self { hashes, files, held: HashIndex::new(held)?, kept: bits(), replaced: bits(), live, fresh: Vec::new(), comparison })
    }

    /// Compares rows of the load with the table; returns those that must be written.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] when a key came before.
    pub(crate) fn take(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ConnectorError> {
        let mut written = BooleanBufferBuilder::new(batch.num_rows());
        let (keys, contents) = self.hashes.of(batch)?;
        for ((key, copies), content) in keys.iter().zip(self.held.get_all(&keys)).zip(contents) {
            let Some(first) = copies.first() else {
                self.fresh.push(*key);
                written.append(true);
                continue;
            };
            let place = first.place as usize;
            if self.kept.get_bit(place) || self.replaced.get_bit(place) {
                return Err(self.comparison.repeated_key());
            }
            // A table that holds a key several times keeps one equal row.
            let mut is_held = false;
            for copy in copies {
                let stays = !is_held && copy.content == content;
                is_held |= stays;
                let marks = if stays { &mut self.kept } else { &mut self.replaced };
                marks.set_bit(copy.place as usize, true);
            }
            written.append(!is_held);
        }
        filter_record_batch(batch, &BooleanArray::new(written.build(), None)).map_err(row_error)
    }

    /// What the load, which is whole now, does to the table's files; rows that vanish may be marked with the time `at`, in microseconds.
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] when a new key came twice, [`ErrorKind::Refused`] when more rows vanish than may.
    pub(crate) fn rewrites(mut self, at: i64) -> Result<Vec<Rewrite>, ConnectorError> {
        self.fresh.sort_unstable();
        if self.fresh.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(self.comparison.repeated_key());
        }
        drop((self.held, self.fresh));
        let (kept, replaced) = (self.kept.build(), self.replaced.build());
        let vanished = !&(&kept | &replaced);
        self.comparison.check_vanished(&vanished, &self.live)?;
        let mut rewrites = Vec::new();
        let mut first = 0;
        for file in self.files {
            let count = file.rows as usize;
            let (replaced, vanished, live) = (replaced.slice(first, count), vanished.slice(first, count), self.live.slice(first, count));
            first += count;
            let rewrite = match self.comparison.deletes {
                Deletes::Ignore => Rewrite::without(file, &replaced),
                Deletes::Hard => Rewrite::without(file, &(&replaced | &vanished)),
                Deletes::Soft => Rewrite::without(file, &replaced).stamped(&vanished & &live, at),
            };
            if rewrite.dropped_rows() + rewrite.stamped_rows() > 0 {
                rewrites.push(rewrite);
            }
        }
        Ok(rewrites)
    }
}

impl Comparison {
    fn repeated_key(&self) -> ConnectorError {
        ConnectorError::new(ErrorKind::BadData, format!("the source has two rows with the same key ({})", self.key.join(", ")))
            .with_help("choose columns as `key` that identify a row, or remove the copies in the query")
    }

    /// Refuses when more of the rows that were there vanish than may.
    fn check_vanished(&self, vanished: &BooleanBuffer, live: &BooleanBuffer) -> Result<(), ConnectorError> {
        let (gone, before) = ((vanished & live).count_set_bits(), live.count_set_bits());
        if self.deletes == Deletes::Ignore || before == 0 || gone as f64 / before as f64 <= self.max_delete {
            return Ok(());
        }
        let percent = (self.max_delete * 10_000.0).round() / 100.0;
        Err(ConnectorError::new(ErrorKind::Refused, format!("{gone} of {before} rows of {} are not in the source any more, but at most {percent}% may vanish", self.described))
            .with_help("look at the source; if it is right, raise `guard.max_delete`, or load the table anew with `--full-refresh`"))
    }
}

/// A file, the place of its first row in the table, and room for its rows.
type Part<'a> = (&'a DataFile, u32, &'a mut [Held]);

/// All rows of the table and which of them are not marked as deleted, in the order of the files.
fn read_all(comparison: &Comparison, hashes: &Hashers, files: &[Arc<DataFile>]) -> Result<(Vec<Held>, BooleanBuffer), ConnectorError> {
    let too_many = || ConnectorError::new(ErrorKind::Unsupported, format!("{} has more than 2^32 rows, which cannot be compared in one load", comparison.described));
    let total = files.iter().try_fold(0_u32, |sum, file| sum.checked_add(u32::try_from(file.rows).ok()?)).ok_or_else(too_many)? as usize;
    let mut held: Vec<Held> = Vec::new();
    held.try_reserve_exact(total).map_err(|error| {
        ConnectorError::new(ErrorKind::OutOfMemory, format!("no memory to compare {total} rows of {}: 32 bytes are needed for each", comparison.described)).with_source(error)
    })?;
    held.resize(total, Held::default());
    let parts: Vec<(usize, Part<'_>)> = parts_of(files, &mut held).into_iter().enumerate().collect();
    let read =
        side_by_side(parts, threads(files.len()), |_, parts| parts.map(|(at, part)| read_one(comparison, hashes, part).map(|live| (at, live))).collect::<Result<Vec<_>, _>>());
    let mut lives = read.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    lives.sort_unstable_by_key(|(at, _)| *at);
    let mut live = BooleanBufferBuilder::new(total);
    lives.iter().for_each(|(_, part)| live.append_buffer(part));
    Ok((held, live.build()))
}

fn parts_of<'a>(files: &'a [Arc<DataFile>], mut rest: &'a mut [Held]) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(files.len());
    let mut first = 0;
    for file in files {
        let (rows, others) = rest.split_at_mut(file.rows as usize);
        parts.push((file.as_ref(), first, rows));
        first += file.rows as u32;
        rest = others;
    }
    parts
}

/// Fills in the rows of one file; returns which are not marked as deleted.
fn read_one(comparison: &Comparison, hashes: &Hashers, (file, first, rows): Part<'_>) -> Result<BooleanBuffer, ConnectorError> {
    let mut live = BooleanBufferBuilder::new(rows.len());
    let mut slots = rows.iter_mut().zip(first..);
    for batch in FileRows::open(&comparison.folder, file, &comparison.schema, None)? {
        let batch = batch?;
        let (keys, contents) = hashes.of(&batch)?;
        for ((key, content), (slot, place)) in keys.into_iter().zip(contents).zip(&mut slots) {
            *slot = Held { key, content, place };
        }
        match batch.column_by_name(DELETED_AT).and_then(|column| column.nulls()) {
            Some(marked) => live.append_buffer(&!marked.inner()),
            None => live.append_n(batch.num_rows(), batch.column_by_name(DELETED_AT).is_none()),
        }
    }
    Ok(live.build())
}
