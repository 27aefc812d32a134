//! From a copy's plan and the position it starts at to what is asked of source and sink.

use karat_plan::CopyWork;
use karat_plugin_api::{ColumnChoice, ConnectorError, CursorExpr, ErrorKind, Position, ReadRequest, ReadStrategy, SourceObject, WriteMode};
use karat_spec::model::{ChunkRows, LoadMode, NullCursor, Strategy};

/// Largest batch: big enough to be fast, small enough that a few of them fit anywhere.
const MOST_BATCH_ROWS: u64 = 16_384;
/// The same in bytes, for wide rows.
const MOST_BATCH_BYTES: u64 = 4 << 20;
/// Bytes per batch where the user left it to us: a batch and what it becomes stay in the second-level caches, and each still has thousands of narrow rows.
const AUTO_BATCH_BYTES: u64 = 1 << 20;
/// What a text or another value of no fixed width takes, about, with its offset.
const TEXT_WIDTH: u64 = 24;
/// Below this, exact file sizes are not worth the overhead of tiny batches.
const LEAST_BATCH_ROWS: u64 = 1_024;
/// Batches that exist at once: being read, in the channel (2), being written.
const BATCHES_IN_FLIGHT: u64 = 4;

/// What is asked of the source.
///
/// # Errors
/// [`ErrorKind::Refused`] when the committed position is of another kind than the strategy continues; [`ErrorKind::Unsupported`] for what this build does not run.
pub(crate) fn read_request(work: &CopyWork, after: &Position, memory_bytes: u64) -> Result<ReadRequest, ConnectorError> {
    if let Some(column) = work.columns.iter().find(|column| column.data_type == arrow::datatypes::DataType::Null) {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` of `{}` has no exact type at its source", column.name, work.table))
            .with_help(format!("declare it: `types: {{ {}: text }}`", column.name)));
    }
    Ok(ReadRequest {
        object: work.object.clone(),
        columns: work.columns.clone(),
        extra_columns: work.extra_columns,
        strategy: strategy(work, after)?,
        batch_rows: batch_rows(work.chunk_rows, &work.columns, work.layout.min_file_rows),
        batch_bytes: batch_bytes(work.chunk_rows, work.chunk_bytes, memory_bytes),
        parallel: work.parallel,
    })
}

fn strategy(work: &CopyWork, after: &Position) -> Result<ReadStrategy, ConnectorError> {
    match work.strategy {
        Strategy::Full if work.mode == LoadMode::Replace || !matches!(work.object, SourceObject::Files(_)) => Ok(ReadStrategy::Full),
        Strategy::Full => match after {
            Position::Start => Ok(ReadStrategy::NewFiles { known: Vec::new() }),
            Position::Files { files } => Ok(ReadStrategy::NewFiles { known: files.clone() }),
            Position::Cursor { .. } | Position::Snapshot { .. } | Position::Windows { .. } | Position::Inputs { .. } => Err(other_kind(work, after)),
        },
        // What a snapshot does not have any more can be told only from a whole one.
        Strategy::Diff => Ok(ReadStrategy::Full),
        Strategy::Window => {
            let (Some(cursor), Some((unit, refresh_last))) = (cursor_column(work), work.window) else {
                return Err(no_window_column(work));
            };
            if !matches!(after, Position::Start | Position::Windows { .. }) {
                return Err(other_kind(work, after));
            }
            Ok(ReadStrategy::Windows { cursor, unit, after: after.clone(), refresh_last, null_cursor: work.null_cursor })
        }
        Strategy::Id | Strategy::Timestamp | Strategy::Hybrid => {
            let Some(cursor) = work.cursor.clone() else {
                return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("`{}` has no cursor, which strategy `{}` needs", work.table, work.strategy.as_str()))
                    .with_help("name a column in `cdc.cursor`"));
            };
            if !matches!(after, Position::Start | Position::Cursor { .. }) {
                return Err(other_kind(work, after));
            }
            Ok(ReadStrategy::Keyset { cursor, tie: work.tie.clone(), after: after.clone(), lookback: work.lookback, null_cursor: work.null_cursor })
        }
        Strategy::Log => Err(not_run(work, "strategy", work.strategy.as_str())),
    }
}

/// How rows arrive. A fresh start writes a new generation in one commit, whatever the mode.
///
/// # Errors
/// [`ErrorKind::BadConfiguration`] when strategy and load mode do not go together; [`ErrorKind::Unsupported`] for what this build does not run.
pub(crate) fn write_mode(work: &CopyWork, is_fresh: bool) -> Result<WriteMode, ConnectorError> {
    let go_together = match work.strategy {
        Strategy::Window => work.mode == LoadMode::Window,
        Strategy::Diff => work.mode == LoadMode::Upsert,
        Strategy::Full | Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Log => work.mode != LoadMode::Window,
    };
    if !go_together {
        let message = format!("`{}` is read with strategy `{}`, which load mode `{}` cannot follow", work.table, work.strategy.as_str(), work.mode.as_str());
        return Err(ConnectorError::new(ErrorKind::BadConfiguration, message).with_help("take `load.mode` out: it follows from the strategy; `diff` needs a `key`"));
    }
    match work.mode {
        LoadMode::Append | LoadMode::Upsert | LoadMode::Window if is_fresh => Ok(WriteMode::Replace),
        LoadMode::Replace => Ok(WriteMode::Replace),
        LoadMode::Append => Ok(WriteMode::Append { once_by: once_by(work) }),
        LoadMode::Upsert if work.key.is_empty() => {
            Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("`{}` has no key, which load mode `upsert` needs", work.table)).with_help("name the columns in `key`"))
        }
        LoadMode::Upsert if work.strategy == Strategy::Diff => Ok(WriteMode::Diff { key: work.key.clone(), deletes: work.deletes, max_delete: work.guard.max_delete }),
        LoadMode::Upsert => Ok(WriteMode::Upsert { key: work.key.clone(), unique_in_read: work.key_is_unique, order_by: cursor_column(work).into_iter().collect() }),
        LoadMode::Window => {
            let column = cursor_column(work).filter(|cursor| work.columns.iter().any(|column| column.name == *cursor));
            let column = column.ok_or_else(|| no_window_column(work))?;
            Ok(WriteMode::Window { column, key: work.key.clone() })
        }
        LoadMode::ReplacePartitions | LoadMode::Scd2 => Err(not_run(work, "load mode", work.mode.as_str())),
    }
}

/// What identifies an observed version of a row, where a read may deliver again what an earlier run delivered.
fn once_by(work: &CopyWork) -> Option<Vec<String>> {
    let all = || work.columns.iter().map(|column| column.name.clone()).collect();
    match work.strategy {
        // The ledger of files already tells old from new.
        Strategy::Full if matches!(work.object, SourceObject::Files(_)) => None,
        Strategy::Full => Some(all()),
        // A source looks at rows at the watermark again unless its catalogue proves that they are unique.
        Strategy::Id if reads_once(work) => None,
        Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Window | Strategy::Diff | Strategy::Log => {
            let (false, Some(cursor)) = (work.key.is_empty(), cursor_column(work)) else { return Some(all()) };
            let mut identity = work.key.clone();
            if !identity.contains(&cursor) {
                identity.push(cursor);
            }
            Some(identity)
        }
    }
}

/// True when no run reads a row that an earlier one delivered.
fn reads_once(work: &CopyWork) -> bool {
    work.key_is_unique && cursor_is_key(work) && work.lookback.is_none() && work.null_cursor == NullCursor::Error && !work.settles_late_commits
}

fn cursor_is_key(work: &CopyWork) -> bool {
    cursor_column(work).is_some_and(|cursor| work.key == [cursor])
}

fn cursor_column(work: &CopyWork) -> Option<String> {
    match &work.cursor {
        Some(CursorExpr::Column(column)) => Some(column.clone()),
        Some(CursorExpr::Sql(_)) | None => None,
    }
}

/// Bytes per batch: what is measured while reading ends a batch, whatever its rows were expected to weigh.
fn batch_bytes(chunk: ChunkRows, chunk_bytes: u64, memory_bytes: u64) -> usize {
    let wanted = match chunk {
        ChunkRows::Auto => AUTO_BATCH_BYTES.min(chunk_bytes),
        ChunkRows::Rows(_) => chunk_bytes.min(MOST_BATCH_BYTES),
    };
    usize::try_from(wanted.min(memory_bytes / 2 / BATCHES_IN_FLIGHT).max(64 << 10)).unwrap_or(usize::MAX)
}

/// Rows per batch: the largest divisor of a file's rows within the chunk, so that files close on exactly `file_rows`.
fn batch_rows(chunk: ChunkRows, columns: &[ColumnChoice], file_rows: u64) -> usize {
    let most = match chunk {
        ChunkRows::Auto => (AUTO_BATCH_BYTES / declared_width(columns)).clamp(1, MOST_BATCH_ROWS),
        ChunkRows::Rows(rows) => rows.0.clamp(1, MOST_BATCH_ROWS),
    };
    let divisor = (LEAST_BATCH_ROWS.min(most)..=most).rev().find(|rows| file_rows.is_multiple_of(*rows));
    usize::try_from(divisor.unwrap_or(most)).unwrap_or(usize::MAX)
}

fn no_window_column(work: &CopyWork) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadConfiguration, format!("`{}` has no column that its windows are of", work.table))
        .with_help("name a date or timestamp column in `cdc.cursor`, and take it among the columns that are copied")
}

/// Bytes of a row in memory, as far as the declared types tell.
fn declared_width(columns: &[ColumnChoice]) -> u64 {
    let width = |column: &ColumnChoice| column.data_type.primitive_width().map_or(TEXT_WIDTH, |width| width as u64);
    columns.iter().map(width).sum::<u64>().max(1)
}

fn other_kind(work: &CopyWork, after: &Position) -> ConnectorError {
    ConnectorError::new(ErrorKind::Refused, format!("`{}` stands at {after}, which strategy `{}` cannot continue: the strategy was changed", work.table, work.strategy.as_str()))
        .with_help(format!("change it back, or load the table anew: `karat run --select {} --full-refresh`", work.table))
}

fn not_run(work: &CopyWork, what: &str, name: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Unsupported, format!("{what} `{name}` of `{}` is not run by this build", work.table))
        .with_help("choose another; `karat lint` says which there are")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;
    use karat_spec::model::Count;

    fn columns(data_type: &DataType, count: usize) -> Vec<ColumnChoice> {
        (0..count).map(|number| ColumnChoice { name: format!("c{number}"), data_type: data_type.clone(), nullable: true }).collect()
    }

    #[test]
    fn batches_divide_files_exactly_where_that_costs_little() {
        for (chunk, file_rows, expected) in [(50_000, 50_000, 12_500), (10_000, 50_000, 10_000), (50_000, 50_021, 16_384), (1, 50_000, 1), (2_000, 50_000, 2_000)] {
            assert_eq!(batch_rows(ChunkRows::Rows(Count(chunk)), &columns(&DataType::Int64, 12), file_rows), expected, "{chunk} {file_rows}");
        }
    }

    #[test]
    fn wide_rows_come_in_small_batches_by_themselves() {
        for (data_type, count, rows) in [(DataType::Int64, 12, 10_000), (DataType::Decimal128(18, 2), 184, 356), (DataType::Utf8, 184, 237), (DataType::Boolean, 1, 12_500)] {
            assert_eq!(batch_rows(ChunkRows::Auto, &columns(&data_type, count), 50_000), rows, "{data_type} {count}");
        }
        for (chunk, chunk_bytes, memory, bytes) in
            [(ChunkRows::Auto, 32 << 20, 1 << 30, 1 << 20), (ChunkRows::Auto, 32 << 20, 1 << 20, 128 << 10), (ChunkRows::Rows(Count(50_000)), 32 << 20, 1 << 30, 4 << 20)]
        {
            assert_eq!(batch_bytes(chunk, chunk_bytes, memory), bytes, "{chunk:?}");
        }
    }
}
