//! One consistent view of a table: a transaction that only reads.

use super::describe::{Described, describe, lockable};
use crate::client::{Client, Session};
use crate::error::wrap;
use karat_plugin_api::{ConnectorError, ErrorKind, SourceObject};
use karat_spec::model::NullCursor;
use std::time::Instant;

/// A transaction whose every statement sees the same rows.
pub(crate) struct Snapshot {
    pub(crate) session: Session,
    pub(crate) described: Described,
    /// When it was taken.
    pub(crate) taken: Taken,
    /// The server's clock, microseconds since 1970.
    pub(crate) now: i64,
    /// True on a standby, which does not know what is in progress on its primary.
    pub(crate) is_standby: bool,
}

/// The moment of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// By our clock.
    pub(crate) at: Instant,
    /// The least transaction number that was in progress, and the first that was not assigned yet.
    pub(crate) transactions: (u64, u64),
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

impl Snapshot {
    /// Takes a snapshot, and looks `object` up in it.
    pub(crate) async fn take(client: &Client, object: &SourceObject) -> Result<Self, ConnectorError> {
        let mut session = client.session().await?;
        // TRUNCATE and rewrites do not care for snapshots, so the lock comes first.
        let begin = match lockable(&mut session, object).await? {
            Some(table) => format!("{BEGIN}; LOCK TABLE {table} IN ACCESS SHARE MODE"),
            None => BEGIN.to_owned(),
        };
        let action = "take a snapshot";
        session.execute(&begin).await.map_err(|error| wrap(action, error))?;
        let rows = session
            .rows("SELECT pg_catalog.txid_current_snapshot(), (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8, pg_catalog.pg_is_in_recovery()")
            .await
            .map_err(|error| wrap(action, error))?;
        let at = Instant::now();
        let row = rows.first();
        let described = describe(&mut session, client.label(), object).await?;
        Ok(Self {
            session,
            described,
            taken: Taken { at, transactions: row.and_then(|row| numbers(row.text(0)?)).unwrap_or((0, u64::MAX)) },
            now: row.and_then(|row| row.number(1)).unwrap_or(i64::MAX),
            is_standby: row.is_some_and(|row| row.is_true(2)),
        })
    }

    /// Ends the transaction, and keeps the connection.
    pub(crate) async fn end(mut self, client: &Client) -> Result<(), ConnectorError> {
        self.session.execute("COMMIT").await.map_err(|error| wrap("end a snapshot", error))?;
        client.put_back(self.session);
        Ok(())
    }

    /// A name under which other sessions can take the same snapshot while this one lives.
    pub(crate) async fn export(&mut self) -> Result<String, ConnectorError> {
        let rows = self.session.rows("SELECT pg_catalog.pg_export_snapshot()").await.map_err(|error| wrap("share a snapshot", error))?;
        Ok(rows.first().and_then(|row| row.text(0)).unwrap_or_default().to_owned())
    }

    /// True or false, as one expression says.
    pub(crate) async fn holds(&mut self, expression: &str) -> Result<bool, ConnectorError> {
        let rows = self.session.rows(&format!("SELECT {expression}")).await.map_err(|error| wrap(&format!("read {}", self.described.label), error))?;
        Ok(rows.first().is_some_and(|row| row.is_true(0)))
    }

    /// True when there are rows whose `cursor`, in SQL, is NULL, and they are wanted.
    pub(crate) async fn null_rows(&mut self, cursor: &str, null_cursor: NullCursor) -> Result<bool, ConnectorError> {
        let from = format!("FROM {} WHERE {cursor} IS NULL", self.described.from);
        let found = self.holds(&format!("EXISTS (SELECT 1 {from})")).await?;
        if found && null_cursor == NullCursor::Error {
            let rows = self.number(&format!("count(*) {from}")).await?.unwrap_or(1);
            let help = "choose a cursor that is never NULL, combine columns in `cursor_sql` (`COALESCE(updated_at, created_at)`), or set `null_cursor: always_reread`";
            return Err(ConnectorError::new(ErrorKind::BadData, format!("{rows} rows of {} have no cursor value", self.described.label)).with_help(help));
        }
        Ok(found)
    }

    /// One number, as one expression says; `None` for NULL.
    pub(crate) async fn number(&mut self, expression: &str) -> Result<Option<i64>, ConnectorError> {
        let rows = self.session.rows(&format!("SELECT {expression}")).await.map_err(|error| wrap(&format!("read {}", self.described.label), error))?;
        Ok(rows.first().and_then(|row| row.number(0)))
    }
}

/// Joins an exported snapshot.
pub(crate) async fn join(session: &mut Session, exported: &str) -> Result<(), ConnectorError> {
    let name = crate::spelling::literal(exported)?;
    session.execute(&format!("{BEGIN}; SET TRANSACTION SNAPSHOT {name}")).await.map_err(|error| wrap("share a snapshot", error))
}

/// `xmin` and `xmax` of `xmin:xmax:list`.
pub(crate) fn numbers(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
