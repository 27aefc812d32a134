//! What the catalogue says of a target table.

use super::name::TableName;
use crate::client::{Session, TextRow};
use crate::schema::{TypeFacts, native};
use crate::spelling::literal;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::sync::Arc;

/// A relation of the target's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Its number; a table that takes another's place has another.
    pub(crate) oid: u32,
    /// `r` for tables, `p` for partitioned ones.
    pub(crate) kind: String,
    /// Rows as the server estimates them; 0 when it never counted.
    pub(crate) estimated_rows: u64,
}

/// What is found at a target's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) has_schema: bool,
    pub(crate) has_commits: bool,
    pub(crate) relation: Option<Relation>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    /// The type as the server spells it, with its collation when that is not the usual one.
    pub(crate) declared: String,
    pub(crate) facts: TypeFacts,
    pub(crate) not_null: bool,
    pub(crate) is_generated: bool,
    /// It has a default, or numbers itself.
    pub(crate) fills_itself: bool,
    /// The default's expression.
    pub(crate) default: Option<String>,
}

impl TableColumn {
    /// The Arrow type that a load's columns are compared with; null where the column takes several kinds of values.
    fn arrow(&self) -> DataType {
        /// `jsonb`, which holds texts as well as lists and structs.
        const JSONB: u32 = 3802;
        if self.facts.oid == JSONB { DataType::Null } else { native(&self.facts).data_type }
    }
}

/// The columns as Arrow.
pub(crate) fn arrow_schema(columns: &[TableColumn]) -> SchemaRef {
    let fields = columns.iter().filter(|column| !column.is_generated).map(|column| Field::new(&column.name, column.arrow(), !column.not_null));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What is at `name`.
pub(crate) async fn find(session: &mut Session, name: &TableName) -> Result<Place, Trouble> {
    let (schema, table) = (literal(&name.schema)?, literal(&name.table)?);
    let sql = format!(
        "SELECT n.oid IS NOT NULL, l.oid IS NOT NULL, c.oid, c.relkind, c.reltuples::int8 FROM (SELECT 1) one \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = {schema} \
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = {table} \
         LEFT JOIN pg_catalog.pg_class l ON l.relnamespace = n.oid AND l.relname = '{}' AND l.relkind = 'r'",
        super::name::COMMITS
    );
    let rows = session.rows(&sql).await?;
    let row = rows.first().ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "the catalogue gave no answer"))?;
    let relation = row.text(2).and_then(|oid| oid.parse().ok()).map(|oid| Relation {
        oid,
        kind: row.text(3).unwrap_or_default().to_owned(),
        estimated_rows: row.number(4).and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0),
    });
    Ok(Place { has_schema: row.is_true(0), has_commits: row.is_true(1), relation })
}

/// The columns of a relation, in its order.
pub(crate) async fn columns(session: &mut Session, oid: u32) -> Result<Vec<TableColumn>, Trouble> {
    let sql = format!(
        "WITH RECURSIVE c AS (SELECT * FROM pg_catalog.pg_attribute WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped), \
         r (n, oid, modifier) AS (SELECT attnum, atttypid, atttypmod FROM c \
           UNION ALL SELECT r.n, d.typbasetype, d.typtypmod FROM r JOIN pg_catalog.pg_type d ON d.oid = r.oid WHERE d.typtype = 'd') \
         SELECT c.attname, pg_catalog.format_type(c.atttypid, c.atttypmod), c.attnotnull, t.oid, r.modifier, t.typtype = 'e', \
         CASE WHEN e.typtype = 'd' THEN e.typbasetype ELSE e.oid END, e.typtype = 'e', CASE WHEN e.typtype = 'd' THEN e.typtypmod ELSE r.modifier END, \
         c.attgenerated <> '', c.attidentity <> '', pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
         CASE WHEN c.attcollation <> 0 AND c.attcollation <> o.typcollation \
           THEN (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname) FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = c.attcollation) END \
         FROM c JOIN r ON r.n = c.attnum JOIN pg_catalog.pg_type t ON t.oid = r.oid AND t.typtype <> 'd' JOIN pg_catalog.pg_type o ON o.oid = c.atttypid \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.attrelid AND d.adnum = c.attnum ORDER BY c.attnum"
    );
    Ok(session.rows(&sql).await?.iter().map(column).collect())
}

