//! What a table of the server looks like now: read from the catalogue, never remembered.

use crate::client::{literal, quote};
use crate::schema::{Declared, arrow_type};
use crate::sink::column::{self, Kind};
use crate::sink::session::Session;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind, TargetObject};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a comment of ours starts with; what stands before it is the user's.
const MARK: &str = "karat:";

/// A table's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    /// The database, where it is not the connection's own.
    pub(crate) database: Option<String>,
    /// The table.
    pub(crate) table: String,
}

impl TableName {
    /// `table`, or `database.table`.
    pub(crate) fn parse(target: &TargetObject) -> Result<Self, ConnectorError> {
        let (database, table) = match target.table.split_once('.') {
            Some((database, table)) => (Some(database.to_owned()), table),
            None => (None, target.table.as_str()),
        };
        let name = Self { database, table: table.to_owned() };
        let is_sound = |part: &str| !part.is_empty() && part.chars().count() <= 64 && !part.ends_with(' ') && !part.contains(['\0', '.', '/', '\\']);
        if !name.database.as_deref().is_none_or(is_sound) || !is_sound(table) || table.to_ascii_lowercase().starts_with("karat_") {
            return Err(ConnectorError::new(ErrorKind::Refused, format!("`{}` is no name for a table of MySQL", target.table))
                .with_help("name it `table` or `database.table`: 1 to 64 characters each, none of `.`, `/` and `\\`, and not beginning with `karat_`"));
        }
        Ok(name)
    }

    /// Another table of the same database.
    pub(crate) fn sibling(&self, table: &str) -> Self {
        Self { database: self.database.clone(), table: table.to_owned() }
    }

    /// What goes before a table of this database.
    pub(crate) fn prefix(&self) -> String {
        self.database.as_deref().map_or_else(String::new, |database| format!("{}.", quote(database)))
    }

    /// As SQL writes it.
    pub(crate) fn sql(&self) -> String {
        format!("{}{}", self.prefix(), quote(&self.table))
    }

    /// A condition on the catalogue's columns.
    pub(crate) fn condition(&self) -> String {
        format!("{} AND TABLE_NAME = {}", self.in_schema(), literal(&self.table))
    }

    /// A condition on the catalogue's database.
    pub(crate) fn in_schema(&self) -> String {
        format!("TABLE_SCHEMA = {}", self.database.as_deref().map_or_else(|| "DATABASE()".to_owned(), literal))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(out, "{database}.")?;
        }
        out.write_str(&self.table)
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveColumn {
    pub(crate) name: String,
    /// As the catalogue spells it.
    pub(crate) column_type: String,
    pub(crate) charset: Option<String>,
    pub(crate) collation: Option<String>,
    pub(crate) nullable: bool,
    /// It is computed, so it takes no values.
    pub(crate) is_generated: bool,
    /// It is a key that MySQL adds to tables which were made without one.
    pub(crate) is_row_number: bool,
    /// Rows that do not name it get a value.
    pub(crate) has_default: bool,
    /// `None` for a type that is not known here.
    pub(crate) kind: Option<Kind>,
    /// What reading it gives.
    read_as: DataType,
}

impl LiveColumn {
    /// The type with its character set, as a new column would be declared.
    pub(crate) fn declaration(&self) -> String {
        let mut text = self.column_type.clone();
        if let (Some(charset), Some(collation)) = (&self.charset, &self.collation)
            && !matches!(self.kind, Some(Kind::TextForm))
        {
            text.push_str(&format!(" CHARACTER SET {charset} COLLATE {collation}"));
        }
        text
    }
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) is_unique: bool,
    /// In order; empty for an index on expressions.
    pub(crate) columns: Vec<String>,
    /// It covers whole values, none of them NULL.
    pub(crate) is_strict: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveTable {
    pub(crate) name: TableName,
    /// `BASE TABLE`, or what else it is.
    pub(crate) table_type: String,
    pub(crate) engine: String,
    pub(crate) comment: String,
    pub(crate) columns: Vec<LiveColumn>,
    pub(crate) indexes: Vec<Index>,
}

type ColumnFields = (String, String, String, Option<u64>, Option<u64>, Option<String>, Option<String>, String, Option<String>, String);

impl LiveTable {
    /// Reads a table; `None` when there is none.
    pub(crate) async fn read(session: &mut Session, name: &TableName) -> Result<Option<Self>, ConnectorError> {
        let action = format!("describe table `{name}`");
        let sql = format!("SELECT TABLE_TYPE, COALESCE(ENGINE, ''), TABLE_COMMENT FROM information_schema.TABLES WHERE {}", name.condition());
        let Some((table_type, engine, comment)) = session.row::<(String, String, String)>(&action, &sql).await? else { return Ok(None) };
        let sql = format!(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA \
             FROM information_schema.COLUMNS WHERE {} ORDER BY ORDINAL_POSITION",
            name.condition()
        );
        let columns = session.rows::<ColumnFields>(&action, &sql).await?.into_iter().map(live_column).collect();
        let sql = format!(
            "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, NULLABLE FROM information_schema.STATISTICS WHERE {} ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            name.condition()
        );
        let mut indexes: Vec<Index> = Vec::new();
        for (index, non_unique, column, part, nullable) in session.rows::<(String, u64, Option<String>, Option<u64>, Option<String>)>(&action, &sql).await? {
            if indexes.last().is_none_or(|last| last.name != index) {
                indexes.push(Index { name: index, is_unique: non_unique == 0, columns: Vec::new(), is_strict: true });
            }
            if let Some(last) = indexes.last_mut() {
                last.is_strict &= column.is_some() && part.is_none() && nullable.as_deref() != Some("YES");
                last.columns.extend(column);
            }
        }
        Ok(Some(Self { name: name.clone(), table_type, engine, comment, columns, indexes }))
    }

