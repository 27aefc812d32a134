//! What the catalogue says of a table, a view or a query.

use super::object::parse;
use crate::client::{Session, TextRow};
use crate::error::{state, wrap};
use crate::schema::{Native, TypeFacts, native};
use crate::spelling::{literal, qualified, quote};
use arrow::datatypes::DataType;
use karat_plugin_api::{Column, ConnectorError, ErrorKind, SeesWriters, SourceObject, SourceSchema};
use sqlx::{AssertSqlSafe, Column as _, Executor, SqlSafeStr, Statement, TypeInfo as _};
use xxhash_rust::xxh3::xxh3_128;

/// A table, view or query, as far as reading it must know.
pub(crate) struct Described {
    /// What stands behind FROM; its alias is `source`.
    pub(crate) from: String,
    /// For messages: "table `public.trades`".
    pub(crate) label: String,
    /// The catalogue's answer.
    pub(crate) schema: SourceSchema,
    /// How each column is read, in the order of the schema.
    pub(crate) columns: Vec<ColumnFacts>,
    /// Columns that are alone in a unique index and never NULL, so that no two rows share a value.
    pub(crate) unique: Vec<String>,
    /// The table, when all its rows stand in blocks of its own: ordinary tables without children, and materialized views.
    pub(crate) heap: Option<u32>,
}

/// What reading a column needs beyond its Arrow type.
pub(crate) struct ColumnFacts {
    /// How its type is read.
    pub(crate) native: Native,
    /// Its type without parameters, for casts of literals.
    pub(crate) type_name: String,
    /// The sequence that fills it.
    pub(crate) sequence: Option<Sequence>,
}

/// A sequence that a column owns or draws its default from.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// Its number.
    pub(crate) oid: u32,
    /// Values that a session draws at once.
    pub(crate) cached: i64,
}

impl Described {
    /// The facts of a column; `None` when there is no such column.
    pub(crate) fn column(&self, name: &str) -> Option<(&Column, &ColumnFacts)> {
        let at = self.schema.columns.iter().position(|column| column.name == name)?;
        Some((&self.schema.columns[at], &self.columns[at]))
    }

    /// As [`Described::column`], with a message that names what is there.
    pub(crate) fn require(&self, name: &str) -> Result<(&Column, &ColumnFacts), ConnectorError> {
        self.column(name).ok_or_else(|| {
            let error = ConnectorError::new(ErrorKind::SchemaMismatch, format!("{} has no column `{name}`", self.label));
            match nearest(name, self.schema.columns.iter().map(|column| column.name.as_str())) {
                Some(candidate) => error.with_help(format!("a column with a similar name exists: `{candidate}`")),
                None => error.with_help("run `karat lock` to see what changed at the source"),
            }
        })
    }
}

/// The most similar of `names`, if one is similar enough to be meant.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&candidate.to_lowercase(), &name.to_lowercase());
    names.map(|candidate| (likeness(candidate), candidate)).filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

/// Looks `object` up; `database` is what messages call the database.
pub(crate) async fn describe(session: &mut Session, database: &str, object: &SourceObject) -> Result<Described, ConnectorError> {
    match object {
        SourceObject::Table(name) => describe_table(session, database, name).await,
        SourceObject::Query(sql) => describe_query(session, sql).await,
        SourceObject::Files(_) => Err(ConnectorError::new(ErrorKind::BadConfiguration, "a `postgres` connection has tables, not files")
            .with_help("write `from: {connection, table}` or `{connection, query}`")),
    }
}

async fn describe_table(session: &mut Session, database: &str, name: &str) -> Result<Described, ConnectorError> {
    let action = format!("read the catalogue of table `{name}`");
    let Some(relation) = find(session, name).await? else { return Err(not_found(session, database, name).await?) };
    let oid = relation.oid;
    let columns = columns(session, &format!("SELECT a.attnum::int8, a.attname::text, a.atttypid, a.atttypmod, a.attnotnull, a.attcollation FROM pg_catalog.pg_attribute a WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped"), Some(oid))
        .await
        .map_err(|error| wrap(&action, error))?;
    let indexes = session
        .rows(&format!(
            // Only whole indexes over plain columns: a partial one proves nothing of the other rows.
            "SELECT i.indisprimary, i.indisunique AND i.indimmediate AND i.indisvalid, i.indisvalid, \
             (SELECT pg_catalog.json_agg(a.attname ORDER BY k.n) FROM pg_catalog.unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k (attnum, n) JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) \
             FROM pg_catalog.pg_index i WHERE i.indrelid = {oid} AND i.indpred IS NULL AND NOT 0 = ANY (i.indkey[0:i.indnkeyatts - 1]) ORDER BY i.indisprimary DESC, i.indexrelid"
        ))
        .await
        .map_err(|error| wrap(&action, error))?;
    let mut primary_key = Vec::new();
    let mut lists: Vec<Vec<String>> = Vec::new();
    let mut unique = Vec::new();
    for row in &indexes {
        let list: Vec<String> = row.text(3).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if row.is_true(0) {
            primary_key.clone_from(&list);
        }
        if let (true, [name]) = (row.is_true(1), list.as_slice())
            && columns.iter().any(|(column, _)| &column.name == name && !column.nullable)
        {
            unique.push(name.clone());
        }
        if row.is_true(2) {
            lists.push(list);
        }
    }
    let (columns, facts) = columns.into_iter().unzip();
    let (database, sees_writers) = about_database(session).await?;
    let identity = format!("{database}:{oid}");
    let schema = SourceSchema { columns, primary_key, indexes: lists, estimated_rows: relation.rows, estimated_bytes: relation.bytes, identity, sees_writers };
    Ok(Described {
        from: format!("{} AS source", qualified(&relation.schema, &relation.name)),
        label: format!("{} `{}.{}`", relation.kind_name(), relation.schema, relation.name),
        schema,
        columns: facts,
        unique,
        heap: (matches!(relation.kind.as_str(), "r" | "m") && !relation.has_children).then_some(oid),
    })
}

