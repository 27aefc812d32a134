//! From staged rows to the rows that join a table: which are left out, and the statement that moves the rest.
//!
//! Everything that compares happens before the final transaction, on temporary tables of the session, so that the transaction only moves rows.
//! That is safe because the commit takes effect only if no other commit of the stream came between. No statement names a temporary table twice:
//! MySQL cannot do that.

use crate::client::quote;
use crate::sink::column::{Dialect, Kind};
use crate::sink::define::{ORDINAL, Wanted};
use crate::sink::live::TableName;
use crate::sink::session::{Session, idents};
use karat_plugin_api::ConnectorError;
use karat_spec::model::Deletes;

/// The staging table and where its rows go.
#[derive(Debug, Clone)]
pub(crate) struct Merge {
    /// The temporary table.
    pub(crate) stage: TableName,
    /// The columns, in the order of the load.
    pub(crate) columns: Vec<Wanted>,
    /// What identifies a row.
    pub(crate) rule: Rule,
}

/// What a transaction did to the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Rows added, or put in the place of others.
    pub(crate) written: u64,
    /// Rows replaced or removed.
    pub(crate) removed: u64,
    /// Rows that the table has more now.
    pub(crate) grown: i64,
}

/// What happens to rows that the table may hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    /// All rows are added.
    Add,
    /// Rows whose identity the table holds are left out.
    Once(Vec<String>),
    /// As many copies of a row as the table held when the load began are left out.
    Copies,
    /// Rows replace those of the same key; of rows with one key the greatest wins, where a batch may have several.
    Replace { key: Vec<String>, winner: Option<Vec<String>> },
    /// Rows replace those of a window of this column, and those of the same keys; without a key only the window counts.
    Window { column: String, key: Vec<String> },
    /// Rows are all there are.
    Diff { key: Vec<String>, deletes: Deletes, max_delete: f64 },
}

impl Rule {
    /// The key that rows are staged by, where they are compared with those of the table; else they are numbered.
    pub(crate) fn compared_key(&self) -> Option<&[String]> {
        match self {
            Self::Window { key, .. } | Self::Diff { key, .. } => Some(key.as_slice()).filter(|key| !key.is_empty()),
            Self::Add | Self::Once(_) | Self::Copies | Self::Replace { .. } => None,
        }
    }

    /// Whether a commit without rows changes the table, too.
    pub(crate) fn removes(&self) -> bool {
        matches!(self, Self::Window { .. } | Self::Diff { .. })
    }
}

impl Merge {
    /// Another temporary table of the session.
    pub(crate) fn helper(&self, name: &str) -> String {
        self.stage.sibling(&format!("karat_{name}")).sql()
    }

    fn names(&self) -> String {
        idents(self.columns.iter().map(|column| column.name.as_str()))
    }

    /// Leaves out of the stage what must not join the table; returns how many rows that were.
    pub(crate) async fn leave_out(&self, session: &mut Session, live: Option<&TableName>) -> Result<u64, ConnectorError> {
        match (&self.rule, live) {
            (Rule::Replace { key, winner: Some(order_by) }, _) => self.leave_out_losers(session, key, order_by).await,
            (Rule::Once(identity), Some(live)) => {
                let same: Vec<String> = identity.iter().map(|name| self.same_value(name)).collect();
                let sql = format!("DELETE karat_s FROM {} AS karat_s JOIN {} AS karat_l ON {}", self.stage.sql(), live.sql(), same.join(" AND "));
                Ok(session.run(&format!("look for rows that `{live}` holds"), &sql).await?.affected)
            }
            (Rule::Copies, Some(live)) => self.leave_out_copies(session, live).await,
            (Rule::Add | Rule::Once(_) | Rule::Copies | Rule::Replace { winner: None, .. } | Rule::Window { .. } | Rule::Diff { .. }, _) => Ok(0),
        }
    }

    /// Equality of one column that is exact, and that an index can serve.
    fn same_value(&self, name: &str) -> String {
        let column = quote(name);
        let is_text = self.columns.iter().any(|column| column.name == name && matches!(column.kind, Kind::Text { .. } | Kind::Label { .. }));
        let equal = format!("karat_l.{column} <=> karat_s.{column}");
        // Texts that a collation takes for equal are still different texts.
        if is_text { format!("{equal} AND CAST(karat_l.{column} AS BINARY) <=> CAST(karat_s.{column} AS BINARY)") } else { equal }
    }

