//! The one atomic step of a commit: a rename for a new generation, a short transaction for rows that join a table.

use crate::sink::bulk::Sent;
use crate::sink::compare::{Changes, Comparison};
use crate::sink::define::{self, loaded_types};
use crate::sink::indexes;
use crate::sink::ledger::{Entry, Pending, Row, Step, step};
use crate::sink::live;
use crate::sink::load::MysqlLoad;
use crate::sink::merge::{Moved, Rule};
use crate::sink::retry;
use crate::sink::route::{Beside, Join, Route};
use crate::sink::session::{Session, is_lost};
use crate::sink::swap::{self, Swap, Swapped};
use crate::sink::window;
use karat_plugin_api::{CommitRecord, CommitRequest, Committed, ConnectorError, ErrorKind};
use karat_spec::model::Deletes;
use std::time::Instant;

/// What one try of a transaction came to.
enum Tried {
    Committed(Committed),
    /// A new generation waits for its rename, which must be decided first.
    MustSettle,
}

/// What a window or a whole load replaces, found before the transaction that does it.
#[derive(Debug, Clone)]
enum Found {
    /// The rows of the table that meet this condition go, and all staged ones come.
    Whole(String),
    /// Only what differs.
    Changes { scope: String, changes: Changes },
}

impl MysqlLoad {
    pub(super) async fn make_visible(&mut self, request: CommitRequest) -> Result<Committed, ConnectorError> {
        let mut session = self.take_session()?;
        let committed = match &self.route {
            Route::Beside(beside) => self.place(&mut session, beside, &request).await?,
            Route::Join(_) | Route::Placed => {
                let joined = self.join_alone(&mut session, &request).await;
                let rebuilt = self.build_indexes(&mut session, joined.as_ref().err()).await;
                let committed = joined?;
                rebuilt.map_err(after_commit)?;
                committed
            }
        };
        if !committed.was_already_applied {
            if let Route::Join(join) = &self.route
                && (self.taken.rows > 0 || join.merge.rule.removes())
            {
                join.merge.settle(&mut session).await.map_err(after_commit)?;
            }
            self.taken = Sent::default();
            self.sent_bytes = 0;
            self.staged = 0;
            if matches!(self.route, Route::Beside(_)) {
                self.route = Route::Placed;
            }
        }
        self.give_back(session);
        Ok(committed)
    }

    /// Builds the indexes that were dropped for this commit, also when it failed; when the connection is gone, the next load does.
    async fn build_indexes(&mut self, session: &mut Session, failed: Option<&ConnectorError>) -> Result<(), ConnectorError> {
        let Route::Join(join) = &mut self.route else { return Ok(()) };
        if !std::mem::take(&mut join.indexes_are_off) || failed.is_some_and(|error| is_lost(error) || error.kind() == ErrorKind::UnknownOutcome) {
            return Ok(());
        }
        let clauses = self.ledger.read(session).await?.dropped_indexes;
        indexes::build(session, &self.ledger, &self.name, &clauses).await
    }

    /// Puts the table that was filled on the side in place.
    async fn place(&self, session: &mut Session, beside: &Beside, request: &CommitRequest) -> Result<Committed, ConnectorError> {
        let record = &request.record;
        let marker = live::marker(record.generation.0, &record.attempt);
        let comment = if beside.remark.is_empty() { marker.clone() } else { format!("{} {marker}", beside.remark) };
        let sql = format!("ALTER TABLE {} COMMENT={}", beside.shadow.sql(), crate::client::literal(&comment));
        if let Err(error) = session.define(&format!("mark table `{}`", beside.shadow), &sql).await {
            // A load under a later lease has dropped it.
            let is_gone = error.kind() == ErrorKind::NotFound;
            return Err(if is_gone { self.conflict(None, record).with_source(error) } else { error });
        }
        let former = self.spares.former(self.request.epoch, &self.request.attempt);
        let entry = Entry { record: CommitRecord { rows: self.staged, ..record.clone() }, marker, table_rows: self.staged, types: loaded_types(&self.request.schema) };
        let pending = Pending { entry, shadow: beside.shadow.table.clone(), former: former.table };
        let swap = Swap { ledger: &self.ledger, target: &self.name, pending, run_id: &request.run_id };
        let mut failures = 0;
        let swapped = loop {
            swap::lock(session, &self.spares).await?;
            let swapped = swap.run(session, |newest| step(newest.map(|entry| &entry.record), record) == Step::Extends).await;
            let error = match swapped {
                Ok(swapped) => break swapped,
                Err(error) => error,
            };
            failures += 1;
            let pause = retry::pause(failures).filter(|_| error.kind() != ErrorKind::UnknownOutcome && retry::passes(&error));
            let Some(pause) = pause else { return Err(error) };
            session.define("end a transaction", "ROLLBACK").await?;
            swap::unlock(session, &self.spares).await?;
            tokio::time::sleep(pause).await;
        };
        match swapped {
            Swapped::Live { rows_before } => {
                swap::unlock(session, &self.spares).await.map_err(after_commit)?;
                Ok(Committed { version: version(record), rows_written: self.staged, rows_removed: rows_before, files: 0, bytes: self.sent_bytes, was_already_applied: false })
            }
            Swapped::Not(row, marker) => {
                swap::unlock(session, &self.spares).await?;
                self.already(&row, marker.as_deref(), record)
            }
        }
    }

