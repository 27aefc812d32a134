//! A new generation becomes live by one `RENAME TABLE`: the only step that readers see, atomic at the server.
//!
//! MySQL cannot rename inside a transaction, so the rename and its record are two steps. The record is written first, as pending, and holds once the
//! live table carries the pending record's marker in its comment. Whoever finds a pending record decides it: it drops the waiting table, after which
//! a rename that is still on its way can only fail, and then looks at the live table's comment. A named lock keeps two of them from deciding at once;
//! correctness does not rest on it.

use crate::client::literal;
use crate::sink::ledger::{Entry, Ledger, Pending, Row};
use crate::sink::live::{LiveTable, TableName};
use crate::sink::session::{Session, code_of, is_lost};
use karat_plugin_api::{ConnectorError, ErrorKind};

/// How long a swap waits for another one of the same table.
const LOCK_SECONDS: u32 = 30;

/// Names of tables that are not live: which load they belong to, and under which lease.
#[derive(Debug, Clone)]
pub(crate) struct Spares {
    target: TableName,
    owner: String,
}

impl Spares {
    /// The tables beside `target` that loads of this stream make.
    pub(crate) fn new(target: &TableName, stream: &str) -> Self {
        Self { target: target.clone(), owner: hash(&[&target.table, stream]) }
    }

    /// The table that an attempt fills.
    pub(crate) fn shadow(&self, epoch: u64, attempt: &str) -> TableName {
        self.target.sibling(&format!("karat_new_{}_{epoch}_{}", self.owner, hash(&[attempt])))
    }

    /// The table that was live before.
    pub(crate) fn former(&self, epoch: u64, attempt: &str) -> TableName {
        self.target.sibling(&format!("karat_old_{}_{epoch}_{}", self.owner, hash(&[attempt])))
    }

    /// Drops what loads under earlier leases left behind, and what nobody can still be working on.
    ///
    /// A load that lost its lease and still writes then fails, as it should: its rows are only in the table that is dropped.
    pub(crate) async fn sweep(&self, session: &mut Session, epoch: u64) -> Result<(), ConnectorError> {
        let action = "look for tables that earlier loads left behind";
        let sql = format!(
            "SELECT TABLE_NAME, COALESCE(CREATE_TIME < NOW() - INTERVAL 1 DAY, 0) FROM information_schema.TABLES WHERE {} AND (TABLE_NAME LIKE {} OR TABLE_NAME LIKE {})",
            self.target.in_schema(),
            literal(&format!("karat\\_new\\_{}\\_%", self.owner)),
            literal(&format!("karat\\_old\\_{}\\_%", self.owner)),
        );
        for (table, is_old) in session.rows::<(String, u8)>(action, &sql).await? {
            let of_epoch = table.split('_').nth(3).and_then(|part| part.parse::<u64>().ok());
            if of_epoch.is_some_and(|found| found < epoch) || is_old == 1 {
                drop_table(session, &self.target.sibling(&table)).await?;
            }
        }
        Ok(())
    }

    fn lock_name(&self) -> String {
        format!("karat:{}", self.owner)
    }
}

fn hash(parts: &[&str]) -> String {
    format!("{:012x}", xxhash_rust::xxh3::xxh3_64(parts.join("\0").as_bytes()) & 0xffff_ffff_ffff)
}

/// Drops a table that is not live.
pub(crate) async fn drop_table(session: &mut Session, table: &TableName) -> Result<(), ConnectorError> {
    session.define(&format!("drop table `{table}`"), &format!("DROP TABLE IF EXISTS {}", table.sql())).await
}

/// Takes the named lock of a table's swaps; it ends with the connection.
pub(crate) async fn lock(session: &mut Session, spares: &Spares) -> Result<(), ConnectorError> {
    let sql = format!("SELECT GET_LOCK({}, {LOCK_SECONDS})", literal(&spares.lock_name()));
    if session.row::<Option<i64>>("lock the swap of a table", &sql).await?.flatten() == Some(1) {
        return Ok(());
    }
    Err(ConnectorError::new(ErrorKind::Busy, format!("another load is putting a new `{}` in place", spares.target)).with_help("wait for it, or end its session at the server"))
}

/// Lets go of the named lock.
pub(crate) async fn unlock(session: &mut Session, spares: &Spares) -> Result<(), ConnectorError> {
    let sql = format!("SELECT RELEASE_LOCK({})", literal(&spares.lock_name()));
    session.row::<Option<i64>>("unlock the swap of a table", &sql).await.map(|_| ())
}

/// Decides a pending generation, if there is one: it is live, or it never will be.
pub(crate) async fn settle(session: &mut Session, ledger: &Ledger, target: &TableName) -> Result<(), ConnectorError> {
    let Some(pending) = ledger.read(session).await?.pending else { return Ok(()) };
    drop_table(session, &target.sibling(&pending.shadow)).await?;
    let is_live = LiveTable::read(session, target).await?.is_some_and(|live| live.marker() == Some(&pending.entry.marker));
    session.define("begin a transaction", "START TRANSACTION").await?;
    let decided = record(session, ledger, &pending, is_live).await;
    finish(session, decided.is_ok()).await?;
    decided?;
    if is_live {
        drop_table(session, &target.sibling(&pending.former)).await?;
    }
    Ok(())
}

