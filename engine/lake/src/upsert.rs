//! Upsert by copy-on-write: finds the rows that new rows replace, and says which files must be written anew without them.

use crate::DataFile;
use crate::data_file::discard;
use crate::existing::{FileRows, pick, pick_schema, row_encoder, row_error};
use crate::rewrite::{Merged, Rewrite};
use crate::writer::{FileSetWriter, WriterGauge, WriterOptions};
use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// How rows are matched.
#[derive(Clone)]
pub(crate) struct Matching {
    pub(crate) key: Vec<String>,
    /// Which of two new rows with one key wins: the greater value, then the later row.
    pub(crate) order_by: Vec<String>,
    pub(crate) schema: SchemaRef,
}

/// What an upsert does to a table.
struct Merge {
    /// Rows to add: one per key, without those that the table holds already, equal in all columns.
    new_rows: Vec<RecordBatch>,
    /// Files that hold replaced rows.
    rewrites: Vec<Rewrite>,
}

/// A new row: its batch, its place in it, and whether it must be written.
struct Winner {
    batch: usize,
    row: usize,
    matches: u32,
    is_unchanged: bool,
}

/// Row of a file, and the winner whose key it holds.
type Match = (u64, usize);

/// Encoded keys and their winners.
type KeyIndex = HashMap<Box<[u8]>, usize>;

/// The new rows, and where the files lie that they are compared with.
struct Incoming<'a> {
    matching: &'a Matching,
    folder: &'a Path,
    batches: &'a [RecordBatch],
}

/// Compares new rows with the files that may hold their keys.
fn plan(matching: &Matching, folder: &Path, batches: &[RecordBatch], files: &[Arc<DataFile>]) -> Result<Merge, ConnectorError> {
    let keys = row_encoder(&matching.schema, &matching.key)?;
    let (mut winners, index) = newest_by_key(matching, &keys, batches)?;
    let key_schema = pick_schema(&matching.schema, &matching.key)?;
    let mut matched: Vec<(Arc<DataFile>, Vec<Match>)> = Vec::new();
    for file in files {
        let mut found = Vec::new();
        let mut first_row = 0;
        for batch in FileRows::open(folder, file, &key_schema, None)? {
            let batch = batch?;
            let rows = keys.convert_columns(&pick(&batch, &matching.key)?).map_err(row_error)?;
            for (row, number) in rows.iter().zip(first_row..) {
                if let Some(winner) = index.get(row.data()) {
                    winners[*winner].matches += 1;
                    found.push((number, *winner));
                }
            }
            first_row += batch.num_rows() as u64;
        }
        if !found.is_empty() {
            matched.push((Arc::clone(file), found));
        }
    }
    let mut rewrites = Vec::new();
    let incoming = Incoming { matching, folder, batches };
    for (file, found) in matched {
        mark_unchanged(&incoming, &file, &found, &mut winners)?;
        let mut dropped = found.iter().filter(|(_, winner)| !winners[*winner].is_unchanged).map(|(row, _)| *row).peekable();
        if dropped.peek().is_some() {
            rewrites.push(Rewrite::without_rows(file, dropped));
        }
    }
    Ok(Merge { new_rows: rows_to_add(batches, &winners)?, rewrites })
}

/// The winning row of each key, and the keys' index into them.
fn newest_by_key(matching: &Matching, keys: &RowConverter, batches: &[RecordBatch]) -> Result<(Vec<Winner>, KeyIndex), ConnectorError> {
    let order = row_encoder(&matching.schema, &matching.order_by)?;
    let ranks = batches.iter().map(|batch| rank_rows(matching, &order, batch)).collect::<Result<Vec<Option<Rows>>, _>>()?;
    let mut winners: Vec<Winner> = Vec::new();
    let mut index = KeyIndex::new();
    for (at, batch) in batches.iter().enumerate() {
        let rows = keys.convert_columns(&pick(batch, &matching.key)?).map_err(row_error)?;
        for (row, key) in rows.iter().enumerate() {
            let Some(known) = index.get(key.data()) else {
                index.insert(key.data().into(), winners.len());
                winners.push(Winner { batch: at, row, matches: 0, is_unchanged: false });
                continue;
            };
            let winner = &mut winners[*known];
            let wins = match (&ranks[at], &ranks[winner.batch]) {
                (Some(new), Some(old)) => new.row(row) >= old.row(winner.row),
                _ => true,
            };
            if wins {
                (winner.batch, winner.row) = (at, row);
            }
        }
    }
    Ok((winners, index))
}

fn rank_rows(matching: &Matching, order: &RowConverter, batch: &RecordBatch) -> Result<Option<Rows>, ConnectorError> {
    if matching.order_by.is_empty() {
        return Ok(None);
    }
    order.convert_columns(&pick(batch, &matching.order_by)?).map(Some).map_err(row_error)
}

