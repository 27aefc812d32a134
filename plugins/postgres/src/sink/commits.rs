//! The table of commits: where each stream stands in each target of a schema, changed only in the transaction that makes the rows visible.
//!
//! One row for each target and stream holds the whole newest record. Read next: `load.rs`.

use super::name::TableName;
use super::relation::{Place, Trouble};
use crate::client::{Session, TextRow};
use crate::spelling::{literal, quote};
use karat_plugin_api::{CommitRecord, CommitRequest, ConnectorError, ErrorKind, Generation, Position, StreamId};

/// What the table of commits knows of a target.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Known {
    /// The newest record of the asked stream.
    pub(crate) record: Option<CommitRecord>,
    /// Rows of the table by all streams' own count; `None` when none of them ever wrote it.
    pub(crate) table_rows: Option<u64>,
}

/// How a commit relates to the newest record of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one.
    Extends,
    /// It is that record: an earlier try of the same attempt took effect.
    AlreadyApplied,
    /// Somebody else committed first, or the position it was built on is not the newest.
    Conflict,
}

/// Compares a commit with the newest record of its stream.
pub(crate) fn step(newest: Option<&CommitRecord>, next: &CommitRecord) -> Step {
    let Some(newest) = newest else { return if next.seq == 1 { Step::Extends } else { Step::Conflict } };
    let extends = if newest.generation == next.generation {
        if newest.seq == next.seq && newest.attempt == next.attempt {
            return Step::AlreadyApplied;
        }
        newest.seq.checked_add(1) == Some(next.seq) && newest.hi == next.lo
    } else {
        newest.generation < next.generation && next.seq == 1
    };
    if extends { Step::Extends } else { Step::Conflict }
}

/// Makes the schema and its table of commits, where they are not there yet. In a transaction of its own.
pub(crate) async fn ensure(session: &mut Session, name: &TableName, place: &Place) -> Result<(), Trouble> {
    if place.has_commits {
        return Ok(());
    }
    let schema = if place.has_schema { String::new() } else { format!("CREATE SCHEMA IF NOT EXISTS {};", quote(&name.schema)) };
    let commits = name.commits();
    let sql = format!(
        "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock({}); {schema} \
         CREATE TABLE IF NOT EXISTS {commits} (target text COLLATE \"C\" NOT NULL, stream text COLLATE \"C\" NOT NULL, generation bigint NOT NULL, seq bigint NOT NULL, \
         epoch bigint NOT NULL, attempt text NOT NULL, lo text NOT NULL, hi text NOT NULL, rows bigint NOT NULL, relation oid NOT NULL, table_rows bigint NOT NULL, run_id text NOT NULL, \
         committed_at timestamptz NOT NULL, PRIMARY KEY (target, stream)); \
         COMMENT ON TABLE {commits} IS 'Where each stream of Karat stands in the tables of this schema. Rows here and rows there change together; do not edit.'; COMMIT",
        name.schema_lock_key()
    );
    if let Err(error) = session.execute(&sql).await {
        // A connection that is gone needs no rollback.
        let _gone = session.execute("ROLLBACK").await;
        return Err(error.into());
    }
    Ok(())
}

/// What is known of a target whose table has the number `oid`: what was said of a table that stood there before is no longer true.
///
/// The caller holds the target's lock when it will act on it.
pub(crate) async fn read(session: &mut Session, name: &TableName, oid: u32, stream: &StreamId) -> Result<Known, Trouble> {
    let (target, stream_text) = (name.key()?, literal(stream.as_str())?);
    let sql = format!(
        "SELECT stream = {stream_text}, generation, seq, epoch, attempt, lo, hi, rows, table_rows FROM {} WHERE target = {target} AND relation = {oid} ORDER BY stream = {stream_text}",
        name.commits()
    );
    let mut known = Known::default();
    for row in session.rows(&sql).await? {
        let rows = row.number(8).and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0);
        known.table_rows = Some(known.table_rows.unwrap_or(0) + rows);
        if row.is_true(0) {
            known.record = Some(record(&row, stream).ok_or_else(|| damaged(name, stream))?);
        }
    }
    Ok(known)
}

fn record(row: &TextRow, stream: &StreamId) -> Option<CommitRecord> {
    let number = |at| row.number(at).and_then(|number| u64::try_from(number).ok());
    Some(CommitRecord {
        stream: stream.clone(),
        generation: Generation(number(1)?),
        seq: number(2)?,
        epoch: number(3)?,
        attempt: row.text(4)?.to_owned(),
        lo: Position::decode(row.text(5)?).ok()?,
        hi: Position::decode(row.text(6)?).ok()?,
        rows: number(7)?,
    })
}