/// The table behind `object`, when it can be locked against being rebuilt, emptied or dropped while it is read.
pub(crate) async fn lockable(session: &mut Session, object: &SourceObject) -> Result<Option<String>, ConnectorError> {
    let SourceObject::Table(name) = object else { return Ok(None) };
    let found = find(session, name).await?;
    Ok(found.filter(|relation| relation.is_readable && matches!(relation.kind.as_str(), "r" | "p")).map(|relation| qualified(&relation.schema, &relation.name)))
}

struct Relation {
    oid: u32,
    schema: String,
    name: String,
    kind: String,
    rows: Option<u64>,
    bytes: Option<u64>,
    is_readable: bool,
    has_children: bool,
}

impl Relation {
    fn kind_name(&self) -> &'static str {
        match self.kind.as_str() {
            "v" => "view",
            "m" => "materialized view",
            "f" => "foreign table",
            "p" => "partitioned table",
            _ => "table",
        }
    }
}

async fn find(session: &mut Session, name: &str) -> Result<Option<Relation>, ConnectorError> {
    let (schema, table) = parse(name)?;
    let list = |spellings: Vec<String>| spellings.iter().map(|text| literal(text)).collect::<Result<Vec<_>, _>>();
    let schemas = match &schema {
        Some(schema) => list(schema.spellings())?,
        None => vec!["'public'".to_owned()],
    };
    let tables = list(table.spellings())?;
    // Parents of partitions hold nothing themselves, so the leaves are counted.
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind, \
         CASE WHEN c.relkind IN ('v', 'f') THEN NULL WHEN c.relkind = 'p' THEN leaves.rows ELSE NULLIF(c.reltuples, -1)::int8 END, \
         CASE WHEN c.relkind IN ('v', 'f') THEN NULL WHEN c.relkind = 'p' THEN leaves.bytes ELSE pg_catalog.pg_table_size(c.oid) END, pg_catalog.has_table_privilege(c.oid, 'SELECT'), c.relhassubclass \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN LATERAL (SELECT sum(CASE WHEN l.reltuples < 0 THEN NULL ELSE l.reltuples END)::int8, sum(pg_catalog.pg_table_size(l.oid))::int8 \
           FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid WHERE t.isleaf) leaves (rows, bytes) ON c.relkind = 'p' \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname IN ({}) AND c.relname IN ({}) \
         ORDER BY n.nspname = {} DESC, c.relname = {} DESC LIMIT 1",
        schemas.join(", "),
        tables.join(", "),
        schemas[0],
        tables[0],
    );
    let rows = session.rows(&sql).await.map_err(|error| wrap(&format!("look up table `{name}`"), error))?;
    let positive = |row: &TextRow, at| row.number(at).and_then(|number| u64::try_from(number).ok());
    Ok(rows.first().and_then(|row| {
        Some(Relation {
            oid: row.text(0)?.parse().ok()?,
            schema: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            kind: row.text(3)?.to_owned(),
            rows: positive(row, 4),
            bytes: positive(row, 5),
            is_readable: row.is_true(6),
            has_children: row.is_true(7),
        })
    }))
}

