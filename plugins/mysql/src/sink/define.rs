//! Statements that make and change tables: which columns a load needs, and what they are declared as.

use crate::client::{literal, quote};
use crate::sink::column::{self, Dialect, Kind, type_name};
use crate::sink::encode::Written;
use crate::sink::live::{LiveTable, TableName};
use crate::sink::session::idents;
use arrow::datatypes::{DataType, Field, Schema};
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind, LoadRequest, WriteMode};
use std::collections::{BTreeMap, BTreeSet};

/// The system whose declared types are ours.
const SYSTEM: &str = "mysql";

/// The column that numbers staged rows.
pub(crate) const ORDINAL: &str = "karat_ord";

/// One column that a load writes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    /// The name in the target.
    pub(crate) name: String,
    /// Its type, as `CREATE TABLE` takes it.
    pub(crate) declaration: String,
    /// What it stores.
    pub(crate) kind: Kind,
    /// Whether NULL may be stored.
    pub(crate) nullable: bool,
}

impl Wanted {
    fn sql(&self, is_key: bool) -> String {
        // Spelled out, because servers differ in what a `timestamp` without it may be.
        let null = if self.nullable && !is_key { "NULL" } else { "NOT NULL" };
        format!("{} {} {null}", quote(&self.name), self.declaration)
    }
}

/// The columns of a load as the encoder sees them.
pub(crate) fn written(columns: &[Wanted]) -> Vec<Written> {
    columns.iter().map(|column| Written { name: column.name.clone(), kind: column.kind.clone() }).collect()
}

/// The columns a new table has for this load: the source's own types where they are MySQL's, else the lattice's.
pub(crate) fn wanted(request: &LoadRequest, dialect: Dialect) -> Result<Vec<Wanted>, ConnectorError> {
    let key = identity(request);
    request.schema.fields().iter().map(|field| wanted_column(request, field, key.contains(field.name().as_str()), dialect)).collect()
}

fn wanted_column(request: &LoadRequest, field: &Field, is_key: bool, dialect: Dialect) -> Result<Wanted, ConnectorError> {
    if field.name().chars().count() > 64 || field.name().is_empty() || field.name().ends_with(' ') || field.name().eq_ignore_ascii_case(ORDINAL) {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("`{}` is no name for a column of MySQL", field.name()))
            .with_help("rename it in a query: at most 64 characters, not ending in a space"));
    }
    let declared = native(request, field.name()).filter(|declared| !is_key || is_indexable(declared));
    let declaration = match declared.and_then(|declared| dialect.adopt(declared)) {
        Some(declared) => declared,
        None => column::declare(field, is_key, dialect)?,
    };
    let kind = column::parse(&declaration, charset_of(&declaration)).ok_or_else(|| {
        ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is declared `{declaration}` at its source, a type that is not written", field.name()))
            .with_help(format!("choose another type: `types: {{ {}: text }}`", field.name()))
    })?;
    Ok(Wanted { name: field.name().clone(), declaration, kind, nullable: field.is_nullable() })
}

/// What the source declares a column as, when the source is of this system.
fn native<'a>(request: &'a LoadRequest, name: &str) -> Option<&'a str> {
    let native = request.table.native.as_ref().filter(|native| native.system == SYSTEM)?;
    native.columns.iter().find(|(column, _)| column == name).map(|(_, declared)| declared.as_str())
}

/// Texts and bytes of any length have no index over their whole values.
fn is_indexable(declared: &str) -> bool {
    match column::parse(declared, None) {
        Some(Kind::Json | Kind::Geometry) | None => false,
        Some(Kind::Text { .. } | Kind::Bytes { .. }) => ["char", "varchar", "binary", "varbinary"].iter().any(|name| declared.to_ascii_lowercase().starts_with(name)),
        Some(_) => true,
    }
}

/// The character set that a declaration names, directly or by its collation.
fn charset_of(declared: &str) -> Option<&str> {
    let mut words = declared.split_whitespace();
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case("charset") {
            return words.next();
        }
        if word.eq_ignore_ascii_case("set") {
            return words.next();
        }
        if word.eq_ignore_ascii_case("collate") {
            return words.next().and_then(|collation| collation.split('_').next());
        }
    }
    None
}