    fn already(&self, row: &Row, marker: Option<&str>, record: &CommitRecord) -> Result<Committed, ConnectorError> {
        match row.of_table(marker) {
            Some(newest) if step(Some(&newest.record), record) == Step::AlreadyApplied => {
                Ok(Committed { version: version(record), rows_written: newest.record.rows, rows_removed: 0, files: 0, bytes: 0, was_already_applied: true })
            }
            newest => Err(self.conflict(newest, record)),
        }
    }

    fn conflict(&self, newest: Option<&Entry>, record: &CommitRecord) -> ConnectorError {
        let found = newest
            .map_or_else(|| "it has no position any more".to_owned(), |newest| format!("it stands at batch {} of generation {}", newest.record.seq, newest.record.generation.0));
        ConnectorError::new(ErrorKind::Conflict, format!("another commit to `{}` came before batch {} of generation {}: {found}", self.name, record.seq, record.generation.0))
            .with_help("see that only one run writes the pipeline at a time, then run again")
    }

    /// Windows of one table are replaced one after the other.
    async fn join_alone(&mut self, session: &mut Session, request: &CommitRequest) -> Result<Committed, ConnectorError> {
        if request.window.is_none() {
            return self.join(session, request).await;
        }
        window::lock(session, &self.name).await?;
        let joined = self.join(session, request).await;
        match &joined {
            // The lock ended with the connection.
            Err(error) if is_lost(error) || error.kind() == ErrorKind::UnknownOutcome => {}
            Err(_) => window::unlock(session, &self.name).await?,
            Ok(_) => window::unlock(session, &self.name).await.map_err(after_commit)?,
        }
        joined
    }

    /// The comparison of the staged rows with the table; `None` for rules that do not compare.
    fn comparison<'a>(&'a self, join: &'a Join, scope: String) -> Option<Comparison<'a>> {
        let (deletes, max_delete) = match &join.merge.rule {
            Rule::Window { .. } => (Deletes::Hard, None),
            Rule::Diff { deletes, max_delete, .. } => (*deletes, Some(*max_delete)),
            Rule::Add | Rule::Once(_) | Rule::Copies | Rule::Replace { .. } => return None,
        };
        let key = join.merge.rule.compared_key()?;
        Some(Comparison { merge: &join.merge, live: &self.name, key, scope, deletes, max_delete })
    }