fn column(row: &TextRow) -> TableColumn {
    let oid = |at| row.text(at).and_then(|text| text.parse::<u32>().ok());
    let modifier = |at| row.number(at).and_then(|number| i32::try_from(number).ok()).unwrap_or(-1);
    let element = oid(6).map(|oid| Box::new(TypeFacts { oid, modifier: -1, is_enum: row.is_true(7), element: None }));
    let facts = TypeFacts { oid: oid(3).unwrap_or(0), modifier: modifier(if element.is_some() { 8 } else { 4 }), is_enum: row.is_true(5), element };
    let declared = row.text(1).unwrap_or_default();
    let is_generated = row.is_true(9);
    TableColumn {
        name: row.text(0).unwrap_or_default().to_owned(),
        declared: row.text(12).map_or_else(|| declared.to_owned(), |collation| format!("{declared} COLLATE {collation}")),
        facts,
        not_null: row.is_true(2),
        is_generated,
        fills_itself: row.is_true(10) || row.text(11).is_some(),
        default: row.text(11).filter(|_| !is_generated).map(str::to_owned),
    }
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) is_primary: bool,
    /// It proves that no two rows share its columns: unique, whole, over plain columns.
    pub(crate) proves_unique: bool,
    /// Names of the plain columns, in order.
    pub(crate) columns: Vec<String>,
    /// It has an expression or a condition, too.
    pub(crate) has_expressions: bool,
    /// What CREATE INDEX says after the table's name.
    pub(crate) definition: String,
    pub(crate) is_unique: bool,
    /// The constraint it stands for: kind (`p`, `u`, `x`) and definition.
    pub(crate) constraint: Option<(String, String)>,
    /// It is the leading column's order that a range is looked up by.
    pub(crate) is_btree: bool,
}

/// The valid indexes of a relation.
pub(crate) async fn indexes(session: &mut Session, oid: u32) -> Result<Vec<Index>, Trouble> {
    let sql = format!(
        "SELECT i.indexrelid, c.relname, i.indisprimary, i.indisunique AND i.indimmediate AND i.indpred IS NULL AND NOT 0 = ANY (i.indkey[0:i.indnkeyatts - 1]), \
         (SELECT pg_catalog.json_agg(a.attname ORDER BY k.n) FROM pg_catalog.unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k (attnum, n) JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum), \
         i.indpred IS NOT NULL OR i.indexprs IS NOT NULL, \
         pg_catalog.substr(pg_catalog.pg_get_indexdef(i.indexrelid), pg_catalog.strpos(pg_catalog.pg_get_indexdef(i.indexrelid), ' USING ' || m.amname || ' (')), \
         i.indisunique, o.contype, pg_catalog.pg_get_constraintdef(o.oid), m.amname = 'btree' \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam \
         LEFT JOIN pg_catalog.pg_constraint o ON o.conindid = i.indexrelid AND o.conrelid = i.indrelid AND o.contype IN ('p', 'u', 'x') \
         WHERE i.indrelid = {oid} AND i.indisvalid ORDER BY i.indexrelid"
    );
    let rows = session.rows(&sql).await?;
    Ok(rows
        .iter()
        .map(|row| Index {
            oid: row.text(0).and_then(|text| text.parse().ok()).unwrap_or(0),
            name: row.text(1).unwrap_or_default().to_owned(),
            is_primary: row.is_true(2),
            proves_unique: row.is_true(3),
            columns: row.text(4).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            has_expressions: row.is_true(5),
            definition: row.text(6).unwrap_or_default().to_owned(),
            is_unique: row.is_true(7),
            constraint: row.text(8).map(|kind| (kind.to_owned(), row.text(9).unwrap_or_default().to_owned())),
            is_btree: row.is_true(10),
        })
        .collect())
}

/// True when a table holds a row.
pub(crate) async fn has_rows(session: &mut Session, name: &TableName) -> Result<bool, Trouble> {
    let rows = session.rows(&format!("SELECT EXISTS (SELECT 1 FROM {})", name.sql())).await?;
    Ok(rows.first().is_some_and(|row| row.is_true(0)))
}

/// Runs a statement, and gives the rows that it wrote.
pub(crate) async fn written(session: &mut Session, sql: &str) -> Result<u64, Trouble> {
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(session.connection()).await?;
    Ok(done.rows_affected())
}

/// Rows that this transaction has replaced in a table, as the server counts them; that costs nothing, where asking each row costs half of an upsert.
/// The rows of partitions are not counted with their parent, which has none of its own.
pub(crate) async fn updated(session: &mut Session, oid: u32) -> Result<u64, Trouble> {
    let sql = format!(
        "SELECT coalesce((SELECT sum(pg_catalog.pg_stat_get_xact_tuples_updated(p.relid))::int8 FROM pg_catalog.pg_partition_tree({oid}) p), pg_catalog.pg_stat_get_xact_tuples_updated({oid}))"
    );
    let rows = session.rows(&sql).await?;
    Ok(rows.first().and_then(|row| row.number(0)).and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
}

/// What ends a step: the server or the connection, or a finding of ours.
#[derive(Debug)]
pub(crate) enum Trouble {
    Server(sqlx::Error),
    Told(ConnectorError),
}

impl Trouble {
    /// As an error of `action`.
    pub(crate) fn named(self, action: &str) -> ConnectorError {
        match self {
            Self::Server(error) => crate::error::wrap(action, error),
            Self::Told(error) => error,
        }
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Server(error)
    }
}

impl From<ConnectorError> for Trouble {
    fn from(error: ConnectorError) -> Self {
        Self::Told(error)
    }
}