    /// The comment that says whose table it is.
    pub(crate) fn marker(&self) -> Option<&str> {
        marker_in(&self.comment)
    }

    /// What a person wrote into the comment.
    pub(crate) fn remark(&self) -> &str {
        self.comment.find(MARK).map_or(self.comment.as_str(), |at| &self.comment[..at]).trim_end()
    }

    pub(crate) fn column(&self, name: &str) -> Option<&LiveColumn> {
        // Names of columns are the same in any case.
        self.columns.iter().find(|column| column.name == name).or_else(|| self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// The columns that take values, as the types they were loaded as where those are known.
    pub(crate) fn schema(&self, types: &BTreeMap<String, String>) -> SchemaRef {
        let fields = self.columns.iter().filter(|column| !column.is_generated && !column.is_row_number).map(|column| {
            let loaded = types.get(&column.name).and_then(|text| DeclaredType::parse(text).ok()).map(|declared| declared.data_type().clone());
            let loaded = loaded.filter(|loaded| column.kind.as_ref().is_some_and(|kind| column::takes(kind, loaded) || matches!(kind, Kind::Whole { .. } | Kind::Decimal { .. })));
            Field::new(&column.name, loaded.unwrap_or_else(|| column.read_as.clone()), column.nullable)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Whether it holds no row.
    pub(crate) async fn is_empty(&self, session: &mut Session) -> Result<bool, ConnectorError> {
        let sql = format!("SELECT 1 FROM {} LIMIT 1", self.name.sql());
        Ok(session.row::<u8>(&format!("read table `{}`", self.name), &sql).await?.is_none())
    }

    /// Refuses what no transaction could write: views, and engines without transactions.
    pub(crate) fn expect_transactional(&self) -> Result<(), ConnectorError> {
        if self.table_type != "BASE TABLE" {
            return Err(ConnectorError::new(ErrorKind::Refused, format!("`{}` is a {}, not a table", self.name, self.table_type.to_ascii_lowercase()))
                .with_help("name another target in `to.table`"));
        }
        if !self.engine.eq_ignore_ascii_case("InnoDB") {
            return Err(ConnectorError::new(
                ErrorKind::Refused,
                format!("table `{}` is stored by {}, which has no transactions: a crash would leave half a batch", self.name, self.engine),
            )
            .with_help(format!("convert it: `ALTER TABLE {} ENGINE=InnoDB`", self.name.sql())));
        }
        Ok(())
    }
}

/// The part of a comment that is ours.
pub(crate) fn marker_in(comment: &str) -> Option<&str> {
    comment.find(MARK).map(|at| &comment[at..])
}

/// What the comment of a table says that was made, or taken over, by this attempt.
pub(crate) fn marker(generation: u64, attempt: &str) -> String {
    // Comments are short: what identifies a long attempt is its hash.
    let attempt = if attempt.len() > 400 { format!("{:032x}", xxhash_rust::xxh3::xxh3_128(attempt.as_bytes())) } else { attempt.to_owned() };
    format!("{MARK}gen={generation};seq=1;attempt={attempt}")
}

fn live_column(fields: ColumnFields) -> LiveColumn {
    let (name, data_type, column_type, precision, scale, charset, collation, nullable, default, extra) = fields;
    let number = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
    let lower = data_type.to_ascii_lowercase();
    let read_as = arrow_type(Declared { name: &lower, full: &column_type, precision: number(precision), scale: number(scale) });
    let extra = extra.to_ascii_lowercase();
    let is_generated = (extra.contains("generated") && !extra.contains("default_generated")) || extra.contains("virtual") || extra.contains("persistent");
    LiveColumn {
        is_row_number: name == "my_row_id" && extra.contains("auto_increment") && extra.contains("invisible"),
        kind: column::parse(&column_type, charset.as_deref()),
        has_default: nullable == "YES" || default.is_some() || extra.contains("auto_increment"),
        nullable: nullable == "YES",
        name,
        column_type,
        charset,
        collation,
        is_generated,
        read_as,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]
    use super::*;

    #[test]
    fn a_name_is_a_table_or_a_table_of_a_database_and_never_one_of_ours() {
        let parse = |name: &str| TableName::parse(&TargetObject { table: name.to_owned() });

        assert_eq!(parse("shop.or`der").unwrap().sql(), "`shop`.`or``der`");
        assert_eq!(parse("bronze_t").unwrap().sql(), "`bronze_t`");
        for name in ["", "a.b.c", "karat_commits", ".t", "a/b", &"x".repeat(65)] {
            assert_eq!(parse(name).unwrap_err().kind(), ErrorKind::Refused, "{name}");
        }
    }

    #[test]
    fn a_remark_of_a_person_stays_before_ours() {
        let comment = format!("orders of the shop {}", marker(3, "run-bronze.t-1-1"));

        assert_eq!(marker_in(&comment), Some("karat:gen=3;seq=1;attempt=run-bronze.t-1-1"));
        assert_eq!(marker_in("orders"), None);
    }
}
