//! What the catalogue says of a table, a view or a query.

use crate::client::quote;
use crate::error::wrap;
use crate::schema::arrow_type;
use karat_plugin_api::{Column, ConnectorError, ErrorKind, SeesWriters, SourceObject, SourceSchema};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// Databases up to this size are counted exactly; it takes a fraction of a second.
const COUNTED_BYTES: i64 = 256 << 20;

/// A table, view or query, as far as reading it must know.
pub(crate) struct Described {
    /// What stands behind FROM.
    pub(crate) from: String,
    /// For messages: "table `trades`".
    pub(crate) label: String,
    /// The catalogue's answer.
    pub(crate) schema: SourceSchema,
    /// Columns that are alone in a unique index, so that no two rows share a value.
    pub(crate) unique: Vec<String>,
    /// The table's name, when its integer key is drawn by AUTOINCREMENT and never goes back.
    pub(crate) autoincrement: Option<String>,
    /// The name, when it is a table.
    pub(crate) table: Option<String>,
    /// True for ordinary tables, whose rows have a number of their own.
    pub(crate) has_rowid: bool,
}

impl Described {
    /// A name by which each row's number can be asked for; a column may have taken some of the names that SQLite has for it.
    pub(crate) fn rowid_name(&self) -> Option<&'static str> {
        let is_free = |name: &&str| !self.schema.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        ["rowid", "_rowid_", "oid"].into_iter().find(is_free).filter(|_| self.has_rowid)
    }
}

/// Looks `object` up.
pub(crate) fn describe(connection: &Connection, path: &Path, object: &SourceObject) -> Result<Described, ConnectorError> {
    match object {
        SourceObject::Table(name) => describe_table(connection, path, name),
        SourceObject::Query(sql) => {
            let sql = sql.trim().trim_end_matches(';');
            let columns = result_columns(connection, sql).map_err(|error| wrap("prepare the query", path, error))?;
            let identity = identity(connection, path, &format!("query {sql}"))?;
            // The closing parenthesis stands on a line of its own, in case the query ends in a comment.
            Ok(Described {
                from: format!("({sql}\n)"),
                label: "the query".into(),
                schema: loose_schema(columns, identity),
                unique: Vec::new(),
                autoincrement: None,
                table: None,
                has_rowid: false,
            })
        }
        SourceObject::Files(_) => {
            Err(ConnectorError::new(ErrorKind::BadConfiguration, "a `sqlite` connection has tables, not files")
                .with_help("write `from: {connection, table}` or `{connection, query}`"))
        }
    }
}