    /// Finds what a window or a whole load replaces, if the commit can take effect at all.
    async fn find(&self, session: &mut Session, request: &CommitRequest) -> Result<Option<Found>, ConnectorError> {
        let Route::Join(join) = &self.route else { return Ok(None) };
        if !join.merge.rule.removes() {
            return Ok(None);
        }
        let row = self.ledger.read(session).await?;
        let marker = self.marker(session).await?;
        let newest = row.of_table(marker.as_deref()).map(|entry| &entry.record);
        let is_next = step(newest, &request.record) == Step::Extends && marker.is_some_and(|marker| self.is_expected(&marker));
        if row.pending.is_some() || !is_next {
            // The transaction finds that out for good.
            return Ok(None);
        }
        let scope = match (&join.merge.rule, &request.window) {
            (Rule::Window { column, .. }, Some(bounds)) => {
                // Without rows to compare, a range of the column says it all.
                if self.staged == 0 || join.merge.rule.compared_key().is_none() {
                    return window::condition("", column, bounds).map(|condition| Some(Found::Whole(condition)));
                }
                window::condition("karat_l.", column, bounds)?
            }
            (Rule::Window { .. }, None) => return Err(ConnectorError::new(ErrorKind::Bug, "a window without bounds")),
            _ => "TRUE".to_owned(),
        };
        let Some(comparison) = self.comparison(join, scope) else { return Ok(None) };
        let changes = comparison.run(session, self.staged).await?;
        Ok(Some(Found::Changes { scope: comparison.scope, changes }))
    }

