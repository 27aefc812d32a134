//! A whole load is compared with the table, and what differs is brought in.
//!
//! The comparison may take long, so it runs before the commit's transaction, and leaves the places of the differing rows in a second temporary table.
//! It still holds when the commit applies it: only one lease may write, and a commit of anybody else in between moves the record, which makes this one
//! a conflict. Rows without a difference are not touched; a table without one costs no write at all.

use super::design::{Change, Placed};
use super::merge::{Merge, Merged, Rule, differs};
use super::name::TableName;
use super::relation::{Trouble, written};
use crate::client::Session;
use crate::spelling::quote;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::Deletes;

/// The places of rows that differ: where a row is staged, or the key of one that vanished.
const CHANGES: &str = "pg_temp.karat_changes";

/// The column that says since when a row is gone.
const DELETED_AT: &str = "_deleted_at";

/// The comparison that a load asks for.
#[derive(Debug, Clone)]
pub(super) struct Comparison<'a> {
    pub(super) key: &'a [String],
    pub(super) deletes: Deletes,
    pub(super) max_delete: f64,
    /// Rows that are staged.
    pub(super) rows: u64,
    /// What messages call the table.
    pub(super) label: String,
}

impl<'a> Comparison<'a> {
    /// What `rule` compares; `None` for rules that merge rows without looking at all of them.
    pub(super) fn of(rule: &'a Rule, name: &TableName, rows: u64) -> Option<Self> {
        let Rule::Diff { key, deletes, max_delete } = rule else { return None };
        Some(Self { key, deletes: *deletes, max_delete: *max_delete, rows, label: name.label() })
    }
}

/// What differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    added: u64,
    replaced: u64,
    /// Of those replaced, the rows that were marked as gone.
    returned: u64,
    vanished: u64,
    /// Rows that were marked as gone and still are: hard deletes end them.
    marked: u64,
}