/// Marks new rows that the file holds already, equal in all columns. A key that the table holds twice is always written anew.
fn mark_unchanged(incoming: &Incoming<'_>, file: &DataFile, found: &[Match], winners: &mut [Winner]) -> Result<(), ConnectorError> {
    let Incoming { matching, folder, batches } = incoming;
    let fields: Vec<SortField> = matching.schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    if !RowConverter::supports_fields(&fields) {
        return Ok(());
    }
    let encoder = RowConverter::new(fields).map_err(row_error)?;
    let numbers: Vec<u64> = found.iter().map(|(row, _)| *row).collect();
    let mut pairs = found.iter();
    for held in FileRows::open(folder, file, &matching.schema, Some(&numbers))? {
        let held = held?;
        let count = held.num_rows();
        let places: Vec<usize> = pairs.by_ref().take(count).map(|(_, winner)| *winner).collect();
        if places.len() != count {
            return Err(ConnectorError::new(ErrorKind::Corrupt, format!("data file `{}` holds more rows than its log says", file.path)));
        }
        let new = gather(batches, places.iter().map(|place| (winners[*place].batch, winners[*place].row)))?;
        let held = encoder.convert_columns(held.columns()).map_err(row_error)?;
        let new = encoder.convert_columns(new.columns()).map_err(row_error)?;
        for (at, place) in places.into_iter().enumerate() {
            let winner = &mut winners[place];
            winner.is_unchanged = winner.matches == 1 && held.row(at) == new.row(at);
        }
    }
    Ok(())
}

/// The rows at these places, in this order.
fn gather(batches: &[RecordBatch], places: impl Iterator<Item = (usize, usize)>) -> Result<RecordBatch, ConnectorError> {
    let mut parts = Vec::new();
    let mut run: Option<(usize, Vec<u32>)> = None;
    for (batch, row) in places {
        let row = u32::try_from(row).map_err(|_| ConnectorError::new(ErrorKind::Bug, "a batch holds more than 2^32 rows"))?;
        match &mut run {
            Some((current, rows)) if *current == batch => rows.push(row),
            _ => {
                if let Some((batch, rows)) = run.replace((batch, vec![row])) {
                    parts.push(take_record_batch(&batches[batch], &UInt32Array::from(rows)).map_err(row_error)?);
                }
            }
        }
    }
    if let Some((batch, rows)) = run {
        parts.push(take_record_batch(&batches[batch], &UInt32Array::from(rows)).map_err(row_error)?);
    }
    let Some(first) = parts.first() else { return Err(ConnectorError::new(ErrorKind::Bug, "no rows to compare")) };
    concat_batches(first.schema_ref(), &parts).map_err(row_error)
}

fn rows_to_add(batches: &[RecordBatch], winners: &[Winner]) -> Result<Vec<RecordBatch>, ConnectorError> {
    let mut keep: Vec<Vec<bool>> = batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
    for winner in winners.iter().filter(|winner| !winner.is_unchanged) {
        keep[winner.batch][winner.row] = true;
    }
    let kept = batches.iter().zip(keep).map(|(batch, keep)| filter_record_batch(batch, &BooleanArray::from(keep)).map_err(row_error));
    kept.filter(|batch| !batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0)).collect()
}

/// Merges rows into the table's files; new rows and the rest of rewritten files go to different files, so that checks see only new rows.
pub(crate) fn merge(matching: &Matching, options: WriterOptions, batches: &[RecordBatch], files: &[Arc<DataFile>], own: &BTreeSet<String>) -> Result<Merged, ConnectorError> {
    let folder = options.folder.clone();
    let plan = plan(matching, &folder, batches, files)?;
    let mut writer = FileSetWriter::new(options, Arc::new(WriterGauge::default()))?;
    let mut new_rows = 0;
    for batch in &plan.new_rows {
        new_rows += batch.num_rows() as u64;
        writer.write(batch)?;
    }
    let (mine, others): (Vec<_>, Vec<_>) = plan.rewrites.iter().partition(|rewrite| own.contains(&rewrite.file.path));
    for rewrite in &mine {
        rewrite.copy_to(&mut writer, &folder, &matching.schema)?;
    }
    let added = writer.finish()?;
    let carried = others.iter().try_for_each(|rewrite| rewrite.copy_to(&mut writer, &folder, &matching.schema)).and_then(|()| writer.finish());
    let carried = carried.inspect_err(|_| added.iter().for_each(|file| discard(&folder.join(&file.path))))?;
    let removed_rows = others.iter().map(|rewrite| rewrite.dropped_rows()).sum();
    let removed = plan.rewrites.iter().map(|rewrite| Arc::clone(&rewrite.file)).collect();
    Ok(Merged { added, carried, removed, new_rows, removed_rows })
}