    async fn leave_out_losers(&self, session: &mut Session, key: &[String], order_by: &[String]) -> Result<u64, ConnectorError> {
        let action = "find the newest row of each key";
        let losers = self.helper("losers");
        let order: Vec<String> = order_by.iter().map(|name| format!("{} DESC", quote(name))).chain([format!("{ORDINAL} DESC")]).collect();
        session.define(action, &format!("CREATE TEMPORARY TABLE {losers} ({ORDINAL} bigint unsigned NOT NULL PRIMARY KEY) ENGINE=InnoDB")).await?;
        let ranked = format!(
            "SELECT {ORDINAL}, ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {}) AS karat_rank FROM {}",
            idents(key.iter().map(String::as_str)),
            order.join(", "),
            self.stage.sql()
        );
        let found = session.run(action, &format!("INSERT INTO {losers} SELECT {ORDINAL} FROM ({ranked}) AS karat_r WHERE karat_rank > 1")).await?;
        if found.affected > 0 {
            session.run(action, &format!("DELETE karat_s FROM {} AS karat_s JOIN {losers} AS karat_x USING ({ORDINAL})", self.stage.sql())).await?;
        }
        session.define(action, &format!("DROP TEMPORARY TABLE {losers}")).await?;
        Ok(found.affected)
    }

    /// Equal rows are counted by a hash over an unambiguous spelling of all their columns, made by the server on both sides.
    async fn leave_out_copies(&self, session: &mut Session, live: &TableName) -> Result<u64, ConnectorError> {
        let action = format!("count the rows that `{live}` holds");
        let (ranked, held, seen) = (self.helper("ranked"), self.helper("held"), self.helper("seen"));
        let hash = self.hash();
        let count = "karat_h binary(32) NOT NULL PRIMARY KEY, karat_n bigint NOT NULL";
        session.define(&action, &format!("CREATE TEMPORARY TABLE IF NOT EXISTS {seen} ({count}) ENGINE=InnoDB")).await?;
        session.define(&action, &format!("DROP TEMPORARY TABLE IF EXISTS {ranked}")).await?;
        let columns = format!("{ORDINAL} bigint unsigned NOT NULL PRIMARY KEY, karat_h binary(32) NOT NULL, karat_rank bigint NOT NULL, KEY (karat_h)");
        session.define(&action, &format!("CREATE TEMPORARY TABLE {ranked} ({columns}) ENGINE=InnoDB")).await?;
        let hashed = format!("SELECT {ORDINAL}, {hash} AS karat_h FROM {}", self.stage.sql());
        let rank = format!("SELECT {ORDINAL}, karat_h, ROW_NUMBER() OVER (PARTITION BY karat_h ORDER BY {ORDINAL}) FROM ({hashed}) AS karat_s");
        session.run(&action, &format!("INSERT INTO {ranked} {rank}")).await?;
        session.define(&action, &format!("CREATE TEMPORARY TABLE {held} ({count}) ENGINE=InnoDB")).await?;
        let there = format!("SELECT {hash} AS karat_h FROM {}", live.sql());
        let known = format!("SELECT DISTINCT karat_h FROM {ranked}");
        let counted = format!("SELECT karat_l.karat_h, COUNT(*) FROM ({there}) AS karat_l JOIN ({known}) AS karat_k ON karat_k.karat_h = karat_l.karat_h GROUP BY karat_l.karat_h");
        session.run(&action, &format!("INSERT INTO {held} {counted}")).await?;
        // What the table holds now, less what this load brought, is what it held before; each copy of that leaves out one row.
        let sql = format!(
            "DELETE karat_s FROM {} AS karat_s JOIN {ranked} AS karat_r USING ({ORDINAL}) JOIN {held} AS karat_c ON karat_c.karat_h = karat_r.karat_h \
             LEFT JOIN {seen} AS karat_d ON karat_d.karat_h = karat_r.karat_h WHERE karat_r.karat_rank <= karat_c.karat_n - COALESCE(karat_d.karat_n, 0)",
            self.stage.sql()
        );
        let left_out = session.run(&action, &sql).await?.affected;
        session.define(&action, &format!("DROP TEMPORARY TABLE {held}")).await?;
        Ok(left_out)
    }