    /// Moves the staged rows into the table, as often as it takes.
    async fn join(&mut self, session: &mut Session, request: &CommitRequest) -> Result<Committed, ConnectorError> {
        if let Route::Join(join) = &self.route
            && let Rule::Replace { key, .. } = &join.merge.rule
        {
            define::expect_key_index(key, &join.live)?;
        }
        let mut found = None;
        let mut failures = 0;
        loop {
            if found.is_none() {
                found = self.find(session, request).await?;
            }
            let started = Instant::now();
            let error = match self.try_join(session, request, found.as_ref()).await {
                Ok(Tried::Committed(committed)) => {
                    let (rows, bytes) = (self.taken.rows, self.taken.bytes);
                    self.pace.observe(rows, bytes, started.elapsed());
                    tracing::debug!(rows, millis = started.elapsed().as_millis(), "moved rows in one transaction");
                    return Ok(committed);
                }
                Ok(Tried::MustSettle) => {
                    session.define("end a transaction", "ROLLBACK").await?;
                    swap::lock(session, &self.spares).await?;
                    swap::settle(session, &self.ledger, &self.name).await?;
                    swap::unlock(session, &self.spares).await?;
                    continue;
                }
                Err(error) => error,
            };
            // The staged rows ended with the connection, so nothing is left to try again with.
            if is_lost(&error) || error.kind() == ErrorKind::UnknownOutcome {
                return Err(error);
            }
            // A lock that was waited for in vain undoes a statement only.
            session.define("end a transaction", "ROLLBACK").await?;
            if self.request.table.table_lock {
                release(session).await?;
            }
            failures += 1;
            let Some(pause) = retry::pause(failures).filter(|_| retry::passes(&error)) else { return Err(error) };
            tracing::debug!(failures, error = %error.chain(), "a transaction is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_join(&self, session: &mut Session, request: &CommitRequest, found: Option<&Found>) -> Result<Tried, ConnectorError> {
        let record = &request.record;
        if self.request.table.table_lock {
            session.define("begin a transaction", "SET autocommit = 0").await?;
            let sql = format!("LOCK TABLES {} WRITE, {} WRITE", self.name.sql(), self.name.sibling(super::ledger::COMMITS).sql());
            session.define(&format!("lock table `{}`", self.name), &sql).await?;
        } else {
            session.define("begin a transaction", "START TRANSACTION").await?;
        }
        let row = self.ledger.lock(session).await?;
        if row.pending.is_some() {
            return Ok(Tried::MustSettle);
        }
        // Looking into the table keeps it from being exchanged until the transaction ends, so its comment stays true.
        let looked = session.rows::<u8>(&format!("look into `{}`", self.name), &format!("SELECT 1 FROM {} LIMIT 0", self.name.sql())).await;
        let marker = match looked {
            Ok(_) => self.marker(session).await?,
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let newest = row.of_table(marker.as_deref());
        match step(newest.map(|entry| &entry.record), record) {
            Step::Extends => {}
            Step::AlreadyApplied | Step::Conflict => {
                self.end(session, "ROLLBACK").await?;
                return self.already(&row, marker.as_deref(), record).map(Tried::Committed);
            }
        }
        let Some(marker) = marker.filter(|marker| self.is_expected(marker)) else {
            self.end(session, "ROLLBACK").await?;
            return Err(self.conflict(newest, record));
        };
        let Some(moved) = self.move_rows(session, found).await? else { return Ok(Tried::MustSettle) };
        let before = newest.map_or(0, |entry| entry.table_rows);
        let mut types = newest.map(|entry| entry.types.clone()).unwrap_or_default();
        types.extend(loaded_types(&self.request.schema));
        let entry = Entry { record: CommitRecord { rows: moved.written, ..record.clone() }, marker, table_rows: before.saturating_add_signed(moved.grown), types };
        self.ledger.write(session, &entry, &request.run_id).await?;
        if let Err(error) = session.define("commit", "COMMIT").await {
            // Once it was sent, only an answer of the server that it rolled back tells what became of it.
            return Err(if is_lost(&error) {
                ConnectorError::new(ErrorKind::UnknownOutcome, format!("the connection broke while batch {} of `{}` was committed", record.seq, self.name)).with_source(error)
            } else {
                error
            });
        }
        if self.request.table.table_lock {
            release(session).await.map_err(after_commit)?;
        }
        Ok(Tried::Committed(Committed {
            version: version(record),
            rows_written: moved.written,
            rows_removed: moved.removed,
            files: 0,
            bytes: self.sent_bytes,
            was_already_applied: false,
        }))
    }

    /// The comment of the table that is live.
    async fn marker(&self, session: &mut Session) -> Result<Option<String>, ConnectorError> {
        let sql = format!("SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE {}", self.name.condition());
        let comment = session.row::<String>(&format!("describe table `{}`", self.name), &sql).await?;
        Ok(comment.as_deref().and_then(live::marker_in).map(str::to_owned))
    }

    /// True for the table that the load began with: another one may have other columns.
    fn is_expected(&self, marker: &str) -> bool {
        match &self.route {
            Route::Join(join) => join.marker == marker,
            Route::Beside(_) | Route::Placed => true,
        }
    }

    /// Changes the table; `None` when what there is to change was not found, because the commit could not have taken effect then.
    async fn move_rows(&self, session: &mut Session, found: Option<&Found>) -> Result<Option<Moved>, ConnectorError> {
        let Route::Join(join) = &self.route else { return Ok(Some(Moved::default())) };
        let mut moved = Moved::default();
        match found {
            None if join.merge.rule.removes() => return Ok(None),
            Some(Found::Changes { scope, changes }) => {
                return match self.comparison(join, scope.clone()) {
                    Some(comparison) => comparison.apply(session, changes).await.map(Some),
                    None => Ok(None),
                };
            }
            Some(Found::Whole(condition)) => {
                let sql = format!("DELETE FROM {} WHERE {condition}", self.name.sql());
                moved.removed = session.run(&format!("empty a window of `{}`", self.name), &sql).await?.affected;
            }
            None => {}
        }
        if self.staged > 0 {
            let done = session.run(&format!("move rows into `{}`", self.name), &join.merge.statement(&self.name, session.dialect)).await?;
            if done.records != self.staged {
                return Err(ConnectorError::new(ErrorKind::Corrupt, format!("{} rows were staged for `{}`, but {} were moved", self.staged, self.name, done.records)));
            }
            // A row that was there counts twice when it changed, and not at all when it did not.
            let replaced = done.duplicates.min(done.affected / 2);
            moved.written = done.affected - replaced;
            moved.removed += replaced;
        }
        moved.grown = moved.written.cast_signed() - moved.removed.cast_signed();
        Ok(Some(moved))
    }

    async fn end(&self, session: &mut Session, how: &str) -> Result<(), ConnectorError> {
        session.define("end a transaction", how).await?;
        if self.request.table.table_lock { release(session).await } else { Ok(()) }
    }
}

/// Ends a table lock.
async fn release(session: &mut Session) -> Result<(), ConnectorError> {
    session.define("unlock tables", "UNLOCK TABLES").await?;
    session.define("unlock tables", "SET autocommit = 1").await
}

/// The rows are visible, whatever failed afterwards: the target says so when it is asked.
fn after_commit(error: ConnectorError) -> ConnectorError {
    ConnectorError::new(ErrorKind::UnknownOutcome, "the commit took effect, but the connection failed right after it").with_source(error)
}

fn version(record: &CommitRecord) -> String {
    format!("{}.{}", record.generation.0, record.seq)
}
