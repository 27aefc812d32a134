//! The right of one run to write this state.
//!
//! An operating-system lock on `<state>.lock` ends with its process, however that dies; the lease row's epoch fences a paused owner:
//! every write is made only while the row still holds the writer's epoch (COMMIT P5). In PostgreSQL the lock is an advisory one of a session (P6).

use crate::StateError;
use rustix::fs::{FlockOperation, flock};
use sqlx::PgConnection;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;

/// Held from [`crate::StateStore::acquire`] until released or dropped.
#[derive(Debug)]
pub struct Lease {
    /// Counts leases of this state, from 1.
    pub epoch: u64,
    pub(crate) hold: Hold,
}

/// What ends with its process.
#[derive(Debug)]
pub(crate) enum Hold {
    /// The locked file beside a state file.
    File(#[expect(dead_code, reason = "held, not read: closing it gives the lock back")] File),
    /// The session that holds the advisory lock, and the only one that writes: whoever lost it writes nothing more.
    Session(Mutex<PgConnection>),
}

/// The lock file, locked; `None` when another process holds it.
pub(crate) fn try_lock(state: &Path) -> Result<Option<File>, StateError> {
    let path = lock_path(state);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(|source| StateError::Io {
        action: "open lock file",
        path: path.clone(),
        source,
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(StateError::Io { action: "lock", path, source: error.into() }),
    }
}

fn lock_path(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