    /// Notes what was delivered by a commit that took effect, and empties the stage.
    pub(crate) async fn settle(&self, session: &mut Session) -> Result<(), ConnectorError> {
        let action = "empty the staging table";
        if self.rule == Rule::Copies {
            let (ranked, seen) = (self.helper("ranked"), self.helper("seen"));
            let count = "karat_h binary(32) NOT NULL PRIMARY KEY, karat_n bigint NOT NULL";
            session.define(action, &format!("CREATE TEMPORARY TABLE IF NOT EXISTS {seen} ({count}) ENGINE=InnoDB")).await?;
            let hashed = format!("SELECT karat_h, COUNT(*) AS karat_n FROM {ranked} GROUP BY karat_h");
            let sql = format!(
                "INSERT INTO {seen} (karat_h, karat_n) SELECT karat_h, karat_n FROM ({hashed}) AS karat_r ON DUPLICATE KEY UPDATE karat_n = {seen}.karat_n + karat_r.karat_n"
            );
            session.run(action, &sql).await?;
        }
        session.define(action, &format!("TRUNCATE TABLE {}", self.stage.sql())).await
    }

    fn hash(&self) -> String {
        let part = |column: &Wanted| {
            let name = quote(&column.name);
            let bytes = match column.kind {
                // As text these would lose digits, or be bytes that look like them.
                Kind::Float | Kind::Double => format!("CAST({} AS BINARY)", every_digit(&format!("({name} + 0e0)"))),
                Kind::Bit { .. } => format!("CAST({name} + 0 AS BINARY)"),
                _ => format!("CAST({name} AS BINARY)"),
            };
            format!("IF({name} IS NULL, '-', CONCAT(LENGTH({bytes}), ':', {bytes}))")
        };
        let parts: Vec<String> = self.columns.iter().map(part).collect();
        format!("UNHEX(SHA2(CONCAT({}), 256))", parts.join(", "))
    }

    /// The statement that moves the staged rows into the table.
    pub(crate) fn statement(&self, table: &TableName, dialect: Dialect) -> String {
        let from = format!("{} AS karat_s", self.stage.sql());
        let Rule::Replace { key, .. } = &self.rule else { return self.insert(table, &from, &format!("karat_s.{ORDINAL}")) };
        // In the order of the key, writers of one table meet in one order, and pages are filled one after the other.
        let order: Vec<String> = key.iter().map(|name| format!("karat_s.{}", quote(name))).collect();
        format!("{} ON DUPLICATE KEY UPDATE {}", self.insert(table, &from, &order.join(", ")), self.updates(dialect, key))
    }

    /// The statement that adds rows of a join in which the staged ones are `karat_s`.
    pub(crate) fn insert(&self, table: &TableName, from: &str, order: &str) -> String {
        let select: Vec<String> = self.columns.iter().map(|column| format!("karat_s.{}", quote(&column.name))).collect();
        format!("INSERT INTO {} ({}) SELECT {} FROM {from} ORDER BY {order}", table.sql(), self.names(), select.join(", "))
    }

    /// What takes the place of a row that is there: all columns but those that stay.
    pub(crate) fn updates(&self, dialect: Dialect, staying: &[String]) -> String {
        let update = |column: &Wanted| {
            let name = quote(&column.name);
            // MySQL warns about `VALUES()`, which MariaDB prefers.
            if dialect.is_mariadb { format!("{name} = VALUES({name})") } else { format!("{name} = karat_s.{name}") }
        };
        let mut updates: Vec<String> = self.columns.iter().filter(|column| !staying.contains(&column.name)).map(update).collect();
        if updates.is_empty() {
            // A table that is all key: the row that is there is the row.
            updates.extend(self.columns.iter().take(1).map(update));
        }
        updates.join(", ")
    }
}

/// A text that differs for different numbers. The server's own has no room for all digits before a long exponent, so that what it leaves out follows.
fn every_digit(number: &str) -> String {
    format!("CONCAT({number}, ':', ABS({number}), ':', ABS({number}) - CAST(CAST(ABS({number}) AS CHAR) AS DOUBLE))")
}
