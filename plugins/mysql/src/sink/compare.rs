//! Staged rows against those of the table: which are new, which differ, and which of the table's have no counterpart any more.
//!
//! The comparison may take long, so it comes before the commit's transaction and leaves the keys of what differs in temporary tables of the session. It
//! still holds when the transaction applies it, because the commit takes effect only if no other commit of the stream came between. Rows without a
//! difference are neither locked nor written. No statement names a temporary table twice: MySQL cannot do that.

use crate::client::quote;
use crate::sink::column::{Dialect, Kind};
use crate::sink::define::{self, Wanted};
use crate::sink::live::TableName;
use crate::sink::merge::{Merge, Moved};
use crate::sink::session::{Session, idents};
use karat_plugin_api::{ConnectorError, DELETED_AT, ErrorKind};
use karat_spec::model::Deletes;

/// What is compared.
#[derive(Debug, Clone)]
pub(crate) struct Comparison<'a> {
    pub(crate) merge: &'a Merge,
    pub(crate) live: &'a TableName,
    /// What rows are told apart by.
    pub(crate) key: &'a [String],
    /// Rows of the table, as `karat_l`, that must have a counterpart.
    pub(crate) scope: String,
    /// What becomes of those that have none.
    pub(crate) deletes: Deletes,
    /// The share of the table's rows that may vanish; `None` for any.
    pub(crate) max_delete: Option<f64>,
}

/// What differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    added: u64,
    replaced: u64,
    /// Of those replaced, rows that were marked as gone.
    returned: u64,
    vanished: u64,
}

