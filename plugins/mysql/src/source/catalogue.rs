//! What the catalogue says of a table, a view or a query.

use super::settle::sees_writers;
use crate::client::{Family, literal, quote};
use crate::config::Server;
use crate::error::{Fault, wrap};
use crate::schema::{Declared, arrow_type, decimal};
use crate::wire::{ColumnDefinition, Session, kind};
use arrow::datatypes::{DataType, TimeUnit};
use karat_plugin_api::{Column, ConnectorError, ErrorKind, SourceObject, SourceSchema};
use xxhash_rust::xxh3::xxh3_128;

/// A table, view or query, as far as reading it must know.
pub(crate) struct Described {
    /// What stands behind FROM.
    pub(crate) from: String,
    /// For messages: "table `trades`".
    pub(crate) label: String,
    /// The catalogue's answer.
    pub(crate) schema: SourceSchema,
    /// Indexes that deliver rows in their order.
    pub(crate) indexes: Vec<Index>,
    /// Columns whose values compare by another order than they are sorted in: members of `ENUM` and `SET`.
    pub(crate) numbered: Vec<String>,
    /// The next value of the counter that keys are drawn from, and its column.
    pub(crate) counter: Option<(String, u64)>,
    /// True for tables whose rows are read from a snapshot.
    pub(crate) has_snapshots: bool,
    /// True for tables, and not for views and queries.
    pub(crate) is_table: bool,
}

/// An index of whole columns in ascending order.
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) is_unique: bool,
}

impl Described {
    /// True when no two rows share a value of this column, and none is NULL.
    pub(crate) fn is_unique(&self, name: &str) -> bool {
        self.indexes.iter().any(|index| index.is_unique && index.columns == [name]) && self.schema.column(name).is_some_and(|column| !column.nullable)
    }

    /// An index that gives rows in the order of these columns. Every index ends in the primary key, said or not.
    pub(crate) fn index_for(&self, order: &[String]) -> Option<&str> {
        let key = &self.schema.primary_key;
        let fits = |index: &&Index| {
            let rest: Vec<&String> = key.iter().filter(|column| !index.columns.contains(column)).collect();
            let whole: Vec<&String> = index.columns.iter().chain(rest).collect();
            whole.len() >= order.len() && whole.iter().zip(order).all(|(a, b)| *a == b)
        };
        let of_key = self.indexes.iter().find(|index| index.name == "PRIMARY").filter(fits);
        of_key.or_else(|| self.indexes.iter().find(fits)).map(|index| index.name.as_str())
    }
}

/// Looks `object` up.
pub(crate) fn describe(session: &mut Session, server: &Server, object: &SourceObject) -> Result<Described, ConnectorError> {
    match object {
        SourceObject::Table(name) => describe_table(session, server, name),
        SourceObject::Query(sql) => describe_query(session, server, sql),
        SourceObject::Files(_) => {
            Err(ConnectorError::new(ErrorKind::BadConfiguration, "a `mysql` connection has tables, not files")
                .with_help("write `from: {connection, table}` or `{connection, query}`"))
        }
    }
}

fn describe_query(session: &mut Session, server: &Server, sql: &str) -> Result<Described, ConnectorError> {
    let sql = sql.trim().trim_end_matches(';');
    // The closing parenthesis stands on a line of its own, in case the query ends in a comment.
    let from = format!("({sql}\n) AS q");
    let failed = |fault: Fault| wrap("prepare the query", server, fault);
    let columns = session.columns_of(&format!("SELECT * FROM {from}")).map_err(failed)?;
    let columns = columns
        .iter()
        .map(|column| {
            let (declared, data_type) = of_result(column);
            Column { name: column.name.clone(), declared, data_type, nullable: !column.is_not_null() }
        })
        .collect();
    let identity = identity(session, &format!("query {sql}")).map_err(failed)?;
    let schema = SourceSchema {
        columns,
        primary_key: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: None,
        estimated_bytes: None,
        identity,
        sees_writers: sees_writers(session).map_err(failed)?,
    };
    Ok(Described { from, label: "the query".into(), schema, indexes: Vec::new(), numbered: Vec::new(), counter: None, has_snapshots: true, is_table: false })
}

