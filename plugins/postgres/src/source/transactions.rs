//! Which transactions are in progress: what decides that nothing can appear below a watermark any more.
//!
//! A transaction is listed by its virtual number from its first statement until its rows are visible, whether it has written yet or not; so a session
//! that has drawn an id or `now()` and waits is listed, too. A prepared transaction has lost that number: while there is one, nothing is settled.
//! Not listed are sessions that cannot draw a value for this table: our own readers, autovacuum, and other databases.

use super::snapshot::{Taken, numbers};
use crate::client::{Client, READER_NAME, Session};
use crate::error::wrap;
use karat_plugin_api::{ConnectorError, CursorValue, Unsettled};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// `now()` is the time at which a statement arrived, a moment before its transaction is listed. This is far longer than any such moment.
const ARRIVAL_GAP: Duration = Duration::from_millis(100);

/// What marks the entry that remembers a snapshot among the open transactions.
const SNAPSHOT: &str = "snapshot ";
const PREPARED: &str = "prepared ";

/// The transactions in progress at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InProgress {
    names: BTreeSet<String>,
}

impl InProgress {
    /// True when there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// True when one of `earlier` may still be in progress. A prepared transaction may be any of them under another name.
    pub(crate) fn may_include<'a>(&self, earlier: impl IntoIterator<Item = &'a String>) -> bool {
        self.names.iter().any(|name| name.starts_with(PREPARED)) || earlier.into_iter().any(|name| self.names.contains(name))
    }

    /// The names.
    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }
}

/// A connection of its own that lists transactions, opened when it is first needed.
pub(crate) struct Transactions {
    client: Arc<Client>,
    session: Option<Session>,
}

impl Transactions {
    /// No connection yet.
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        Self { client: Arc::clone(client), session: None }
    }

    /// Keeps the connection for others.
    pub(crate) fn end(self) {
        if let Some(session) = self.session {
            self.client.put_back(session);
        }
    }

    async fn session(&mut self) -> Result<&mut Session, ConnectorError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.client.session().await?,
        };
        Ok(self.session.insert(session))
    }

    /// The transactions in progress now.
    pub(crate) async fn list(&mut self) -> Result<InProgress, ConnectorError> {
        // Two statements in this order: a transaction that is being prepared meanwhile is found at least once.
        let sql = format!(
            "SELECT l.virtualxid FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid() \
             AND a.application_name IS DISTINCT FROM '{READER_NAME}' AND a.backend_type IS DISTINCT FROM 'autovacuum worker' \
             AND (a.datname IS NULL OR a.datname = pg_catalog.current_database()); \
             SELECT '{PREPARED}' || gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()"
        );
        let rows = self.session().await?.rows(&sql).await.map_err(|error| wrap("list the transactions in progress", error))?;
        Ok(InProgress { names: rows.iter().filter_map(|row| row.text(0).map(str::to_owned)).collect() })
    }

    /// The earliest `now()`, in microseconds since 1970, that somebody may still write whose rows a snapshot taken after this does not show. `None`
    /// while there is a prepared transaction, of which nobody knows when it began. What other roles do shows only to members of `pg_read_all_stats`.
    pub(crate) async fn earliest_now(&mut self) -> Result<Option<i64>, ConnectorError> {
        let sql = format!(
            "SELECT (extract(epoch FROM least(pg_catalog.clock_timestamp(), min(a.xact_start)) - interval '{} ms') * 1000000)::int8 FROM pg_catalog.pg_stat_activity a \
             WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.application_name IS DISTINCT FROM '{READER_NAME}' AND a.backend_type IS DISTINCT FROM 'autovacuum worker' \
             AND (a.datname IS NULL OR a.datname = pg_catalog.current_database()); \
             SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()",
            ARRIVAL_GAP.as_millis()
        );
        let rows = self.session().await?.rows(&sql).await.map_err(|error| wrap("list the transactions in progress", error))?;
        Ok(match rows.as_slice() {
            [earliest] => earliest.number(0),
            _ => None,
        })
    }

    /// As [`Transactions::list`], long enough after `snapshot` that no statement that arrived before it is missing.
    pub(crate) async fn list_after(&mut self, snapshot: &Taken, is_instant: bool) -> Result<InProgress, ConnectorError> {
        if is_instant {
            tokio::time::sleep(ARRIVAL_GAP.saturating_sub(snapshot.at.elapsed())).await;
        }
        self.list().await
    }

    /// True when it is proven that nothing was in progress when the snapshot was taken, so that nothing can appear below what it shows:
    /// no transaction had a number then, none is open now, and none has got a number in between.
    pub(crate) async fn prove_quiet(&mut self, snapshot: &Taken, is_instant: bool) -> Result<bool, ConnectorError> {
        let (first_in_progress, next) = snapshot.transactions;
        if first_in_progress != next || !self.list_after(snapshot, is_instant).await?.is_empty() {
            return Ok(false);
        }
        let rows = self.session().await?.rows("SELECT pg_catalog.txid_current_snapshot()").await.map_err(|error| wrap("list the transactions in progress", error))?;
        Ok(rows.first().and_then(|row| numbers(row.text(0)?)).is_some_and(|(_, now)| now == next))
    }

    /// What a position remembers when nothing above `low` is settled.
    pub(crate) async fn unsettled(&mut self, low: &[CursorValue], taken: &Taken, is_instant: bool) -> Result<Unsettled, ConnectorError> {
        let mut open: Vec<String> = self.list_after(taken, is_instant).await?.names.into_iter().collect();
        open.push(format!("{SNAPSHOT}{}", taken.transactions.0));
        open.sort();
        Ok(Unsettled { low: low.to_vec(), open })
    }
}

/// The least transaction number that a position's snapshot could not see, if it remembers one.
pub(crate) fn first_unseen(unsettled: &Unsettled) -> Option<u64> {
    unsettled.open.iter().find_map(|name| name.strip_prefix(SNAPSHOT)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> InProgress {
        InProgress { names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn a_position_settles_when_none_of_its_transactions_is_left() {
        let open: Vec<String> = ["3/17", "4/2", "snapshot 900"].map(str::to_owned).to_vec();
        assert!(list(&["3/17"]).may_include(&open));
        assert!(!list(&["3/18", "5/1"]).may_include(&open));
        assert!(list(&["prepared x"]).may_include(&open), "it may have been 4/2");
        assert_eq!(first_unseen(&Unsettled { low: Vec::new(), open }), Some(900));
    }
}
