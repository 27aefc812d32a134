//! Read transactions on one snapshot: one, or several that provably see the same commit.
//!
//! SQLite has no way to hand a snapshot to another connection that works for a read-only database in every journal mode, so several
//! transactions are begun one after the other, and it is proven afterwards that nothing was committed in between. The proof is
//! `PRAGMA data_version` (<https://www.sqlite.org/pragma.html#pragma_data_version>): two calls on one connection give different numbers if
//! another connection, of whatever process, committed between them. So with a witness connection that is in no transaction itself:
//!
//! 1. the witness reads its number,
//! 2. each reader begins a transaction and reads, which fixes what it sees (<https://www.sqlite.org/isolation.html>),
//! 3. the witness reads its number again.
//!
//! Equal numbers mean that no commit lies between 1 and 3, and so none between any two readers. Different numbers prove nothing, so the readers
//! let go and try again. All connections are opened beforehand, which makes the time between 1 and 3 a fraction of a millisecond.
//!
//! In the rollback journal modes a writer that waits for the first reader to finish keeps the others out: they let go together, too, so that the
//! writer can commit. When nothing helps, one reader does the work alone.

use crate::brake::Brake;
use crate::client;
use crate::describe::{Described, describe};
use crate::error::wrap;
use crate::parallel;
use crate::reader::Halt;
use karat_plugin_api::{ConnectorError, ErrorKind, ReadRequest, ReadStrategy};
use rusqlite::{Connection, ErrorCode};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pauses between attempts to begin together.
const PAUSES: [Duration; 5] = [Duration::from_millis(1), Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(60), Duration::from_millis(150)];

/// How long further readers and the witness wait for a lock. Whoever keeps them out may be waiting for the first reader.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// More readers than this only get in each other's way.
const MOST_READERS: usize = 32;

/// A database in one read transaction.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) described: Described,
}

/// Opens the readers of a request, all on one snapshot: as many as it asks for and the table is worth, and at least one.
pub(crate) fn open(path: &Path, request: &ReadRequest, brake: &Brake) -> Result<Vec<Session>, Halt> {
    let wanted = if request.strategy == ReadStrategy::Full { request.parallel.clamp(1, MOST_READERS) } else { 1 };
    let before = std::fs::metadata(path).ok();
    let first = connect(path, brake)?;
    begin(&first).map_err(|error| wrap("begin reading", path, error))?;
    let described = describe(&first, path, &request.object)?;
    let alone = |connection, described| Ok(vec![Session { connection, path: path.to_owned(), described }]);
    if wanted == 1 || !parallel::is_worth_it(&first, &described).map_err(|error| wrap("estimate the table", path, error))? {
        return alone(first, described);
    }
    release(&first).map_err(|error| wrap("begin reading", path, error))?;
    let mut connections = vec![first];
    let together = add_readers(path, wanted, brake, &mut connections).and_then(|witness| {
        if !is_same_file(before.as_ref(), std::fs::metadata(path).ok().as_ref()) {
            return Ok(false);
        }
        begin_together(&witness, &connections, path, brake)
    });
    let together = match together {
        Err(Halt::Failed(error)) if error.kind() == ErrorKind::Busy => false,
        other => other?,
    };
    if !together {
        tracing::info!(table = %described.label, "the database is being written to so often that no two readers see the same rows; one reader reads it");
        connections.truncate(1);
        for connection in &connections {
            release(connection).and_then(|()| begin(connection)).map_err(|error| wrap("begin reading", path, error))?;
        }
    }
    // The first look was in another transaction, and the catalogue may have changed since.
    let mut sessions = Vec::new();
    for connection in connections {
        let described = describe(&connection, path, &request.object)?;
        sessions.push(Session { connection, path: path.to_owned(), described });
    }
    if sessions.iter().any(|session| !parallel::can_split(&session.described)) {
        sessions.truncate(1);
    }
    Ok(sessions)
}

fn connect(path: &Path, brake: &Brake) -> Result<Connection, Halt> {
    let connection = client::open(path)?;
    brake.engage(&connection)?;
    Ok(connection)
}

/// Opens the other readers; returns the witness.
fn add_readers(path: &Path, wanted: usize, brake: &Brake, connections: &mut Vec<Connection>) -> Result<Connection, Halt> {
    let quick = || -> Result<Connection, Halt> {
        let connection = connect(path, brake)?;
        connection.busy_timeout(SHORT_WAIT).map_err(|error| wrap("begin reading", path, error))?;
        Ok(connection)
    };
    while connections.len() < wanted {
        connections.push(quick()?);
    }
    quick()
}

/// True when all connections are in transactions that see the same commit.
fn begin_together(witness: &Connection, connections: &[Connection], path: &Path, brake: &Brake) -> Result<bool, Halt> {
    for pause in PAUSES {
        brake.check()?;
        match attempt(witness, connections) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {}
            Err(error) => return Err(Halt::Failed(wrap("begin reading", path, error))),
        }
        for connection in connections {
            release(connection).map_err(|error| wrap("begin reading", path, error))?;
        }
        std::thread::sleep(pause);
    }
    Ok(false)
}

fn attempt(witness: &Connection, connections: &[Connection]) -> rusqlite::Result<bool> {
    let before = data_version(witness)?;
    connections.iter().try_for_each(begin)?;
    Ok(data_version(witness)? == before)
}

fn data_version(witness: &Connection) -> rusqlite::Result<i64> {
    witness.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Begins a transaction and reads: SQLite fixes the snapshot with the first read, not with BEGIN.
fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

fn release(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

/// A database that another file replaces while it is opened would be two databases to its readers.
#[cfg(unix)]
fn is_same_file(before: Option<&Metadata>, after: Option<&Metadata>) -> bool {
    use std::os::unix::fs::MetadataExt;
    matches!((before, after), (Some(before), Some(after)) if (before.dev(), before.ino()) == (after.dev(), after.ino()))
}

/// Elsewhere an open file cannot be replaced.
#[cfg(not(unix))]
fn is_same_file(_before: Option<&Metadata>, _after: Option<&Metadata>) -> bool {
    true
}

impl Session {
    /// An error of SQLite while reading this object.
    pub(crate) fn failed(&self, error: rusqlite::Error) -> ConnectorError {
        wrap(&format!("read {}", self.described.label), &self.path, error)
    }
}