/// Columns that rows are found by: texts among them have a length.
fn identity(request: &LoadRequest) -> BTreeSet<&str> {
    let by_mode: &[String] = match &request.mode {
        WriteMode::Upsert { key, .. } | WriteMode::Window { key, .. } | WriteMode::Diff { key, .. } => key,
        WriteMode::Append { once_by: Some(columns) } if columns.len() < request.schema.fields().len() => columns,
        WriteMode::Append { .. } | WriteMode::Replace => &[],
    };
    request.table.key.iter().chain(by_mode).map(String::as_str).collect()
}

/// The primary key of a table that is made for this load: none where rows of one key may be added again as new versions.
pub(crate) fn primary_key(request: &LoadRequest) -> Vec<String> {
    let layout = &request.table.key;
    let key = match &request.mode {
        WriteMode::Upsert { key, .. } | WriteMode::Window { key, .. } | WriteMode::Diff { key, .. } => key,
        WriteMode::Append { once_by: Some(columns) } if !columns.iter().all(|column| layout.contains(column)) => return Vec::new(),
        WriteMode::Append { .. } | WriteMode::Replace => layout,
    };
    if key.iter().all(|column| request.schema.fields().find(column).is_some()) { key.clone() } else { Vec::new() }
}

/// The index that finds versions of rows in a table that is made for this load, as a clause; `None` where the key does, or where none can.
pub(crate) fn identity_index(request: &LoadRequest, columns: &[Wanted]) -> Option<String> {
    let WriteMode::Append { once_by: Some(identity) } = &request.mode else { return None };
    let is_known = |name: &String| columns.iter().any(|column| column.name == *name && is_indexable(&column.declaration));
    if identity.len() >= columns.len() || identity.len() > 16 || !identity.iter().all(is_known) || !primary_key(request).is_empty() {
        return None;
    }
    Some(format!("KEY karat_identity ({})", idents(identity.iter().map(String::as_str))))
}

/// The index that finds the rows of a window in a table that is made for this load, as a clause.
pub(crate) fn window_index(request: &LoadRequest) -> Option<String> {
    let WriteMode::Window { column, .. } = &request.mode else { return None };
    if request.schema.fields().find(column).is_none() || primary_key(request).first() == Some(column) {
        return None;
    }
    Some(format!("KEY karat_window ({})", quote(column)))
}

/// Makes a table.
pub(crate) fn create(name: &TableName, columns: &[Wanted], key: &[String], comment: &str, dialect: Dialect) -> String {
    let mut parts: Vec<String> = columns.iter().map(|column| column.sql(key.contains(&column.name))).collect();
    if !key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", idents(key.iter().map(String::as_str))));
    }
    format!(
        "CREATE TABLE {} ({}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE={} COMMENT={}",
        name.sql(),
        parts.join(", "),
        dialect.exact_collation(),
        literal(comment)
    )
}

/// How rows wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staging<'a> {
    /// Numbered, in a table like any other.
    Numbered,
    /// Numbered, and few enough for the server's folder of temporary files: MariaDB then has nothing to undo, which costs a third less.
    Few,
    /// By this key.
    Keyed(&'a [String]),
}

/// Makes the temporary table that rows wait in; it ends with its connection.
pub(crate) fn create_stage(name: &TableName, columns: &[Wanted], how: Staging<'_>, dialect: Dialect) -> String {
    let (number, key) = match how {
        Staging::Numbered => (Some("bigint unsigned NOT NULL PRIMARY KEY"), None),
        Staging::Few => (Some("bigint unsigned NOT NULL"), None),
        Staging::Keyed(key) => (None, Some(key)),
    };
    let number = number.map(|declaration| format!("{ORDINAL} {declaration}"));
    let engine = if how == Staging::Few { "Aria TRANSACTIONAL=0" } else { "InnoDB ROW_FORMAT=DYNAMIC" };
    let of_load = columns.iter().map(|column| column.sql(key.is_some_and(|key| key.contains(&column.name))));
    let of_key = key.map(|key| format!("PRIMARY KEY ({})", idents(key.iter().map(String::as_str))));
    let parts: Vec<String> = number.into_iter().chain(of_load).chain(of_key).collect();
    format!("CREATE TEMPORARY TABLE {} ({}) ENGINE={engine} DEFAULT CHARSET=utf8mb4 COLLATE={}", name.sql(), parts.join(", "), dialect.exact_collation())
}

