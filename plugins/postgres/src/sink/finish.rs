//! The final transaction: the record moves on, and the rows become visible, or neither.

use super::commits::{self, Known, RowCount, Step, conflict, step};
use super::diff::{self, Comparison};
use super::load::{Destination, PostgresLoad, STAGING, index_names, number};
use super::merge::{Merge, Merged, Rule};
use super::plan::{Build, Merging, Way, create, list, look};
use super::relation::{Index, Relation, Trouble, indexes, updated, written};
use super::replace;
use super::transaction::{Frame, commit, enter, undo};
use super::window::{self, Exchange};
use crate::client::Session;
use crate::spelling::{literal, quote};
use karat_plugin_api::{CommitRequest, ConnectorError, ErrorKind};
use std::time::{Duration, Instant};

/// What a commit did.
pub(super) struct Done {
    pub(super) rows_written: u64,
    pub(super) rows_removed: u64,
    pub(super) was_already_applied: bool,
    /// The table's number now.
    pub(super) oid: Option<u32>,
    /// How long locks on the table were held; `None` for a new table, which nobody waits for.
    pub(super) took: Option<Duration>,
}

/// How rows are kept from being written by others meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Each is locked as it is written.
    Rows,
    /// The whole table is locked first.
    LockedTable,
}

/// Makes what is staged visible, if the newest record is the one that `request` was built on. After an error the transaction is still open.
pub(super) async fn finish(load: &PostgresLoad, session: &mut Session, request: &CommitRequest, frame: Frame, guard: Guard) -> Result<Done, Trouble> {
    enter(session, &load.name, frame).await?;
    let started = Instant::now();
    let (place, known) = look(session, &load.name, &request.record.stream).await?;
    match step(known.record.as_ref(), &request.record) {
        Step::Extends => {}
        Step::AlreadyApplied => {
            undo(session, frame).await?;
            let rows_written = known.record.map_or(0, |record| record.rows);
            return Ok(Done { rows_written, rows_removed: 0, was_already_applied: true, oid: place.relation.map(|relation| relation.oid), took: None });
        }
        Step::Conflict => {
            undo(session, frame).await?;
            return Err(conflict(&load.name, request, known.record.as_ref()).into());
        }
    }
    expect_same_table(load, place.relation.as_ref())?;
    if known.table_rows.is_none() {
        commits::forget_others(session, &load.name, place.relation.as_ref().map_or(0, |relation| relation.oid)).await?;
    }
    commits::advance(session, &load.name, request).await?;
    let done = match &load.way {
        Way::Build(build) => put_in_place(load, session, build, &known).await?,
        Way::Merge(merging) => merge(load, session, merging, guard, request).await?,
    };
    commit(session, &load.name).await?;
    Ok(Done { took: done.took.map(|_| started.elapsed()), ..done })
}

/// The table must be the one that the load was planned for.
fn expect_same_table(load: &PostgresLoad, found: Option<&Relation>) -> Result<(), Trouble> {
    let expected = match &load.way {
        Way::Build(build) => build.old.as_ref().map(|old| old.oid),
        Way::Merge(merging) => merging.oid,
    };
    if expected == found.map(|relation| relation.oid) {
        return Ok(());
    }
    Err(ConnectorError::new(ErrorKind::Busy, format!("{} was made, replaced or dropped by somebody else while it was loaded", load.name.label())).into())
}

async fn put_in_place(load: &PostgresLoad, session: &mut Session, build: &Build, known: &Known) -> Result<Done, Trouble> {
    let name = &load.name;
    if load.destination != Destination::Build {
        return Err(not_staged().into());
    }
    match &build.old {
        Some(old) if old.stays => replace::exchange(session, old, name, &build.table, &build.placed).await?,
        Some(old) => replace::swap(session, old, name, &build.table, &build.placed).await?,
        None => {
            session.execute(&format!("ALTER TABLE {} RENAME TO {}", build.table.sql(), quote(&name.table))).await?;
            for (from, to) in index_names(name, build) {
                let taken = format!(
                    "SELECT pg_catalog.to_regclass({}) IS NOT NULL AND pg_catalog.to_regclass({}) IS NULL",
                    literal(&from)?,
                    literal(&crate::spelling::qualified(&name.schema, &to))?
                );
                if session.rows(&taken).await?.first().is_some_and(|row| row.is_true(0)) {
                    session.execute(&format!("ALTER INDEX {from} RENAME TO {}", quote(&to))).await?;
                }
            }
        }
    }
    let oid = super::relation::find(session, name).await?.relation.map(|relation| relation.oid);
    commits::count(session, name, &load.request.stream, oid.unwrap_or(0), RowCount::Set(load.rows)).await?;
    let rows_removed = build.old.as_ref().map_or(0, |old| known.table_rows.or(old.rows).unwrap_or(0));
    Ok(Done { rows_written: load.rows, rows_removed, was_already_applied: false, oid, took: None })
}