async fn record(session: &mut Session, ledger: &Ledger, pending: &Pending, is_live: bool) -> Result<(), ConnectorError> {
    // Somebody else may have decided it meanwhile, in the same way.
    if ledger.lock(session).await?.pending.as_ref() != Some(pending) {
        return Ok(());
    }
    if is_live { ledger.write(session, &pending.entry, "").await } else { ledger.write_pending(session, None).await }
}

async fn finish(session: &mut Session, commits: bool) -> Result<(), ConnectorError> {
    session.define("end a transaction", if commits { "COMMIT" } else { "ROLLBACK" }).await
}

/// What is put in place.
#[derive(Debug, Clone)]
pub(crate) struct Swap<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) target: &'a TableName,
    pub(crate) pending: Pending,
    pub(crate) run_id: &'a str,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Swapped {
    /// The new table is live; how many rows the one before had, as far as is known.
    Live { rows_before: u64 },
    /// Somebody else committed first, or an earlier try of this very attempt did: this is what there is.
    Not(Box<Row>, Option<String>),
}

impl Swap<'_> {
    /// Puts the table in place, if `may_follow` says so of the newest entry; the named lock must be held.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownOutcome`] when the connection broke while the rename was under way.
    pub(crate) async fn run(&self, session: &mut Session, may_follow: impl Fn(Option<&Entry>) -> bool) -> Result<Swapped, ConnectorError> {
        settle(session, self.ledger, self.target).await?;
        session.define("begin a transaction", "START TRANSACTION").await?;
        let row = self.ledger.lock(session).await;
        let live = LiveTable::read(session, self.target).await;
        let (row, live) = match (row, live) {
            (Ok(row), Ok(live)) => (row, live),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let marker = live.as_ref().and_then(LiveTable::marker);
        let newest = row.of_table(marker);
        if !may_follow(newest) {
            finish(session, false).await?;
            let marker = marker.map(str::to_owned);
            return Ok(Swapped::Not(Box::new(row), marker));
        }
        let rows_before = newest.map_or(0, |entry| entry.table_rows);
        self.ledger.write_pending(session, Some(&self.pending)).await?;
        finish(session, true).await?;
        self.rename(session, live.is_some()).await?;
        self.remember(session).await?;
        if live.is_some() {
            self.forget_former(session).await?;
        }
        Ok(Swapped::Live { rows_before })
    }

    async fn rename(&self, session: &mut Session, replaces: bool) -> Result<(), ConnectorError> {
        let (shadow, former) = (self.target.sibling(&self.pending.shadow), self.target.sibling(&self.pending.former));
        let action = format!("put the new `{}` in place", self.target);
        let arrives = format!("{} TO {}", shadow.sql(), self.target.sql());
        let sql = if replaces { format!("RENAME TABLE {} TO {}, {arrives}", self.target.sql(), former.sql()) } else { format!("RENAME TABLE {arrives}") };
        let Err(error) = session.define(&action, &sql).await else { return Ok(()) };
        if is_lost(&error) {
            return Err(ConnectorError::new(ErrorKind::UnknownOutcome, format!("the connection broke while the new `{}` was put in place", self.target)).with_source(error));
        }
        // The server refused all of it: nothing waits any more.
        session.define("begin a transaction", "START TRANSACTION").await?;
        let forgotten = record(session, self.ledger, &self.pending, false).await;
        finish(session, forgotten.is_ok()).await?;
        forgotten?;
        Err(match code_of(&error) {
            // The shadow is gone, or a table of this name has appeared: somebody else was first.
            Some(1146 | 1050) => ConnectorError::new(ErrorKind::Conflict, format!("another load put a table `{}` in place first", self.target)).with_source(error),
            _ => error,
        })
    }

    async fn forget_former(&self, session: &mut Session) -> Result<(), ConnectorError> {
        let former = self.target.sibling(&self.pending.former);
        let Err(error) = drop_table(session, &former).await else { return Ok(()) };
        if is_lost(&error) {
            return Err(ConnectorError::new(ErrorKind::UnknownOutcome, format!("the new `{}` is in place, but the connection broke right after", self.target)).with_source(error));
        }
        // Somebody still reads it; a later load sweeps it up.
        tracing::warn!(table = %former, error = %error.chain(), "the former table stays for now");
        Ok(())
    }

    /// The table is live: what fails from here on is mended by whoever reads the record next.
    async fn remember(&self, session: &mut Session) -> Result<(), ConnectorError> {
        let remembered: Result<(), ConnectorError> = async {
            session.define("begin a transaction", "START TRANSACTION").await?;
            if self.ledger.lock(session).await?.pending.as_ref() == Some(&self.pending) {
                self.ledger.write(session, &self.pending.entry, self.run_id).await?;
            }
            finish(session, true).await
        }
        .await;
        remembered.map_err(|error| {
            ConnectorError::new(ErrorKind::UnknownOutcome, format!("the new `{}` is in place, but its record could not be written", self.target)).with_source(error)
        })
    }
}