/// Makes a temporary table of keys, with more columns.
pub(crate) fn create_keys(table: &str, columns: &[&Wanted], key: &[String], more: Option<&str>) -> String {
    let more = more.map(str::to_owned);
    let parts: Vec<String> = columns.iter().map(|column| column.sql(true)).chain(more).collect();
    format!("CREATE TEMPORARY TABLE {table} ({}, PRIMARY KEY ({})) ENGINE=InnoDB ROW_FORMAT=DYNAMIC", parts.join(", "), idents(key.iter().map(String::as_str)))
}

/// How a load's columns meet those of a table that exists.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Fit {
    /// What the load writes, in its order.
    pub(crate) columns: Vec<Wanted>,
    /// Clauses of an `ALTER TABLE` that must come first.
    pub(crate) changes: Vec<String>,
}

/// Compares a load's columns with those of a table: missing ones are added, too narrow ones widened.
///
/// # Errors
/// [`ErrorKind::SchemaMismatch`] names the column that no change without loss would make fit, and the statement or setting that helps.
pub(crate) fn fit(request: &LoadRequest, live: &LiveTable, dialect: Dialect) -> Result<Fit, ConnectorError> {
    let mut fit = Fit::default();
    for (field, new) in request.schema.fields().iter().zip(wanted(request, dialect)?) {
        let Some(there) = live.column(field.name()) else {
            // Rows that are there have no value for it.
            let added = Wanted { nullable: true, ..new };
            fit.changes.push(format!("ADD COLUMN {}", added.sql(false)));
            fit.columns.push(added);
            continue;
        };
        let Some(kind) = there.kind.clone().filter(|_| !there.is_generated) else {
            return Err(ConnectorError::new(
                ErrorKind::SchemaMismatch,
                format!("column `{}` of `{}` is computed or of an unknown type, so nothing is written to it", there.name, live.name),
            )
            .with_help(format!("leave it out: `exclude: [{}]`", field.name())));
        };
        let is_declared_so = native(request, field.name()).is_some() && column::widens(&new.kind, &kind);
        if column::takes(&kind, field.data_type()) || is_declared_so {
            fit.columns.push(Wanted { name: there.name.clone(), declaration: there.declaration(), kind, nullable: there.nullable });
        } else if column::widens(&kind, &new.kind) {
            let widened = Wanted { name: there.name.clone(), nullable: there.nullable, ..new };
            fit.changes.push(format!("MODIFY COLUMN {}", widened.sql(false)));
            fit.columns.push(widened);
        } else {
            return Err(too_different(field, live, &there.column_type));
        }
    }
    let is_written = |name: &str| fit.columns.iter().any(|column| column.name == name);
    if let Some(alone) = live.columns.iter().find(|column| !column.is_generated && !column.has_default && !is_written(&column.name)) {
        return Err(ConnectorError::new(
            ErrorKind::SchemaMismatch,
            format!("column `{}` of `{}` takes no NULL, has no default, and is not among the columns of the load", alone.name, live.name),
        )
        .with_help(format!("give it a default: `ALTER TABLE {} MODIFY {} {} NULL`", live.name.sql(), quote(&alone.name), alone.column_type)));
    }
    Ok(fit)
}

fn too_different(field: &Field, live: &LiveTable, there: &str) -> ConnectorError {
    let new = type_name(field.data_type());
    ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is `{new}`, but `{}` holds `{there}`, which cannot keep every such value", field.name(), live.name))
        .with_help(format!("change the column's type by hand, choose another with `types: {{ {}: … }}`, or load the table anew with `--full-refresh`", field.name()))
}

