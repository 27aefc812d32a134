//! The statement that brings staged rows into the table.

use super::design::Placed;
use super::form::Form;
use super::plan::list;
use crate::spelling::quote;
use std::fmt::Write;

/// How staged rows meet those that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// They are added.
    Insert,
    /// They are added unless the table holds their identity.
    Once {
        identity: Vec<String>,
        /// Without a key equal rows are different rows: as many copies as the table holds are left out, not more.
        counts_copies: bool,
    },
    /// They replace those of the same key, unless nothing in them differs.
    Upsert { key: Vec<String>, unique_in_read: bool, order_by: Vec<String> },
}

impl Rule {
    /// True when the order in which rows came decides something.
    pub(crate) fn needs_order(&self) -> bool {
        match self {
            Self::Insert => false,
            Self::Once { counts_copies, .. } => *counts_copies,
            Self::Upsert { unique_in_read, .. } => !unique_in_read,
        }
    }

    /// True when rows of earlier commits of the same load are looked at again.
    pub(crate) fn keeps_staged(&self) -> bool {
        matches!(self, Self::Once { counts_copies: true, .. })
    }
}

/// One merge.
pub(crate) struct Merge<'a> {
    /// The table, in SQL.
    pub(crate) table: &'a str,
    /// Where the rows are staged, in SQL.
    pub(crate) staging: &'a str,
    pub(crate) columns: &'a [Placed],
    /// The column that numbers staged rows, when they are numbered.
    pub(crate) number: &'a str,
    /// The first row that was not committed yet.
    pub(crate) first_row: u64,
    /// Leading columns of the table's ordered indexes.
    pub(crate) indexed: &'a [String],
}

impl Merge<'_> {
    /// The statement that merges. It counts the rows that it wrote.
    pub(crate) fn sql(&self, rule: &Rule) -> String {
        match rule {
            Rule::Insert => self.insert("", &format!("SELECT {} FROM {} AS s", self.expressions(), self.staging), ""),
            Rule::Once { identity, counts_copies: false } => self.once(identity),
            Rule::Once { counts_copies: true, .. } => self.once_counted(),
            Rule::Upsert { key, unique_in_read, order_by } => self.upsert(key, *unique_in_read, order_by),
        }
    }

    fn insert(&self, before: &str, select: &str, after: &str) -> String {
        let names = list(self.columns.iter().map(|column| column.name.as_str()));
        format!("{before} INSERT INTO {} AS held ({names}) OVERRIDING SYSTEM VALUE {select} {after}", self.table)
    }

    fn expressions(&self) -> String {
        self.columns.iter().map(Placed::expression).collect::<Vec<_>>().join(", ")
    }

    fn expression(&self, name: &str) -> String {
        self.columns.iter().find(|column| column.name == name).map_or_else(|| format!("s.{}", quote(name)), Placed::expression)
    }

    fn once(&self, identity: &[String]) -> String {
        let mut same = Vec::new();
        for name in identity {
            let (held, new) = (format!("t.{}", quote(name)), self.expression(name));
            let nullable = self.columns.iter().any(|column| column.name == *name && column.nullable);
            // NULL is the same as NULL here, in a form that rows can still be hashed by.
            same.push(if nullable {
                format!("coalesce({held}::text, '') = coalesce(({new})::text, '') AND ({held} IS NULL) = ({new} IS NULL)")
            } else {
                format!("{held} = {new}")
            });
        }
        let select = format!("SELECT {} FROM {} AS s WHERE NOT EXISTS (SELECT 1 FROM {} AS t WHERE {})", self.expressions(), self.staging, self.table, same.join(" AND "));
        self.insert("", &select, "")
    }

    /// Of each row the table ends up with as many copies as this load delivered in all, or as it held before if those were more.
    ///
    /// Equal means equal as text: that is exact for every type, and tells apart what the types' own equality does not (1.0 and 1.00).
    fn once_counted(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| format!("t.{}", quote(&column.name))).collect();
        let number = quote(self.number);
        let range = self.range();
        let before = format!(
            "WITH staged AS MATERIALIZED (SELECT s.*, pg_catalog.row_number() OVER (PARTITION BY s.\"karat identity\" ORDER BY s.{number}) AS \"karat copy\" \
             FROM (SELECT s.*, ROW({})::text AS \"karat identity\" FROM {} AS s) AS s), \
             counted AS MATERIALIZED (SELECT ROW({})::text AS \"karat identity\", pg_catalog.count(*) AS copies FROM {} AS t {range} GROUP BY 1)",
            self.expressions(),
            self.staging,
            names.join(", "),
            self.table
        );
        let select = format!(
            "SELECT {} FROM staged AS s LEFT JOIN counted AS c ON c.\"karat identity\" = s.\"karat identity\" \
             WHERE s.{number} >= {} AND s.\"karat copy\" > coalesce(c.copies, 0) ORDER BY s.{number}",
            self.expressions(),
            self.first_row
        );
        self.insert(&before, &select, "")
    }

    /// Only rows of the table that lie in the staged rows' range of an indexed column can be equal to one.
    fn range(&self) -> String {
        let is_ordered = |column: &&Placed| matches!(column.form(), Form::Int16 | Form::Int32 | Form::Int64 | Form::Numeric | Form::Date | Form::Timestamp);
        let Some(column) = self.columns.iter().filter(is_ordered).find(|column| self.indexed.contains(&column.name)) else { return String::new() };
        let (name, staging) = (quote(&column.name), self.staging);
        format!("WHERE t.{name} BETWEEN (SELECT pg_catalog.min({name}) FROM {staging}) AND (SELECT pg_catalog.max({name}) FROM {staging}) OR t.{name} IS NULL")
    }

    fn upsert(&self, key: &[String], unique_in_read: bool, order_by: &[String]) -> String {
        let keys: Vec<String> = key.iter().map(|name| self.expression(name)).collect();
        let keys = keys.join(", ");
        let mut select = String::from("SELECT ");
        // Writing into a string cannot fail.
        let mut order = format!(" ORDER BY {keys}");
        if !unique_in_read {
            let _infallible = write!(select, "DISTINCT ON ({keys}) ");
            for name in order_by {
                let _infallible = write!(order, ", {} DESC NULLS LAST", self.expression(name));
            }
            let _infallible = write!(order, ", s.{} DESC", quote(self.number));
        }
        // Rows are locked in the order of the key, so that two writers wait for each other instead of both failing.
        let _infallible = write!(select, "{} FROM {} AS s{order}", self.expressions(), self.staging);
        let names: Vec<String> = key.iter().map(|name| quote(name)).collect();
        let others: Vec<String> = self.columns.iter().filter(|column| !key.contains(&column.name)).map(|column| quote(&column.name)).collect();
        if others.is_empty() {
            return self.insert("", &select, &format!("ON CONFLICT ({}) DO NOTHING", names.join(", ")));
        }
        let sets: Vec<String> = others.iter().map(|name| format!("{name} = EXCLUDED.{name}")).collect();
        let (held, new): (Vec<String>, Vec<String>) = others.iter().map(|name| (format!("held.{name}"), format!("EXCLUDED.{name}"))).unzip();
        // Compared byte by byte: exact for every type, also those without an equality.
        let after = format!(
            "ON CONFLICT ({}) DO UPDATE SET {} WHERE ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record",
            names.join(", "),
            sets.join(", "),
            held.join(", "),
            new.join(", ")
        );
        self.insert("", &select, &after)
    }
}