fn damaged(name: &TableName, stream: &StreamId) -> ConnectorError {
    ConnectorError::new(ErrorKind::Corrupt, format!("the record of `{stream}` in {} is not one: somebody edited it, or a newer version wrote it", name.commits()))
        .with_help("restore the row from a backup, use the version that wrote it, or load the table anew with `--full-refresh`")
}

/// Moves the record of a stream on, if the newest is still the one that was read under the lock.
pub(crate) async fn advance(session: &mut Session, name: &TableName, request: &CommitRequest) -> Result<(), Trouble> {
    let record = &request.record;
    let signed = |number: u64| i64::try_from(number).map_err(|_| ConnectorError::new(ErrorKind::Bug, "a number of a commit does not fit in 63 bits"));
    let (target, stream) = (name.key()?, literal(record.stream.as_str())?);
    let (generation, seq) = (signed(record.generation.0)?, signed(record.seq)?);
    let commits = name.commits();
    let expected = if record.seq == 1 { format!("c.generation < {generation}") } else { format!("c.generation = {generation} AND c.seq = {seq} - 1") };
    let sql = format!(
        "INSERT INTO {commits} AS c (target, stream, generation, seq, epoch, attempt, lo, hi, rows, relation, table_rows, run_id, committed_at) \
         VALUES ({target}, {stream}, {generation}, {seq}, {}, {}, {}, {}, {}, 0, 0, {}, pg_catalog.clock_timestamp()) \
         ON CONFLICT (target, stream) DO UPDATE SET generation = EXCLUDED.generation, seq = EXCLUDED.seq, epoch = EXCLUDED.epoch, attempt = EXCLUDED.attempt, lo = EXCLUDED.lo, \
         hi = EXCLUDED.hi, rows = EXCLUDED.rows, run_id = EXCLUDED.run_id, committed_at = EXCLUDED.committed_at WHERE {expected} RETURNING seq",
        signed(record.epoch)?,
        literal(&record.attempt)?,
        literal(&record.lo.encode())?,
        literal(&record.hi.encode())?,
        signed(record.rows)?,
        literal(&request.run_id)?,
    );
    if session.rows(&sql).await?.len() == 1 {
        return Ok(());
    }
    // The lock makes this impossible, unless somebody edits the table by hand.
    Err(conflict(name, request, None).into())
}

/// Notes which table holds the rows of a commit, and how many it holds.
pub(crate) async fn count(session: &mut Session, name: &TableName, stream: &StreamId, oid: u32, change: RowCount) -> Result<(), Trouble> {
    let (target, stream, commits) = (name.key()?, literal(stream.as_str())?, name.commits());
    let sql = match change {
        RowCount::Add(rows) => format!("UPDATE {commits} SET relation = {oid}, table_rows = greatest(table_rows + {rows}, 0) WHERE target = {target} AND stream = {stream}"),
        RowCount::Set(rows) => format!("UPDATE {commits} SET relation = {oid}, table_rows = CASE WHEN stream = {stream} THEN {rows} ELSE 0 END WHERE target = {target}"),
    };
    Ok(session.execute(&sql).await?)
}

/// How the rows of a target change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowCount {
    Add(i64),
    /// The table holds nothing else any more.
    Set(u64),
}

/// Forgets what streams wrote into tables that stood at this name before the one with the number `oid`, if there is one.
pub(crate) async fn forget_others(session: &mut Session, name: &TableName, oid: u32) -> Result<(), Trouble> {
    Ok(session.execute(&format!("DELETE FROM {} WHERE target = {} AND relation <> {oid}", name.commits(), name.key()?)).await?)
}

/// Somebody else came first.
pub(crate) fn conflict(name: &TableName, request: &CommitRequest, newest: Option<&CommitRecord>) -> ConnectorError {
    let found = newest.map_or_else(|| "nothing was committed".to_owned(), |newest| format!("the newest is batch {} at {}", newest.seq, newest.hi));
    let (seq, lo) = request.expects();
    ConnectorError::new(ErrorKind::Conflict, format!("{}: batch {} was built on batch {seq} at {lo}, but {found}", name.label(), request.record.seq))
        .with_help("another run of this pipeline wrote to the table; run again")
}