impl Changes {
    /// Refuses to remove more than was allowed: an emptied source must not empty the target.
    fn guard(&self, staged: u64, max_delete: f64, live: &TableName) -> Result<(), ConnectorError> {
        // Every staged row that is not new was there, alive unless it came back.
        let present = (staged + self.vanished).saturating_sub(self.added + self.returned);
        if self.vanished == 0 || share(self.vanished, present) <= max_delete {
            return Ok(());
        }
        let (vanished, percent) = (self.vanished, max_delete * 100.0);
        Err(ConnectorError::new(ErrorKind::Refused, format!("{vanished} of the {present} rows of `{live}` vanished at the source, more than the {percent} % that may be deleted"))
            .with_help("look at the source first; if they are right to go, raise `guard: {max_delete: …}`, or load the table anew with `--full-refresh`"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts needs no more than 52 bits")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Comparison<'_> {
    fn changed(&self) -> String {
        self.merge.helper("changed")
    }

    fn gone(&self) -> String {
        self.merge.helper("gone")
    }

    fn names(&self) -> String {
        idents(self.key.iter().map(String::as_str))
    }

    /// Key columns of one side, separated by commas.
    fn keys(&self, side: &str) -> String {
        self.key.iter().map(|name| format!("{side}.{}", quote(name))).collect::<Vec<_>>().join(", ")
    }

    /// Both sides have the same key.
    fn same_key(&self, a: &str, b: &str) -> String {
        self.key.iter().map(|name| format!("{a}.{0} = {b}.{0}", quote(name))).collect::<Vec<_>>().join(" AND ")
    }

    /// No row of this side was found.
    fn is_missing(&self, side: &str) -> String {
        self.key.first().map_or_else(|| "TRUE".to_owned(), |name| format!("{side}.{} IS NULL", quote(name)))
    }

    /// The row of this side is not marked as gone.
    fn is_alive(&self, side: &str) -> String {
        if self.deletes == Deletes::Soft { format!("{side}.{} IS NULL", quote(DELETED_AT)) } else { "TRUE".to_owned() }
    }

    /// Finds what differs, and refuses what must not be brought in.
    pub(crate) async fn run(&self, session: &mut Session, staged: u64) -> Result<Changes, ConnectorError> {
        if self.deletes == Deletes::Soft && !self.merge.columns.iter().any(|column| column.name == DELETED_AT) {
            return Err(ConnectorError::new(ErrorKind::Bug, format!("soft deletes fill `{DELETED_AT}`, which is not a column of the load")));
        }
        let action = format!("compare rows with those of `{}`", self.live);
        let key: Vec<&Wanted> = self.merge.columns.iter().filter(|column| self.key.contains(&column.name)).collect();
        let marks = "karat_new tinyint NOT NULL, karat_back tinyint NOT NULL";
        for (table, more) in [(self.changed(), Some(marks)), (self.gone(), None)] {
            session.define(&action, &format!("DROP TEMPORARY TABLE IF EXISTS {table}")).await?;
            session.define(&action, &define::create_keys(&table, &key, self.key, more)).await?;
        }
        let (stage, live) = (self.merge.stage.sql(), self.live.sql());
        let same: Vec<String> = self.merge.columns.iter().map(same_bytes).collect();
        let sql = format!(
            "INSERT INTO {} ({}, karat_new, karat_back) SELECT {}, {missing}, NOT ({missing}) AND NOT ({}) FROM {stage} AS karat_s LEFT JOIN {live} AS karat_l ON {} \
             WHERE {missing} OR NOT ({})",
            self.changed(),
            self.names(),
            self.keys("karat_s"),
            self.is_alive("karat_l"),
            self.same_key("karat_l", "karat_s"),
            same.join(" AND "),
            missing = self.is_missing("karat_l"),
        );
        let differ = session.run(&action, &sql).await?.affected;
        let sql = format!("SELECT CAST(COALESCE(SUM(karat_new), 0) AS UNSIGNED), CAST(COALESCE(SUM(karat_back), 0) AS UNSIGNED) FROM {}", self.changed());
        let (added, returned) = session.row::<(u64, u64)>(&action, &sql).await?.unwrap_or_default();
        let mut changes = Changes { added, replaced: differ - added, returned, vanished: 0 };
        if self.deletes != Deletes::Ignore {
            let sql = format!(
                "INSERT INTO {} ({}) SELECT {} FROM {live} AS karat_l LEFT JOIN {stage} AS karat_s ON {} WHERE {} AND ({}) AND {}",
                self.gone(),
                self.names(),
                self.keys("karat_l"),
                self.same_key("karat_s", "karat_l"),
                self.is_missing("karat_s"),
                self.scope,
                self.is_alive("karat_l"),
            );
            changes.vanished = session.run(&action, &sql).await?.affected;
        }
        if let Some(max_delete) = self.max_delete {
            changes.guard(staged, max_delete, self.live)?;
        }
        Ok(changes)
    }

    /// Brings in what differs, in the commit's transaction.
    pub(crate) async fn apply(&self, session: &mut Session, changes: &Changes) -> Result<Moved, ConnectorError> {
        let action = format!("move rows into `{}`", self.live);
        let mut moved = Moved::default();
        if changes.vanished > 0 {
            // By its own name: a table that is locked may not be used by another one.
            let live = self.live.sql();
            let gone = format!("{live} JOIN {} AS karat_g ON {}", self.gone(), self.same_key(&live, "karat_g"));
            moved.removed = match self.deletes {
                Deletes::Ignore => 0,
                Deletes::Hard => session.run(&action, &format!("DELETE {live} FROM {gone}")).await?.affected,
                Deletes::Soft => {
                    let sql = format!("UPDATE {gone} SET {live}.{} = UTC_TIMESTAMP(6) WHERE {}", quote(DELETED_AT), self.is_alive(&live));
                    session.run(&action, &sql).await?.affected
                }
            };
            if self.deletes == Deletes::Hard {
                moved.grown -= moved.removed.cast_signed();
            }
        }
        let differ = changes.added + changes.replaced;
        if differ > 0 {
            let done = session.run(&action, &self.statement(session.dialect)).await?;
            if done.records != differ {
                return Err(ConnectorError::new(ErrorKind::Corrupt, format!("{differ} rows differ from those of `{}`, but {} were moved", self.live, done.records)));
            }
            moved.written += differ;
            moved.removed += changes.replaced;
            moved.grown += changes.added.cast_signed();
        }
        Ok(moved)
    }

    fn statement(&self, dialect: Dialect) -> String {
        let from = format!("{} AS karat_c JOIN {} AS karat_s ON {}", self.changed(), self.merge.stage.sql(), self.same_key("karat_s", "karat_c"));
        // Also the key: a collation may take another spelling of it for the same.
        format!("{} ON DUPLICATE KEY UPDATE {}", self.merge.insert(self.live, &from, &self.keys("karat_c")), self.merge.updates(dialect, &[]))
    }
}

/// Both sides hold the same value, and not only one that compares equal.
fn same_bytes(column: &Wanted) -> String {
    let name = quote(&column.name);
    let (live, staged) = (format!("karat_l.{name}"), format!("karat_s.{name}"));
    match column.kind {
        // A collation takes different texts for equal, and so may the order of documents and shapes.
        Kind::Text { .. } | Kind::Label { .. } | Kind::Json | Kind::Geometry => format!("CAST({live} AS BINARY) <=> CAST({staged} AS BINARY)"),
        // Zero has two signs, where the server keeps them.
        Kind::Float | Kind::Double => format!("({live} <=> {staged} AND ({live} IS NULL OR {live} <> 0 OR CAST({live} AS CHAR) = CAST({staged} AS CHAR)))"),
        Kind::Whole { .. }
        | Kind::Decimal { .. }
        | Kind::Bytes { .. }
        | Kind::Date
        | Kind::Time { .. }
        | Kind::DateTime { .. }
        | Kind::Timestamp { .. }
        | Kind::Year
        | Kind::Bit { .. }
        | Kind::TextForm => format!("{live} <=> {staged}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]
    use super::*;
    use karat_plugin_api::TargetObject;

    #[test]
    fn the_guard_counts_only_rows_that_were_alive() {
        let live = TableName::parse(&TargetObject { table: "t".into() }).unwrap();
        let check = |staged, changes: Changes| changes.guard(staged, 0.2, &live).map_err(|error| error.kind());

        assert_eq!(check(8, Changes { vanished: 2, ..Changes::default() }), Ok(()));
        assert_eq!(check(7, Changes { vanished: 3, ..Changes::default() }), Err(ErrorKind::Refused));
        // Eight were there, and four of them were gone and are back.
        assert_eq!(check(8, Changes { added: 3, returned: 4, replaced: 4, vanished: 1 }), Err(ErrorKind::Refused));
        assert_eq!(check(0, Changes { vanished: 1, ..Changes::default() }), Err(ErrorKind::Refused));
        assert_eq!(check(0, Changes::default()), Ok(()));
    }
}