/// The type of a computed column, from what the protocol says of it.
fn of_result(column: &ColumnDefinition) -> (String, DataType) {
    let whole = |name: &str, signed: DataType, unsigned: DataType| match column.is_unsigned() {
        true => (format!("{name} unsigned"), unsigned),
        false => (name.to_owned(), signed),
    };
    let plain = |name: &str, data_type| (name.to_owned(), data_type);
    match column.kind {
        kind::TINY => whole("tinyint", DataType::Int8, DataType::UInt8),
        kind::SHORT => whole("smallint", DataType::Int16, DataType::UInt16),
        kind::LONG | kind::INT24 => whole("int", DataType::Int32, DataType::UInt32),
        kind::LONG_LONG => whole("bigint", DataType::Int64, DataType::UInt64),
        kind::FLOAT => plain("float", DataType::Float32),
        kind::DOUBLE => plain("double", DataType::Float64),
        kind::DECIMAL | kind::NEW_DECIMAL => {
            let signs = u32::from(!column.is_unsigned()) + u32::from(column.decimals > 0);
            let precision = column.length.saturating_sub(signs).clamp(1, 65);
            let data_type = decimal(Some(precision), Some(u32::from(column.decimals))).unwrap_or(DataType::Null);
            (format!("decimal({precision},{})", column.decimals), data_type)
        }
        kind::DATE => plain("date", DataType::Date32),
        kind::DATETIME => (format!("datetime({})", column.fraction_digits()), DataType::Timestamp(TimeUnit::Microsecond, None)),
        kind::TIMESTAMP => (format!("timestamp({})", column.fraction_digits()), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        kind::TIME => (format!("time({})", column.fraction_digits()), DataType::Utf8),
        kind::YEAR => plain("year", DataType::Int16),
        kind::BIT if column.length == 1 => plain("bit(1)", DataType::Boolean),
        kind::BIT => (format!("bit({})", column.length), DataType::UInt64),
        kind::GEOMETRY => plain("geometry", DataType::Binary),
        kind::NULL => plain("char(0)", DataType::Utf8),
        // It is text, though the server calls it binary.
        kind::JSON => plain("json", DataType::Utf8),
        _ if column.is_binary() => plain("longblob", DataType::Binary),
        _ => plain("longtext", DataType::Utf8),
    }
}

struct Found {
    schema: String,
    name: String,
    kind: String,
    engine: String,
    rows: Option<u64>,
    bytes: Option<u64>,
    counter: Option<u64>,
}

fn describe_table(session: &mut Session, server: &Server, name: &str) -> Result<Described, ConnectorError> {
    let failed = |fault: Fault| wrap(&format!("read the catalogue of table `{name}`"), server, fault);
    if session.family == Family::MySql {
        // The counter of a table must be the real one, not a day old.
        session.run("SET SESSION information_schema_stats_expiry = 0").map_err(failed)?;
    }
    let mut found = find(session, &server.database, name).map_err(failed)?;
    if found.is_none()
        && let Some((database, table)) = name.split_once('.')
    {
        found = find(session, database, table).map_err(failed)?;
    }
    let Some(found) = found else { return Err(not_found(session, server, name)?) };
    let is_view = found.kind.contains("VIEW");
    let place = format!("TABLE_SCHEMA = {} AND TABLE_NAME = {}", literal(&found.schema), literal(&found.name));
    let rows = session
        .texts(&format!(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME, EXTRA \
             FROM information_schema.COLUMNS WHERE {place} ORDER BY ORDINAL_POSITION"
        ))
        .map_err(failed)?;
    let mut columns = Vec::with_capacity(rows.len());
    let mut numbered = Vec::new();
    let mut counted = None;
    for row in &rows {
        let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        let number = |at: usize| row.get(at).and_then(Option::as_deref).and_then(|text| text.parse().ok());
        let type_name = text(1).to_ascii_lowercase();
        if matches!(type_name.as_str(), "enum" | "set") {
            numbered.push(text(0).to_owned());
        }
        if text(8).contains("auto_increment") {
            counted = Some(text(0).to_owned());
        }
        let full = text(2);
        let declared = match (text(6), text(7)) {
            ("", _) | (_, "") => full.to_owned(),
            (charset, collation) => format!("{full} character set {charset} collate {collation}"),
        };
        let data_type = arrow_type(Declared { name: &type_name, full: &full.to_ascii_lowercase(), precision: number(3), scale: number(4) });
        columns.push(Column { name: text(0).to_owned(), declared, data_type, nullable: text(5) != "NO" });
    }
    let all = if is_view { Vec::new() } else { indexes(session, &place).map_err(failed)? };
    // In whatever order it keeps its rows.
    let primary_key = all.iter().find(|(index, _)| index.name == "PRIMARY").map(|(index, _)| index.columns.clone()).unwrap_or_default();
    let indexes: Vec<Index> = all.into_iter().filter(|(_, is_plain)| *is_plain).map(|(index, _)| index).collect();
    let identity = identity(session, &format!("table {}.{}", found.schema, found.name)).map_err(failed)?;
    let has_snapshots = is_view || ["innodb", "rocksdb", "tokudb", "ndbcluster"].contains(&found.engine.to_ascii_lowercase().as_str());
    let from = if found.schema == server.database { quote(&found.name) } else { format!("{}.{}", quote(&found.schema), quote(&found.name)) };
    let schema = SourceSchema {
        columns,
        primary_key,
        indexes: indexes.iter().filter(|index| index.name != "PRIMARY").map(|index| index.columns.clone()).collect(),
        estimated_rows: found.rows,
        estimated_bytes: found.bytes,
        identity,
        sees_writers: sees_writers(session).map_err(failed)?,
    };
    let label = format!("{} `{}`", if is_view { "view" } else { "table" }, found.name);
    Ok(Described { from, label, schema, indexes, numbered, counter: counted.zip(found.counter), has_snapshots, is_table: !is_view })
}

fn find(session: &mut Session, database: &str, name: &str) -> Result<Option<Found>, Fault> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, AUTO_INCREMENT, @@lower_case_table_names <> 0 \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(database),
        literal(name)
    );
    let rows = session.texts(&sql)?;
    let text = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let number = |row: &[Option<String>], at: usize| row.get(at).and_then(Option::as_deref).and_then(|text| text.parse().ok());
    // The catalogue compares names without case; where the server does not, only the exact name counts.
    let exact = rows.iter().find(|row| text(row, 1) == name);
    let row = exact.or_else(|| rows.iter().find(|row| text(row, 7) == "1" && text(row, 1).to_lowercase() == name.to_lowercase()));
    Ok(row.map(|row| Found {
        schema: text(row, 0),
        name: text(row, 1),
        kind: text(row, 2),
        engine: text(row, 3),
        rows: number(row, 4),
        bytes: number(row, 5),
        counter: number(row, 6),
    }))
}