/// Columns that `listed` gives as `(n, name, type, modifier, not null, collation)`, with types looked up; `table` when they are a table's own.
async fn columns(session: &mut Session, listed: &str, table: Option<u32>) -> Result<Vec<(Column, ColumnFacts)>, sqlx::Error> {
    let sequence = match table {
        Some(oid) => format!(
            "LEFT JOIN LATERAL (SELECT s.seqrelid, s.seqcache FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid \
             WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = {oid} AND d.refobjsubid = c.n AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') AND s.seqincrement > 0 LIMIT 1) s ON true"
        ),
        None => "LEFT JOIN LATERAL (SELECT NULL::oid, NULL::int8) s (seqrelid, seqcache) ON true".to_owned(),
    };
    let sql = format!(
        "WITH RECURSIVE c (n, name, oid, modifier, not_null, coll) AS ({listed}), \
         r (n, oid, modifier) AS (SELECT n, oid, modifier FROM c UNION ALL SELECT r.n, d.typbasetype, d.typtypmod FROM r JOIN pg_catalog.pg_type d ON d.oid = r.oid WHERE d.typtype = 'd') \
         SELECT c.name, pg_catalog.format_type(c.oid, c.modifier), CASE c.oid WHEN 1042 THEN 'pg_catalog.bpchar' WHEN 1560 THEN 'pg_catalog.\"bit\"' ELSE pg_catalog.format_type(c.oid, NULL) END, c.not_null, \
         t.oid, r.modifier, t.typtype = 'e', \
         CASE WHEN e.typtype = 'd' THEN e.typbasetype ELSE e.oid END, e.typtype = 'e', CASE WHEN e.typtype = 'd' THEN e.typtypmod ELSE r.modifier END, \
         CASE WHEN c.coll <> 0 AND c.coll <> o.typcollation THEN (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname) FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = c.coll) END, \
         s.seqrelid, s.seqcache \
         FROM c JOIN r ON r.n = c.n JOIN pg_catalog.pg_type t ON t.oid = r.oid AND t.typtype <> 'd' JOIN pg_catalog.pg_type o ON o.oid = c.oid \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid {sequence} ORDER BY c.n"
    );
    let rows = session.rows(&sql).await?;
    let oid = |row: &TextRow, at| row.text(at).and_then(|text| text.parse::<u32>().ok());
    let modifier = |row: &TextRow, at| row.number(at).and_then(|number| i32::try_from(number).ok()).unwrap_or(-1);
    Ok(rows
        .iter()
        .map(|row| {
            let element = oid(row, 7).map(|oid| Box::new(TypeFacts { oid, modifier: -1, is_enum: row.is_true(8), element: None }));
            let at = if element.is_some() { 9 } else { 5 };
            let native = native(&TypeFacts { oid: oid(row, 4).unwrap_or(0), modifier: modifier(row, at), is_enum: row.is_true(6), element });
            let declared = row.text(1).unwrap_or_default();
            let declared = row.text(10).map_or_else(|| declared.to_owned(), |collation| format!("{declared} COLLATE {collation}"));
            let column = Column { name: row.text(0).unwrap_or_default().to_owned(), declared, data_type: native.data_type.clone(), nullable: !row.is_true(3) };
            let sequence = oid(row, 11).map(|oid| Sequence { oid, cached: row.number(12).unwrap_or(1) });
            (column, ColumnFacts { native, type_name: row.text(2).unwrap_or_default().to_owned(), sequence })
        })
        .collect())
}

/// One result column of a prepared query.
struct ResultColumn {
    name: String,
    oid: u32,
    /// Table and column that it is taken from unchanged.
    origin: Option<(u32, i16)>,
}

async fn prepare(session: &mut Session, sql: &str) -> Result<Vec<ResultColumn>, sqlx::Error> {
    let statement = session.connection().prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
    let column = |column: &sqlx::postgres::PgColumn| {
        let origin = column.relation_id().zip(column.relation_attribute_no()).map(|(table, column)| (table.0, column));
        Some(ResultColumn { name: column.name().to_owned(), oid: column.type_info().oid()?.0, origin })
    };
    statement.columns().iter().map(|found| column(found).ok_or_else(|| sqlx::Error::TypeNotFound { type_name: found.type_info().name().to_owned() })).collect()
}

/// The columns of a query, with what the catalogue says of those that come unchanged from a table. Expressions have no precision.
async fn result_columns(session: &mut Session, sql: &str) -> Result<Vec<(Column, ColumnFacts)>, ConnectorError> {
    let action = "prepare the query";
    let found = prepare(session, sql).await.map_err(|error| wrap(action, error))?;
    if found.is_empty() {
        return Err(ConnectorError::new(ErrorKind::BadConfiguration, "the query gives no columns").with_help("write a SELECT"));
    }
    for (at, column) in found.iter().enumerate() {
        if found[..at].iter().any(|earlier| earlier.name == column.name) {
            return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("the query gives two columns named `{}`", column.name)).with_help("name each with AS"));
        }
    }
    let mut lines = Vec::new();
    for (at, column) in found.iter().enumerate() {
        let (table, number) = column.origin.unwrap_or((0, 0));
        lines.push(format!("({at}::int8, {}, {}::oid, {table}::oid, {number}::int2)", literal(&column.name)?, column.oid));
    }
    let listed = format!(
        "SELECT v.n, v.name, v.oid, coalesce(a.atttypmod, -1), false, coalesce(a.attcollation, 0::oid) FROM (VALUES {}) v (n, name, oid, tab, att) \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = v.tab AND a.attnum = v.att AND a.atttypid = v.oid AND v.att > 0",
        lines.join(", ")
    );
    columns(session, &listed, None).await.map_err(|error| wrap(action, error))
}