fn describe_table(connection: &Connection, path: &Path, name: &str) -> Result<Described, ConnectorError> {
    let failed = |error| wrap(&format!("read the catalogue of table `{name}`"), path, error);
    let found: Option<(String, String, bool, bool)> = connection
        .query_row("SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE ORDER BY name = ?1 DESC", [name], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()
        .map_err(failed)?;
    let Some((name, kind, without_rowid, strict)) = found else { return Err(not_found(connection, path, name)?) };
    if kind == "view" {
        let columns = result_columns(connection, &format!("SELECT * FROM {}", quote(&name))).map_err(failed)?;
        let identity = identity(connection, path, &format!("view {name}"))?;
        return Ok(Described {
            from: quote(&name),
            label: format!("view `{name}`"),
            schema: loose_schema(columns, identity),
            unique: Vec::new(),
            autoincrement: None,
            table: None,
            has_rowid: false,
        });
    }
    let (indexes, unique_lists, has_key_index) = indexes(connection, &name).map_err(failed)?;
    let raw = table_columns(connection, &name).map_err(failed)?;
    let mut key: Vec<(i64, String)> = raw.iter().filter(|column| column.key_position > 0).map(|column| (column.key_position, column.name.clone())).collect();
    key.sort();
    let primary_key: Vec<String> = key.into_iter().map(|(_, name)| name).collect();
    // SQLite makes an index for every key, except for an INTEGER PRIMARY KEY, which is the row number itself and never NULL.
    let row_number = (!without_rowid && !has_key_index && primary_key.len() == 1).then(|| primary_key[0].clone());
    let columns = raw
        .iter()
        .map(|column| Column {
            name: column.name.clone(),
            declared: column.declared.clone(),
            data_type: arrow_type(&column.declared),
            // In ordinary tables a primary key may hold NULL, by an old mistake that SQLite keeps.
            nullable: !(column.not_null || row_number.as_ref() == Some(&column.name) || ((without_rowid || strict) && column.key_position > 0)),
        })
        .collect();
    let mut unique: Vec<String> = unique_lists.into_iter().filter(|(columns, is_unique)| *is_unique && columns.len() == 1).flat_map(|(columns, _)| columns).collect();
    // Two texts that differ in an index may be equal in the column's own collation, so only numbers count.
    unique.retain(|name| raw.iter().any(|column| &column.name == name && column.not_null && is_numeric(&column.declared)));
    unique.extend(row_number.clone());
    let has_rowid = kind == "table" && !without_rowid;
    let identity = identity(connection, path, &format!("table {name} ({})", primary_key.join(", ")))?;
    let autoincrement = match row_number {
        Some(_) => connection
            .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'", [], |_| Ok(()))
            .optional()
            .map_err(failed)?
            .and_then(|()| connection.query_row("SELECT name FROM sqlite_sequence WHERE name = ?1", [&name], |row| row.get(0)).optional().ok().flatten()),
        None => None,
    };
    let schema = SourceSchema { columns, primary_key, indexes, estimated_rows: None, estimated_bytes: None, identity, sees_writers: SeesWriters::Unasked };
    Ok(Described { from: quote(&name), label: format!("table `{name}`"), schema, unique, autoincrement, table: Some(name), has_rowid })
}

fn is_numeric(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    declared.contains("INT") || matches!(arrow_type(&declared), arrow::datatypes::DataType::Float64 | arrow::datatypes::DataType::Decimal128(..))
}

struct RawColumn {
    name: String,
    declared: String,
    not_null: bool,
    key_position: i64,
}

fn table_columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<RawColumn>> {
    // Hidden 1 is a virtual table's inner column; 2 and 3 are generated columns, which are as good as any.
    let mut statement = connection.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid")?;
    let rows = statement.query_map([table], |row| Ok(RawColumn { name: row.get(0)?, declared: row.get(1)?, not_null: row.get(2)?, key_position: row.get(3)? }))?;
    rows.collect()
}

type IndexLists = (Vec<Vec<String>>, Vec<(Vec<String>, bool)>, bool);

/// Column lists of whole indexes over plain columns; the same with uniqueness; whether the primary key has an index of its own.
fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<IndexLists> {
    let mut statement = connection.prepare("SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1) ORDER BY seq")?;
    let found: Vec<(String, bool, String, bool)> =
        statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut lists = Vec::new();
    let mut has_key_index = false;
    for (name, unique, origin, partial) in found {
        has_key_index |= origin == "pk";
        let mut statement = connection.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
        let columns: Vec<Option<String>> = statement.query_map([&name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        // A missing name is an expression.
        if let (false, Some(columns)) = (partial, columns.into_iter().collect::<Option<Vec<String>>>()) {
            lists.push((columns, unique));
        }
    }
    Ok((lists.iter().map(|(columns, _)| columns.clone()).collect(), lists, has_key_index))
}

fn result_columns(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Column>> {
    let statement = connection.prepare(sql)?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(rusqlite::Error::InvalidQuery);
    }
    let describe = |column: &rusqlite::Column<'_>| {
        let declared = column.decl_type().unwrap_or_default().to_owned();
        Column { name: column.name().to_owned(), data_type: arrow_type(&declared), declared, nullable: true }
    };
    Ok(statement.columns().iter().map(describe).collect())
}

fn loose_schema(columns: Vec<Column>, identity: String) -> SourceSchema {
    SourceSchema { columns, primary_key: Vec::new(), indexes: Vec::new(), estimated_rows: None, estimated_bytes: None, identity, sees_writers: SeesWriters::Unasked }
}

/// About how many rows and bytes a table has, where that is cheap to say.
pub(crate) fn estimate(connection: &Connection, path: &Path, described: &mut Described) -> Result<(), ConnectorError> {
    let Some(table) = described.table.clone() else { return Ok(()) };
    let (rows, bytes) = estimate_table(connection, &table, described.has_rowid).map_err(|error| wrap(&format!("estimate {}", described.label), path, error))?;
    described.schema.estimated_rows = rows;
    described.schema.estimated_bytes = bytes;
    Ok(())
}

fn estimate_table(connection: &Connection, table: &str, has_rowid: bool) -> rusqlite::Result<(Option<u64>, Option<u64>)> {
    let bytes: i64 = connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| row.get(0))?;
    let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    if bytes <= COUNTED_BYTES {
        let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {}", quote(table)), [], |row| row.get(0))?;
        let own: Option<i64> = connection.query_row("SELECT sum(pgsize) FROM dbstat WHERE name = ?1 AND aggregate = 1", [table], |row| row.get(0)).optional()?.flatten();
        return Ok((positive(Some(rows)), positive(own)));
    }
    let has_statistics: bool = connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'", [], |row| row.get(0))?;
    if has_statistics {
        let text: Option<String> = connection.query_row("SELECT stat FROM sqlite_stat1 WHERE tbl = ?1 AND stat IS NOT NULL LIMIT 1", [table], |row| row.get(0)).optional()?;
        if let Some(rows) = text.as_deref().and_then(|text| text.split(' ').next()?.parse().ok()) {
            return Ok((Some(rows), None));
        }
    }
    if !has_rowid {
        return Ok((None, None));
    }
    let name = quote(table);
    let span: Option<i64> = connection.query_row(&format!("SELECT (SELECT max(rowid) FROM {name}) - (SELECT min(rowid) FROM {name})"), [], |row| row.get(0))?;
    // Numbers may be sparse, but no more rows fit than the file has room for: each takes at least a byte per column and four more.
    let columns: i64 = connection.query_row("SELECT count(*) FROM pragma_table_info(?1)", [table], |row| row.get(0))?;
    Ok((positive(span.map(|span| span.saturating_add(1).min(bytes / (columns + 4)))), None))
}

/// What stays the same while a database lives on, and differs in one that took its place: who made it, and what the object is.
/// Additive schema changes leave it alone; so does copying the file, which is how many databases are delivered.
fn identity(connection: &Connection, path: &Path, object: &str) -> Result<String, ConnectorError> {
    let application: i64 =
        connection.query_row("SELECT application_id FROM pragma_application_id", [], |row| row.get(0)).map_err(|error| wrap("read the catalogue", path, error))?;
    Ok(format!("sqlite:{application:x}:{:032x}", xxh3_128(object.as_bytes())))
}

fn not_found(connection: &Connection, path: &Path, name: &str) -> Result<ConnectorError, ConnectorError> {
    let failed = |error| wrap("list tables", path, error);
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name").map_err(failed)?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0)).map_err(failed)?.collect::<rusqlite::Result<_>>().map_err(failed)?;
    let error = ConnectorError::new(ErrorKind::NotFound, format!("database `{}` has no table `{name}`", path.display()));
    let nearest = names.iter().map(|candidate| (strsim::jaro_winkler(&candidate.to_lowercase(), &name.to_lowercase()), candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    Ok(match nearest {
        Some((likeness, candidate)) if likeness > 0.8 => error.with_help(format!("a table with a similar name exists: `{candidate}`")),
        Some(_) if names.len() <= 10 => error.with_help(format!("its tables are {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
        Some(_) => error.with_help(format!("it has {} tables, none with a similar name", names.len())),
        None => error.with_help("the database has no tables"),
    })
}