async fn merge(load: &PostgresLoad, session: &mut Session, merging: &Merging, guard: Guard, request: &CommitRequest) -> Result<Done, Trouble> {
    let (name, layout) = (&load.name, &load.request.table);
    let table = name.sql();
    let mut oid = merging.oid;
    if oid.is_none() {
        session.execute(&create(name, &merging.placed, &merging.key)).await?;
        session.execute(&format!("ALTER TABLE {table} ADD PRIMARY KEY ({})", list(merging.key.iter().map(String::as_str)))).await?;
        oid = super::relation::find(session, name).await?.relation.map(|relation| relation.oid);
    }
    for alteration in merging.placed.iter().filter_map(|column| column.alteration(&table)) {
        tracing::info!(table = %name.label(), "{alteration}");
        session.execute(&alteration).await?;
    }
    if layout.table_lock || guard == Guard::LockedTable {
        session.execute(&format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")).await?;
    }
    let number = number(&merging.placed);
    let merge = Merge { table: &table, staging: STAGING, columns: &merging.placed, number: &number, first_row: load.first_row, indexed: &merging.indexed };
    let oid = oid.unwrap_or(0);
    let merged = match &merging.rule {
        Rule::Window { column, key, has_unique_key } => {
            let bounds = request.window.as_ref().ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "a commit of a window does not say which"))?;
            window::exchange(session, &merge, &Exchange { column, bounds, key, has_unique_key: *has_unique_key, rows: load.rows, oid }).await?
        }
        rule => match (Comparison::of(rule, name, load.rows), &load.difference) {
            (Some(comparison), Some(difference)) => diff::apply(session, &merge, &comparison, difference).await?,
            (Some(_), None) => return Err(not_staged().into()),
            (None, _) if load.rows == 0 => Merged::default(),
            (None, _) => {
                // Indexes that prove nothing are built again once, behind all rows.
                let dropped = if layout.disable_indexes { drop_indexes(session, load, oid).await? } else { Vec::new() };
                let merged = merge_rows(session, load, &merge, rule, oid).await?;
                for index in dropped {
                    session.execute(&index).await?;
                }
                merged
            }
        },
    };
    commits::count(session, name, &load.request.stream, oid, RowCount::Add(merged.grown)).await?;
    Ok(Done { rows_written: merged.written, rows_removed: merged.removed, was_already_applied: false, oid: Some(oid), took: Some(Duration::ZERO) })
}

async fn merge_rows(session: &mut Session, load: &PostgresLoad, merge: &Merge<'_>, rule: &Rule, oid: u32) -> Result<Merged, Trouble> {
    if let (Some(outbox), Destination::Nowhere) = (&load.outbox, load.destination) {
        let statement = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", merge.table, list(merge.columns.iter().map(|column| column.name.as_str())));
        return Ok(Merged::new(outbox.send(session, &statement).await?, 0));
    }
    if load.destination != Destination::Staging {
        return Err(not_staged().into());
    }
    Ok(match rule {
        Rule::Once { identity, counts_copies } => Merged::new(written(session, &merge.add_once(identity, *counts_copies)).await?, 0),
        Rule::Upsert { key, unique_in_read, order_by } => {
            let new = written(session, &merge.upsert(key, *unique_in_read, order_by)).await?;
            Merged::new(new, updated(session, oid).await?.min(new))
        }
        Rule::Insert | Rule::Window { .. } | Rule::Diff { .. } => Merged::new(written(session, &merge.add()).await?, 0),
    })
}

fn not_staged() -> ConnectorError {
    ConnectorError::new(ErrorKind::Bug, "a commit came before its rows were staged")
}

/// Drops the indexes that prove nothing, and gives the statements that build them again. All in the one transaction: a crash leaves them as they were.
async fn drop_indexes(session: &mut Session, load: &PostgresLoad, oid: u32) -> Result<Vec<String>, Trouble> {
    let is_secondary = |index: &&Index| !index.is_unique && index.constraint.is_none();
    let mut again = Vec::new();
    for index in indexes(session, oid).await?.iter().filter(is_secondary) {
        let comment = session.rows(&format!("SELECT pg_catalog.quote_literal(pg_catalog.obj_description({}, 'pg_class'))", index.oid)).await?;
        session.execute(&format!("DROP INDEX {}.{}", quote(&load.name.schema), quote(&index.name))).await?;
        again.push(format!("CREATE INDEX {} ON {}{}", quote(&index.name), load.name.sql(), index.definition));
        if let Some(comment) = comment.first().and_then(|row| row.text(0)) {
            again.push(format!("COMMENT ON INDEX {}.{} IS {comment}", quote(&load.name.schema), quote(&index.name)));
        }
    }
    Ok(again)
}