async fn describe_query(session: &mut Session, sql: &str) -> Result<Described, ConnectorError> {
    let sql = sql.trim().trim_end_matches(';');
    // The closing parenthesis stands on a line of its own, in case the query ends in a comment.
    let from = format!("({sql}\n) AS source");
    let (columns, facts) = result_columns(session, &format!("SELECT * FROM {from}")).await?.into_iter().unzip();
    let (database, sees_writers) = about_database(session).await?;
    let identity = format!("{database}:query {:032x}", xxh3_128(sql.as_bytes()));
    let schema = SourceSchema { columns, primary_key: Vec::new(), indexes: Vec::new(), estimated_rows: None, estimated_bytes: None, identity, sees_writers };
    Ok(Described { from, label: "the query".into(), schema, columns: facts, unique: Vec::new(), heap: None })
}

/// How an expression over `described` is read.
pub(crate) async fn expression(session: &mut Session, described: &Described, sql: &str) -> Result<ColumnFacts, ConnectorError> {
    let columns = result_columns(session, &format!("SELECT {sql} AS cursor FROM {}", described.from)).await?;
    let facts = columns.into_iter().next().map(|(_, facts)| facts);
    facts.ok_or_else(|| ConnectorError::new(ErrorKind::BadConfiguration, "`cursor_sql` gives no column").with_help("write one expression"))
}

/// What stays the same while a database lives on, and differs in one that took its place: the server's own number and the database's.
/// A dump that is restored gets new ones; a standby that takes over keeps them. And whether the server knows who is writing: a standby does not.
async fn about_database(session: &mut Session) -> Result<(String, SeesWriters), ConnectorError> {
    let action = "read the identity of the server";
    let sql = "SELECT oid, pg_catalog.pg_is_in_recovery() FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
    let database = session.rows(sql).await.map_err(|error| wrap(action, error))?;
    let is_standby = database.first().is_some_and(|row| row.is_true(1));
    let sees_writers = if is_standby { SeesWriters::No("a standby does not know which transactions are in progress on its primary".into()) } else { SeesWriters::Yes };
    let number = match session.rows("SELECT system_identifier FROM pg_catalog.pg_control_system()").await {
        Ok(rows) => rows.first().and_then(|row| row.text(0)).unwrap_or("-").to_owned(),
        // Some hosted servers keep it to themselves.
        Err(error) if state(&error) == Some("42501") => "-".to_owned(),
        Err(error) => return Err(wrap(action, error)),
    };
    Ok((format!("postgres:{number}:{}", database.first().and_then(|row| row.text(0)).unwrap_or("-")), sees_writers))
}

async fn not_found(session: &mut Session, database: &str, name: &str) -> Result<ConnectorError, ConnectorError> {
    let rows = session
        .rows(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%' \
             ORDER BY 1, 2 LIMIT 10000",
        )
        .await
        .map_err(|error| wrap("list tables", error))?;
    let spell = |row: &TextRow| match (row.text(0), row.text(1)) {
        (Some("public"), Some(table)) => table.to_owned(),
        (schema, table) => format!("{}.{}", schema.unwrap_or_default(), table.unwrap_or_default()),
    };
    let names: Vec<String> = rows.iter().map(spell).collect();
    let error = ConnectorError::new(ErrorKind::NotFound, format!("database {database} has no table `{name}`"));
    let (schema, table) = parse(name)?;
    // The right table in another schema is the likeliest mistake.
    let elsewhere = rows.iter().find(|row| schema.is_none() && row.text(1).is_some_and(|found| found.eq_ignore_ascii_case(&table.text))).map(&spell);
    let similar = elsewhere.or_else(|| nearest(name, names.iter().map(String::as_str)).map(str::to_owned));
    Ok(match similar {
        Some(candidate) => error.with_help(format!("a table with a similar name exists: `{candidate}`")),
        None if names.is_empty() => error.with_help("the database has no tables that this user can see"),
        None if names.len() <= 10 => error.with_help(format!("its tables are {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))),
        None => error.with_help(format!("it has {} tables, none with a similar name; a name without a schema is looked for in `public`", names.len())),
    })
}

/// A column in an expression. With the alias it means the column wherever it stands; without, ORDER BY would take a cast in SELECT of the same name.
pub(crate) fn column_sql(name: &str) -> String {
    format!("source.{}", quote(name))
}

/// True for types whose values say an instant or a day.
pub(crate) fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32)
}
