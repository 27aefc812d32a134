//! The final transaction: entered under the target's lock, tried again when the server gave it up, and never guessed about.

use super::name::TableName;
use super::relation::Trouble;
use crate::client::Session;
use crate::error::state;
use karat_plugin_api::{ConnectorError, ErrorKind};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Tries of one transaction.
pub(crate) const TRIES: u32 = 8;

/// The longest pause before the second try; doubles with each further one.
const BASE: Duration = Duration::from_millis(40);

/// The longest pause of all.
const CAP: Duration = Duration::from_secs(2);

/// How long a commit waits for another commit to the same table, and how long for anybody else's lock on it.
const WAITS: [&str; 2] = ["60s", "10s"];

/// How a transaction begins: on its own, or inside of the one that built a new table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    Own,
    InBuild,
}

/// Begins, and takes the target's lock: whoever holds it has either committed or not when the next one gets it.
///
/// A commit that is to be durable does not run with `synchronous_commit` off, whatever a role has set.
pub(crate) async fn enter(session: &mut Session, name: &TableName, frame: Frame) -> Result<(), Trouble> {
    let begin = match frame {
        Frame::Own => "BEGIN",
        Frame::InBuild => "SAVEPOINT karat_commit",
    };
    let [for_us, for_others] = WAITS;
    let sql = format!(
        "{begin}; SET LOCAL lock_timeout = '{for_us}'; SELECT pg_catalog.pg_advisory_xact_lock({}); SET LOCAL lock_timeout = '{for_others}'; \
         SELECT pg_catalog.set_config('synchronous_commit', 'on', true) WHERE pg_catalog.current_setting('synchronous_commit') = 'off'",
        name.lock_key()
    );
    Ok(session.execute(&sql).await?)
}

/// Undoes everything since [`enter`].
pub(crate) async fn undo(session: &mut Session, frame: Frame) -> Result<(), sqlx::Error> {
    session
        .execute(match frame {
            Frame::Own => "ROLLBACK",
            Frame::InBuild => "ROLLBACK TO SAVEPOINT karat_commit; RELEASE SAVEPOINT karat_commit",
        })
        .await
}

/// Commits. Only an answer of the server counts: when the connection ends first, nobody knows.
pub(crate) async fn commit(session: &mut Session, name: &TableName) -> Result<(), Trouble> {
    match session.execute("COMMIT").await {
        Ok(()) => Ok(()),
        Err(error) if is_decided(&error) => Err(error.into()),
        Err(error) => Err(ConnectorError::new(ErrorKind::UnknownOutcome, format!("the connection ended while {} was committed: the server may have done it", name.label()))
            .with_source(error)
            .into()),
    }
}

/// True when the server says that the transaction failed, and lives on. A server that ends the session may have committed before.
fn is_decided(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    database.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| matches!(error.severity(), PgSeverity::Error))
}

/// True when the same transaction may succeed a moment later: serialization, deadlock, lock not available.
pub(crate) fn may_be_tried_again(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Server(error) => matches!(state(error), Some("40001" | "40P01" | "55P03")),
        Trouble::Told(_) => false,
    }
}

/// True when two transactions waited for each other, and this one was given up.
pub(crate) fn is_deadlock(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Server(error) if state(error) == Some("40P01"))
}

/// The pause after `failures` failures, with full jitter: writers that failed together do not come back together.
pub(crate) async fn pause(failures: u32) {
    let bound = BASE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(CAP);
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX).max(1);
    // The standard library seeds every `RandomState` anew.
    tokio::time::sleep(Duration::from_nanos(RandomState::new().build_hasher().finish() % nanos)).await;
}