/// The types that columns were loaded as, in the words of the language, for those that the language has words for.
pub(crate) fn loaded_types(schema: &Schema) -> BTreeMap<String, String> {
    let typed = |field: &Field| DeclaredType::name_of(unwrapped(field.data_type())).map(|name| (field.name().clone(), name));
    schema.fields().iter().filter_map(|field| typed(field)).collect()
}

fn unwrapped(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

/// Refuses a target in which "the row with this key" is not one row, or not only that of this key.
pub(crate) fn expect_key_index(key: &[String], live: &LiveTable) -> Result<(), ConnectorError> {
    let same = |index: &[String]| index.len() == key.len() && key.iter().all(|column| index.iter().any(|there| there.eq_ignore_ascii_case(column)));
    let columns = idents(key.iter().map(String::as_str));
    if !live.indexes.iter().any(|index| index.is_unique && index.is_strict && same(&index.columns)) {
        return Err(ConnectorError::new(ErrorKind::Refused, format!("table `{}` has no unique index on the key ({columns}), so rows cannot be replaced by key", live.name))
            .with_help(format!("make one, on columns without NULL: `ALTER TABLE {} ADD UNIQUE INDEX karat_key ({columns})`", live.name.sql())));
    }
    let is_row_number = |name: &String| live.column(name).is_some_and(|column| column.is_row_number);
    if let Some(other) = live.indexes.iter().find(|index| index.is_unique && !same(&index.columns) && (index.columns.is_empty() || !index.columns.iter().all(is_row_number))) {
        return Err(ConnectorError::new(
            ErrorKind::Refused,
            format!("table `{}` has another unique index, `{}`: a row that meets it would replace the wrong row", live.name, other.name),
        )
        .with_help(format!("make it an ordinary index: `ALTER TABLE {} DROP INDEX {}`", live.name.sql(), quote(&other.name))));
    }
    Ok(())
}

/// The ordinary indexes in the text of `SHOW CREATE TABLE`: name, and clause as `ALTER TABLE … ADD` takes it.
pub(crate) fn secondary_indexes(show_create: &str) -> Vec<(String, String)> {
    indexes_after(&["", "FULLTEXT ", "SPATIAL "], show_create)
}

/// The unique indexes there besides the primary key, likewise.
pub(crate) fn unique_indexes(show_create: &str) -> Vec<(String, String)> {
    indexes_after(&["UNIQUE "], show_create)
}

fn indexes_after(starts: &[&str], show_create: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in show_create.lines().map(str::trim) {
        let name = starts.iter().find_map(|start| line.strip_prefix(start)?.strip_prefix("KEY `")?.split("` ").next());
        if let Some(name) = name {
            found.push((name.replace("``", "`"), line.trim_end_matches(',').to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_indexes_are_read_from_the_definition_as_they_are_written() {
        let text = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL,\n  `name` varchar(9) DEFAULT 'KEY `x`',\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`name`),\n  KEY `odd``name` (`name`(3),`id`),\n  FULLTEXT KEY `f` (`name`)\n) ENGINE=InnoDB";

        let found = secondary_indexes(text);

        assert_eq!(found, [("odd`name".to_owned(), "KEY `odd``name` (`name`(3),`id`)".to_owned()), ("f".to_owned(), "FULLTEXT KEY `f` (`name`)".to_owned())]);
        assert_eq!(unique_indexes(text), [("u".to_owned(), "UNIQUE KEY `u` (`name`)".to_owned())]);
    }

    #[test]
    fn a_declaration_tells_its_character_set() {
        assert_eq!(charset_of("varchar(40) CHARACTER SET latin1 COLLATE latin1_bin"), Some("latin1"));
        assert_eq!(charset_of("varchar(40) collate utf8mb4_general_ci"), Some("utf8mb4"));
        assert_eq!(charset_of("varchar(40)"), None);
    }
}
