//! The statement that brings staged rows into the table.

use super::design::Placed;
use super::form::{Form, Intake};
use super::plan::list;
use super::window::WindowColumn;
use crate::spelling::quote;
use karat_spec::model::Deletes;
use std::fmt::Write;

/// How staged rows meet those that are there.
#[derive(Debug, Clone, PartialEq)]
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
    /// They replace those of a window, and those of the same keys wherever they are.
    Window {
        column: WindowColumn,
        key: Vec<String>,
        /// The table proves that its keys are unique, so that rows without a difference can be left alone.
        has_unique_key: bool,
    },
    /// They are all that there is.
    Diff { key: Vec<String>, deletes: Deletes, max_delete: f64 },
}

/// What a merge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) written: u64,
    pub(crate) removed: u64,
    /// Rows of the table after it less those before.
    pub(crate) grown: i64,
}

impl Merged {
    /// What writing and removing rows of a table amounts to.
    pub(crate) fn new(written: u64, removed: u64) -> Self {
        Self { written, removed, grown: written.cast_signed() - removed.cast_signed() }
    }
}

impl Rule {
    /// True when the order in which rows came decides something.
    pub(crate) fn needs_order(&self) -> bool {
        match self {
            Self::Insert | Self::Window { .. } | Self::Diff { .. } => false,
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
    /// The statement that adds all staged rows. As the others, it counts the rows that it wrote.
    pub(crate) fn add(&self) -> String {
        self.insert("", &format!("SELECT {} FROM {} AS s", self.expressions(), self.staging), "")
    }

    /// The statement that adds rows that the table does not hold.
    pub(crate) fn add_once(&self, identity: &[String], counts_copies: bool) -> String {
        if counts_copies { self.once_counted() } else { self.once(identity) }
    }

    /// The statement that adds rows of `from`, where staged ones are `s`, and replaces those of the same key: also keys that are equal and yet not
    /// the same, as 1.0 and 1.00 are.
    pub(crate) fn replace(&self, key: &[String], from: &str) -> String {
        let keys: Vec<String> = key.iter().map(|name| self.expression(name)).collect();
        let select = format!("SELECT {} FROM {from} ORDER BY {}", self.expressions(), keys.join(", "));
        self.insert("", &select, &on_conflict(key, self.replaced(key)))
    }

    /// The columns in which rows of one key can differ.
    pub(crate) fn replaced<'c>(&'c self, key: &'c [String]) -> impl Iterator<Item = &'c Placed> {
        self.columns.iter().filter(|column| !key.contains(&column.name) || !has_one_form(column))
    }

    /// True when the key of `held`, a row of the table, is that of the staged row `s`.
    pub(crate) fn same_key(&self, key: &[String], held: &str) -> String {
        key.iter().map(|name| format!("{held}.{} = {}", quote(name), self.expression(name))).collect::<Vec<_>>().join(" AND ")
    }

    fn insert(&self, before: &str, select: &str, after: &str) -> String {
        let names = list(self.columns.iter().map(|column| column.name.as_str()));
        format!("{before} INSERT INTO {} AS held ({names}) OVERRIDING SYSTEM VALUE {select} {after}", self.table)
    }

    fn expressions(&self) -> String {
        self.columns.iter().map(Placed::expression).collect::<Vec<_>>().join(", ")
    }

    /// A column of the staged row `s` as the table has it.
    pub(crate) fn expression(&self, name: &str) -> String {
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

    /// The statement that adds rows or replaces those of the same key; of rows with one key, the first by `order_by` counts.
    pub(crate) fn upsert(&self, key: &[String], unique_in_read: bool, order_by: &[String]) -> String {
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
        let others = self.columns.iter().filter(|column| !key.contains(&column.name));
        self.insert("", &select, &on_conflict(key, others))
    }
}

/// What happens to a row whose key is there.
fn on_conflict<'a>(key: &[String], replaced: impl Iterator<Item = &'a Placed>) -> String {
    let names = list(key.iter().map(String::as_str));
    let mut sets = Vec::new();
    let mut compared = Vec::new();
    for column in replaced {
        let name = quote(&column.name);
        sets.push(format!("{name} = EXCLUDED.{name}"));
        compared.push((column, format!("held.{name}"), format!("EXCLUDED.{name}")));
    }
    if sets.is_empty() {
        return format!("ON CONFLICT ({names}) DO NOTHING");
    }
    format!("ON CONFLICT ({names}) DO UPDATE SET {} WHERE {}", sets.join(", "), differs(&compared))
}

/// True when two rows differ in one of these columns, of which the two values are given.
///
/// A column whose equality is exact is compared by it, which is cheap and ends at the first difference. All others are compared byte by byte: floats
/// and numbers whose equal values can look different, and types without an equality.
pub(crate) fn differs(columns: &[(&Placed, String, String)]) -> String {
    let mut parts = Vec::new();
    let (mut held, mut new) = (Vec::new(), Vec::new());
    for (column, left, right) in columns {
        if has_one_form(column) {
            parts.push(format!("{left} IS DISTINCT FROM {right}"));
        } else if is_text(column) {
            // In this collation texts are equal only when their bytes are.
            parts.push(format!("{left} COLLATE \"C\" IS DISTINCT FROM {right} COLLATE \"C\""));
        } else {
            held.push(left.as_str());
            new.push(right.as_str());
        }
    }
    if !held.is_empty() {
        parts.push(format!("ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record", held.join(", "), new.join(", ")));
    }
    if parts.is_empty() { "false".to_owned() } else { format!("({})", parts.join(" OR ")) }
}

/// True when equal values of a column have the same bytes.
fn has_one_form(column: &Placed) -> bool {
    matches!(&column.intake, Intake::Direct(Form::Boolean | Form::Int16 | Form::Int32 | Form::Int64 | Form::Oid | Form::Uuid | Form::Bytes | Form::Date | Form::Timestamp))
}

/// True for texts of any length, whose collation may say otherwise than their bytes; not for JSON and enumerations.
fn is_text(column: &Placed) -> bool {
    let declared = column.cast_type();
    matches!(&column.intake, Intake::Direct(Form::Text)) && (declared == "text" || declared.starts_with("character varying"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(name: &str, declared: &str, intake: Intake) -> Placed {
        Placed { name: name.to_owned(), declared: declared.to_owned(), intake, change: None, nullable: true }
    }

    #[test]
    fn each_column_is_compared_as_exactly_as_it_needs() {
        let columns = [
            placed("id", "bigint", Intake::Direct(Form::Int64)),
            placed("price", "numeric", Intake::Direct(Form::Numeric)),
            placed("name", "character varying(5) COLLATE pg_catalog.\"de_DE\"", Intake::Direct(Form::Text)),
            placed("document", "json", Intake::Direct(Form::Text)),
            placed("place", "point", Intake::Cast(Form::Text)),
        ];
        let compared: Vec<_> = columns.iter().map(|column| (column, format!("a.{}", column.name), format!("b.{}", column.name))).collect();
        assert_eq!(
            differs(&compared),
            "(a.id IS DISTINCT FROM b.id OR a.name COLLATE \"C\" IS DISTINCT FROM b.name COLLATE \"C\" OR \
             ROW(a.price, a.document, a.place)::record OPERATOR(pg_catalog.*<>) ROW(b.price, b.document, b.place)::record)"
        );
        assert_eq!(differs(&[]), "false");
    }
}