/// All indexes, and which of them are of whole columns in ascending order.
fn indexes(session: &mut Session, place: &str) -> Result<Vec<(Index, bool)>, Fault> {
    // An index that the optimiser may not use cannot be asked for.
    let is_usable = match session.family {
        Family::MariaDb => "IGNORED <> 'YES'",
        Family::MySql => "IS_VISIBLE = 'YES'",
    };
    let rows = session.texts(&format!(
        "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, COLLATION, INDEX_TYPE FROM information_schema.STATISTICS WHERE {place} AND {is_usable} \
         ORDER BY INDEX_NAME, SEQ_IN_INDEX"
    ))?;
    let mut all: Vec<(Index, bool)> = Vec::new();
    for row in rows {
        let mut row = row.into_iter();
        let mut next = || row.next().flatten();
        let (name, non_unique, column, part, order, form) = (next().unwrap_or_default(), next(), next(), next(), next(), next());
        let is_plain = part.is_none() && order.as_deref() == Some("A") && form.as_deref() == Some("BTREE") && column.is_some();
        if all.last().is_none_or(|(index, _)| index.name != name) {
            all.push((Index { name, columns: Vec::new(), is_unique: non_unique.as_deref() == Some("0") }, true));
        }
        if let Some((index, is_whole)) = all.last_mut() {
            index.columns.extend(column);
            *is_whole &= is_plain;
        }
    }
    Ok(all)
}

/// What stays the same while a server lives on, and differs in one that took its place: its own id, and what the object is.
/// Additive schema changes leave it alone. A table that was dropped and made again is noticed by its counter and its rows.
fn identity(session: &mut Session, object: &str) -> Result<String, Fault> {
    let name = match session.family {
        Family::MySql => "server_uuid",
        Family::MariaDb => "server_uid",
    };
    let rows = session.texts(&format!("SHOW GLOBAL VARIABLES LIKE '{name}'"))?;
    let server = match rows.first().and_then(|row| row.get(1)).cloned().flatten() {
        Some(server) => server,
        // Older servers have no id of their own.
        None => session.text("SELECT CONCAT(@@server_id, ':', @@hostname, ':', @@port, ':', @@datadir)")?.unwrap_or_default(),
    };
    Ok(format!("mysql:{:016x}:{:032x}", xxhash_rust::xxh3::xxh3_64(server.as_bytes()), xxh3_128(object.as_bytes())))
}

fn not_found(session: &mut Session, server: &Server, name: &str) -> Result<ConnectorError, ConnectorError> {
    let sql = format!("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME", literal(&server.database));
    let rows = session.texts(&sql).map_err(|fault| wrap("list tables", server, fault))?;
    let names: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    let error = ConnectorError::new(ErrorKind::NotFound, format!("database `{}` at MySQL server `{server}` has no table `{name}`", server.database));
    let nearest = names.iter().map(|candidate| (strsim::jaro_winkler(&candidate.to_lowercase(), &name.to_lowercase()), candidate)).max_by(|a, b| a.0.total_cmp(&b.0));
    Ok(match nearest {
        Some((likeness, candidate)) if likeness > 0.8 => error.with_help(format!("a table with a similar name exists: `{candidate}`")),
        Some(_) if names.len() <= 10 => error.with_help(format!("its tables are {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
        Some(_) => error.with_help(format!("it has {} tables that this user may see, none with a similar name", names.len())),
        None => error.with_help("this user may see no table in the database; grant SELECT, or correct `database`"),
    })
}

/// Refuses names that the object does not have.
pub(crate) fn require_column(described: &Described, name: &str) -> Result<(), ConnectorError> {
    if described.schema.column(name).is_some() {
        return Ok(());
    }
    let nearest = described.schema.columns.iter().map(|column| (strsim::jaro_winkler(&column.name, name), &column.name)).max_by(|a, b| a.0.total_cmp(&b.0));
    let error = ConnectorError::new(ErrorKind::SchemaMismatch, format!("{} has no column `{name}`", described.label));
    Err(match nearest {
        Some((likeness, candidate)) if likeness > 0.8 => error.with_help(format!("a column with a similar name exists: `{candidate}`")),
        _ => error.with_help("run `karat lock` to see what changed at the source"),
    })
}
