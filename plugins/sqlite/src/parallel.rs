//! All rows of a table by several readers at once.
//!
//! The rowids, from the least to the greatest that SQLite can store, are handed out in ranges from below. A range ends at its
//! [`CLAIMED_ROWS`]th row, which is looked up in the table, so that ranges are equally much work however the numbers are spread. It starts right
//! after the one before it, so that ranges neither overlap nor leave something out; and each contains a row, so that they come to an end.

use crate::brake::Brake;
use crate::describe::Described;
use crate::reader::{Halt, Out, Query, select_list};
use crate::snapshot::Session;
use arrow::array::RecordBatch;
use karat_plugin_api::cells::Batcher;
use karat_plugin_api::{ConnectorError, ErrorKind, Position, ReadRequest};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};
use std::sync::{Mutex, PoisonError};

/// Rows that a reader takes at a time. Their pages should fit into the cache of its connection, because it visits them twice.
const CLAIMED_ROWS: u32 = 16_384;

/// With fewer rows than this one reader is done before others have started.
const WORTHWHILE_ROWS: u32 = 100_000;

/// True for tables whose rows can be told apart by number.
pub(crate) fn can_split(described: &Described) -> bool {
    described.rowid_name().is_some()
}

/// True when several readers are faster than one.
pub(crate) fn is_worth_it(connection: &Connection, described: &Described) -> rusqlite::Result<bool> {
    let Some(rowid) = described.rowid_name() else { return Ok(false) };
    let sql = format!("SELECT {rowid} FROM {} NOT INDEXED LIMIT 1 OFFSET ?1", described.from);
    Ok(connection.query_row(&sql, [WORTHWHILE_ROWS - 1], |_| Ok(())).optional()?.is_some())
}

/// Reads the whole table; all sessions see the same snapshot.
pub(crate) fn read_all(sessions: Vec<Session>, request: &ReadRequest, out: &mut Out, brake: &Brake) -> Result<(), Halt> {
    let shared = Shared { request, brake, unclaimed: Mutex::new(Some(i64::MIN)), out: Mutex::new(out), rest: Mutex::new(Vec::new()), failure: Mutex::new(None) };
    let is_whole = std::thread::scope(|scope| -> Result<bool, ConnectorError> {
        let mut readers = Vec::new();
        let mut unstarted = None;
        for session in sessions {
            let shared = &shared;
            match std::thread::Builder::new().name("sqlite-read".into()).spawn_scoped(scope, move || shared.work(&session)) {
                Ok(reader) => readers.push(reader),
                Err(error) => {
                    brake.pull();
                    unstarted = Some(ConnectorError::new(ErrorKind::OutOfMemory, "cannot start a thread that reads the database").with_source(error));
                }
            }
        }
        // No `all`, which would leave threads unjoined and their panics to the scope.
        let joined: Vec<bool> = readers.into_iter().map(|reader| reader.join().is_ok()).collect();
        match unstarted {
            Some(error) => Err(error),
            None => Ok(joined.into_iter().all(|is_joined| is_joined)),
        }
    })?;
    if !is_whole {
        return Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, "the thread that reads the database ended without saying why")));
    }
    if let Some(halt) = shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(halt);
    }
    let rest = std::mem::take(&mut *shared.rest.lock().unwrap_or_else(PoisonError::into_inner));
    rest.into_iter().try_for_each(|batch| shared.send(batch))?;
    let out = shared.out.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rows = out.rows;
    out.end(Position::Snapshot { rows, digest: None }, 0, 0)
}

struct Shared<'a> {
    request: &'a ReadRequest,
    brake: &'a Brake,
    /// The least rowid that nobody took; `None` when all are taken.
    unclaimed: Mutex<Option<i64>>,
    out: Mutex<&'a mut Out>,
    /// The last rows of each reader, too few for a batch. They are sent after all others, which would have to be cut behind them.
    rest: Mutex<Vec<RecordBatch>>,
    /// Why the first reader stopped that did not come to its end; others stop because of it.
    failure: Mutex<Option<Halt>>,
}

/// Rowids from the first to the second, both included.
type Range = (i64, i64);

impl Shared<'_> {
    fn work(&self, session: &Session) {
        let stop = StopOthers(self.brake);
        match self.read(session) {
            Ok(()) => std::mem::forget(stop),
            Err(halt) => {
                // Before the others are stopped, so that what they die of is not taken for the reason.
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(halt);
            }
        }
    }

    /// Reads ranges until none is left.
    fn read(&self, session: &Session) -> Result<(), Halt> {
        let request = self.request;
        let described = &session.described;
        let Some(rowid) = described.rowid_name() else {
            return Err(Halt::Failed(ConnectorError::new(ErrorKind::Bug, format!("{} cannot be split", described.label))));
        };
        let mut batcher = Batcher::new(&described.label, &request.columns, request.batch_rows, request.batch_bytes)?;
        let select = select_list(request);
        // Without the hint SQLite might walk an index, whose order is another.
        let from = format!("FROM {} NOT INDEXED WHERE {rowid} BETWEEN ?1 AND ?2", described.from);
        while let Some((first, last)) = self.claim(session, rowid)? {
            let query = Query { select: select.clone(), from: from.clone(), values: vec![Value::Integer(first), Value::Integer(last)] };
            session.scan(&query, &mut batcher, |batcher, _| if batcher.is_full() { self.flush(batcher) } else { Ok(()) })?;
        }
        if let Some(batch) = batcher.take()? {
            self.rest.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        }
        Ok(())
    }

    fn claim(&self, session: &Session, rowid: &str) -> Result<Option<Range>, Halt> {
        self.brake.check()?;
        let mut unclaimed = self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = *unclaimed else { return Ok(None) };
        let sql = format!("SELECT {rowid} FROM {} NOT INDEXED WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT 1 OFFSET ?2", session.described.from);
        let mut statement = session.connection.prepare(&sql).map_err(|error| session.failed(error))?;
        let found: Option<i64> = statement.query_row((first, CLAIMED_ROWS - 1), |row| row.get(0)).optional().map_err(|error| session.failed(error))?;
        let last = found.unwrap_or(i64::MAX);
        *unclaimed = last.checked_add(1);
        Ok(Some((first, last)))
    }

    fn flush(&self, batcher: &mut Batcher) -> Result<(), Halt> {
        batcher.take()?.map_or(Ok(()), |batch| self.send(batch))
    }

    /// Batches of several readers meet here, so here they are cut where files may close.
    fn send(&self, batch: RecordBatch) -> Result<(), Halt> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for part in cut(batch, out.rows, self.request.batch_rows.max(1)) {
            out.rows(part, None)?;
        }
        Ok(())
    }
}

/// Cuts a batch where the count of all rows reaches a multiple of `batch_rows`; no rows are copied.
fn cut(batch: RecordBatch, rows_before: u64, batch_rows: usize) -> Vec<RecordBatch> {
    let used = usize::try_from(rows_before % batch_rows as u64).unwrap_or(0);
    let room = batch_rows - used;
    if batch.num_rows() <= room {
        return vec![batch];
    }
    // The batch itself has `batch_rows` rows at most.
    vec![batch.slice(0, room), batch.slice(room, batch.num_rows() - room)]
}

/// Stops all readers when dropped, which a panic does, too.
struct StopOthers<'a>(&'a Brake);

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        self.0.pull();
    }
}