impl Difference {
    /// Refuses to delete more than was allowed: an emptied source must not empty the target.
    fn guard(&self, comparison: &Comparison<'_>) -> Result<(), ConnectorError> {
        // Every staged row that is not new stood there, alive unless it returned.
        let present = (comparison.rows + self.vanished).saturating_sub(self.added + self.returned);
        if self.vanished == 0 || share(self.vanished, present) <= comparison.max_delete {
            return Ok(());
        }
        let (label, vanished) = (&comparison.label, self.vanished);
        let allowed = comparison.max_delete * 100.0;
        Err(ConnectorError::new(ErrorKind::Refused, format!("{vanished} of the {present} rows of {label} vanished at the source, more than the {allowed} % that may be deleted"))
            .with_help("look at the source first; if they are right to go, raise `guard: {max_delete: …}`, or load the table anew with `--full-refresh`"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts needs no more than 52 bits")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A column name that no column of the load has.
fn place(columns: &[Placed]) -> String {
    let mut name = "karat place".to_owned();
    while columns.iter().any(|column| column.name == name) {
        name.push('_');
    }
    name
}

/// Finds what differs between the staged rows and the table, and refuses what must not be brought in.
pub(super) async fn compare(session: &mut Session, merge: &Merge<'_>, comparison: &Comparison<'_>) -> Result<Difference, Trouble> {
    if comparison.deletes == Deletes::Soft && !merge.columns.iter().any(|column| column.name == DELETED_AT) {
        return Err(ConnectorError::new(ErrorKind::Bug, format!("soft deletes fill `{DELETED_AT}`, which is not a column of the load")).into());
    }
    refuse_keys_that_are_none(session, merge, comparison).await?;
    session.execute(&format!("DROP TABLE IF EXISTS {CHANGES}; CREATE TEMPORARY TABLE karat_changes AS {}; ANALYZE {CHANGES}", changes(merge, comparison))).await?;
    let counts = format!(
        "SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE staged IS NOT NULL AND NOT is_new), count(*) FILTER (WHERE staged IS NOT NULL AND was_deleted), \
         count(*) FILTER (WHERE staged IS NULL AND NOT was_deleted), count(*) FILTER (WHERE staged IS NULL AND was_deleted) FROM {CHANGES}"
    );
    let rows = session.rows(&counts).await?;
    let count = |at| rows.first().and_then(|row| row.number(at)).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    let difference = Difference { added: count(0), replaced: count(1), returned: count(2), vanished: count(3), marked: count(4) };
    difference.guard(comparison)?;
    Ok(difference)
}

/// A row is told apart by its key, so each must have one, and no two the same.
async fn refuse_keys_that_are_none(session: &mut Session, merge: &Merge<'_>, comparison: &Comparison<'_>) -> Result<(), Trouble> {
    let keys: Vec<String> = comparison.key.iter().map(|name| merge.expression(name)).collect();
    let is_null = keys.iter().map(|key| format!("{key} IS NULL")).collect::<Vec<_>>().join(" OR ");
    let sql = format!("SELECT {is_null} FROM {} AS s GROUP BY {} HAVING count(*) > 1 OR {is_null} LIMIT 1", merge.staging, keys.join(", "));
    let Some(found) = session.rows(&sql).await?.into_iter().next() else { return Ok(()) };
    let what = if found.is_true(0) { "is NULL in a row" } else { "comes twice in one load" };
    Err(ConnectorError::new(ErrorKind::BadData, format!("the key ({}) of {} {what}", comparison.key.join(", "), comparison.label))
        .with_help("name columns in `key` that are unique at the source and never NULL")
        .into())
}

/// The query for the places of rows that differ.
fn changes(merge: &Merge<'_>, comparison: &Comparison<'_>) -> String {
    let place = quote(&place(merge.columns));
    let key = comparison.key;
    let staged: Vec<String> = merge.columns.iter().map(|column| format!("{} AS {}", column.expression(), quote(&column.name))).collect();
    let same: Vec<String> = key.iter().map(|name| format!("t.{0} = s.{0}", quote(name))).collect();
    let compared: Vec<_> = merge.replaced(key).map(|column| (column, held_value(column), format!("s.{}", quote(&column.name)))).collect();
    let differs = differs(&compared);
    let deleted = merge.columns.iter().find(|column| column.name == DELETED_AT).map_or_else(|| "NULL".to_owned(), held_value);
    let (join, vanished) = match comparison.deletes {
        Deletes::Ignore => ("LEFT JOIN", "false".to_owned()),
        Deletes::Soft => ("FULL JOIN", format!("s.{place} IS NULL AND {deleted} IS NULL")),
        Deletes::Hard => ("FULL JOIN", format!("s.{place} IS NULL")),
    };
    let keys: String = key.iter().enumerate().map(|(at, name)| format!(", t.{} AS k{at}", quote(name))).collect();
    format!(
        "SELECT s.{place} AS staged, t.tableoid IS NULL AS is_new, {deleted} IS NOT NULL AS was_deleted{keys} \
         FROM (SELECT s.ctid AS {place}, {} FROM {} AS s) AS s {join} {} AS t ON {} \
         WHERE ({vanished}) OR (s.{place} IS NOT NULL AND (t.tableoid IS NULL OR {differs}))",
        staged.join(", "),
        merge.staging,
        merge.table,
        same.join(" AND ")
    )
}

/// A value of the table as it will be once the commit has changed its column.
fn held_value(column: &Placed) -> String {
    let name = format!("t.{}", quote(&column.name));
    match column.change {
        Some(Change::Add) => format!("CAST(NULL AS {})", column.cast_type()),
        Some(Change::Widen) => format!("CAST({name} AS {})", column.cast_type()),
        Some(Change::DropNotNull) | None => name,
    }
}

/// Brings in what differs, in the commit's transaction.
pub(super) async fn apply(session: &mut Session, merge: &Merge<'_>, comparison: &Comparison<'_>, difference: &Difference) -> Result<Merged, Trouble> {
    let Difference { added, replaced, vanished, marked, .. } = *difference;
    if added + replaced + vanished + marked == 0 {
        return Ok(Merged::default());
    }
    // Readers go on; who else writes waits until the table is what the load says.
    session.execute(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", merge.table)).await?;
    let mut merged = Merged::default();
    if vanished + marked > 0 {
        let same: Vec<String> = comparison.key.iter().enumerate().map(|(at, name)| format!("held.{} = c.k{at}", quote(name))).collect();
        let gone = format!("c.staged IS NULL AND {}", same.join(" AND "));
        let table = merge.table;
        // Before rows are added: what is gone may have held a value that another unique index gives to a new row.
        merged.removed = match comparison.deletes {
            Deletes::Ignore => 0,
            Deletes::Soft => {
                let deleted = quote(DELETED_AT);
                written(session, &format!("UPDATE {table} AS held SET {deleted} = pg_catalog.now() FROM {CHANGES} AS c WHERE {gone} AND held.{deleted} IS NULL")).await?
            }
            Deletes::Hard => written(session, &format!("DELETE FROM {table} AS held USING {CHANGES} AS c WHERE {gone}")).await?,
        };
        if comparison.deletes == Deletes::Hard {
            merged.grown -= merged.removed.cast_signed();
        }
    }
    if added + replaced > 0 {
        let from = format!("{CHANGES} AS c JOIN {} AS s ON s.ctid = c.staged", merge.staging);
        merged.written = written(session, &merge.replace(comparison.key, &from)).await?;
        merged.removed += replaced;
        merged.grown += added.cast_signed();
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;

    #[test]
    fn the_guard_counts_only_rows_that_were_alive() {
        let check = |rows, difference: Difference| {
            difference.guard(&Comparison { key: &[], deletes: Deletes::Soft, max_delete: 0.2, rows, label: String::new() }).map_err(|error| error.kind())
        };
        assert_eq!(check(8, Difference { vanished: 2, ..Difference::default() }), Ok(()));
        assert_eq!(check(7, Difference { vanished: 3, ..Difference::default() }), Err(ErrorKind::Refused));
        // Six stood there, of which four were gone and are back.
        assert_eq!(check(8, Difference { added: 3, returned: 4, replaced: 4, vanished: 1, marked: 9 }), Err(ErrorKind::Refused));
        assert_eq!(check(0, Difference { vanished: 1, ..Difference::default() }), Err(ErrorKind::Refused));
        assert_eq!(check(0, Difference::default()), Ok(()));
    }
}
