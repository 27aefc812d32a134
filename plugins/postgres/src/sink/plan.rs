//! What a load does with its table: make a new one, take the place of an old one, or merge rows into one that stays.

use super::commits::{self, Known};
use super::design::{Existing, Placed, for_existing, for_new_table};
use super::merge::Rule;
use super::name::TableName;
use super::relation::{Index, Place, Relation, TableColumn, Trouble, columns, has_rows, indexes};
use super::replace::{self, Old};
use super::window::WindowColumn;
use crate::client::Session;
use crate::spelling::quote;
use karat_plugin_api::{ConnectorError, ErrorKind, LoadRequest, WriteMode};

/// What the next commit of a load does.
pub(crate) enum Way {
    /// A new table is filled, and put in its place by the commit.
    Build(Build),
    /// Rows are staged, and merged by the commit.
    Merge(Merging),
}

/// A new table.
pub(crate) struct Build {
    pub(crate) table: TableName,
    pub(crate) placed: Vec<Placed>,
    /// Its primary key; with `old`, that one's indexes are built instead.
    pub(crate) key: Vec<String>,
    /// Columns that later loads look rows up by.
    pub(crate) lookup: Vec<String>,
    pub(crate) old: Option<Old>,
    /// How rows of later commits meet those of the first.
    pub(crate) rule: Rule,
}

/// A table that stays.
pub(crate) struct Merging {
    /// Its number; `None` when the first commit makes it.
    pub(crate) oid: Option<u32>,
    pub(crate) placed: Vec<Placed>,
    pub(crate) key: Vec<String>,
    pub(crate) rule: Rule,
    /// Leading columns of its ordered indexes.
    pub(crate) indexed: Vec<String>,
}

impl Merging {
    /// True when rows can be sent into the table itself.
    pub(crate) fn is_straight(&self) -> bool {
        let is_plain = |column: &Placed| column.change.is_none() && matches!(column.intake, super::form::Intake::Direct(_));
        self.oid.is_some() && self.rule == Rule::Insert && self.placed.iter().all(is_plain)
    }
}

/// Decides how `request` fills what is at `place`.
pub(crate) async fn plan(session: &mut Session, name: &TableName, place: &Place, known: &Known, request: &LoadRequest) -> Result<Way, Trouble> {
    let Some(relation) = &place.relation else { return first(session, name, request).await };
    if !matches!(relation.kind.as_str(), "r" | "p") {
        return Err(ConnectorError::new(ErrorKind::Refused, format!("{} is a view, a sequence or a foreign table", name.label()))
            .with_help("name another table in `to.table`")
            .into());
    }
    let is_new_generation = known.record.as_ref().is_some_and(|record| record.generation < request.generation);
    if request.mode == WriteMode::Replace || is_new_generation {
        let rows = known.table_rows.or(Some(relation.estimated_rows));
        let old = replace::old(session, relation, rows).await?;
        let placed = if old.stays {
            let existing = Existing { columns: &old.columns, is_ours: true, described: &name.label(), key: key_of(&old) };
            for_existing(session, request, &existing).await?
        } else {
            for_new_table(session, request, &old.columns).await?
        };
        let table = name.build(request.generation.0, &request.attempt);
        return Ok(Way::Build(Build { table, placed, key: Vec::new(), lookup: Vec::new(), rule: rule_in(request, &old.indexes)?, old: Some(old) }));
    }
    into_existing(session, name, relation, known, request).await.map(Way::Merge)
}

async fn first(session: &mut Session, name: &TableName, request: &LoadRequest) -> Result<Way, Trouble> {
    let placed = for_new_table(session, request, &[]).await?;
    let key = primary_key(request);
    if let Some(missing) = key.iter().find(|column| request.schema.field_with_name(column).is_err()) {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("key column `{missing}` is not a column of the load"))
            .with_help("name it in `select`, or change `key`")
            .into());
    }
    if matches!(request.mode, WriteMode::Upsert { unique_in_read: false, .. }) {
        return Ok(Way::Merge(Merging { oid: None, placed, key, rule: rule_of_rows(request)?, indexed: Vec::new() }));
    }
    let lookup = match &request.mode {
        WriteMode::Append { once_by: Some(columns) } if columns.len() < request.schema.fields().len() && *columns != key => columns.clone(),
        WriteMode::Window { column, .. } => {
            let column = WindowColumn::of(&request.schema, column)?;
            if key.first().is_some_and(|first| first == column.name()) { Vec::new() } else { vec![column.name().to_owned()] }
        }
        WriteMode::Append { .. } | WriteMode::Upsert { .. } | WriteMode::Replace | WriteMode::Diff { .. } => Vec::new(),
    };
    let table = name.build(request.generation.0, &request.attempt);
    Ok(Way::Build(Build { table, placed, key, lookup, old: None, rule: rule_of_rows(request)? }))
}

/// The primary key of a table that is made. Where several versions of a row are kept, its key is not unique.
fn primary_key(request: &LoadRequest) -> Vec<String> {
    match &request.mode {
        WriteMode::Upsert { key, .. } | WriteMode::Window { key, .. } | WriteMode::Diff { key, .. } => key.clone(),
        WriteMode::Append { once_by: Some(columns) } if !columns.iter().all(|column| request.table.key.contains(column)) => Vec::new(),
        WriteMode::Append { .. } | WriteMode::Replace => request.table.key.clone(),
    }
}

fn key_of(old: &Old) -> Vec<String> {
    old.indexes.iter().filter(|index| index.is_primary).flat_map(|index| index.columns.clone()).collect()
}

async fn into_existing(session: &mut Session, name: &TableName, relation: &Relation, known: &Known, request: &LoadRequest) -> Result<Merging, Trouble> {
    let is_ours = known.table_rows.is_some();
    let is_empty = if is_ours && !matches!(request.mode, WriteMode::Append { once_by: Some(_) }) { false } else { !has_rows(session, name).await? };
    if !is_ours && !is_empty {
        return Err(ConnectorError::new(ErrorKind::Refused, format!("{} holds rows that Karat did not write", name.label()))
            .with_help(format!("name another table in `to.table`, empty it (`TRUNCATE {}`), or replace it with `--full-refresh`", name.sql()))
            .into());
    }
    let there: Vec<TableColumn> = columns(session, relation.oid).await?;
    let found = indexes(session, relation.oid).await?;
    let key: Vec<String> = found.iter().filter(|index| index.is_primary).flat_map(|index| index.columns.clone()).collect();
    let placed = for_existing(session, request, &Existing { columns: &there, is_ours, described: &name.label(), key: key.clone() }).await?;
    let rule = match &request.mode {
        WriteMode::Append { once_by: Some(identity) } if !is_empty => Rule::Once { identity: identity.clone(), counts_copies: identity.len() >= request.schema.fields().len() },
        WriteMode::Upsert { key, .. } | WriteMode::Diff { key, .. } if !has_unique(&found, key) => {
            let list: Vec<String> = key.iter().map(|column| quote(column)).collect();
            return Err(ConnectorError::new(ErrorKind::Refused, format!("{} has no unique index on its key ({}), by which rows are replaced", name.label(), key.join(", ")))
                .with_help(format!("run: CREATE UNIQUE INDEX ON {} ({})", name.sql(), list.join(", ")))
                .into());
        }
        WriteMode::Append { .. } | WriteMode::Replace | WriteMode::Upsert { .. } | WriteMode::Window { .. } | WriteMode::Diff { .. } => rule_in(request, &found)?,
    };
    let indexed = found.iter().filter(|index| index.is_btree && !index.has_expressions).filter_map(|index| index.columns.first().cloned()).collect();
    Ok(Merging { oid: Some(relation.oid), placed, key, rule, indexed })
}

/// How rows of this load meet rows that it wrote itself, into a table that it made.
fn rule_of_rows(request: &LoadRequest) -> Result<Rule, ConnectorError> {
    Ok(match &request.mode {
        WriteMode::Append { .. } | WriteMode::Replace => Rule::Insert,
        WriteMode::Upsert { key, unique_in_read, order_by } => Rule::Upsert { key: key.clone(), unique_in_read: *unique_in_read, order_by: order_by.clone() },
        WriteMode::Window { column, key } => Rule::Window { column: WindowColumn::of(&request.schema, column)?, key: key.clone(), has_unique_key: !key.is_empty() },
        WriteMode::Diff { key, deletes, max_delete } => Rule::Diff { key: key.clone(), deletes: *deletes, max_delete: *max_delete },
    })
}

/// The same in a table that has these indexes.
fn rule_in(request: &LoadRequest, indexes: &[Index]) -> Result<Rule, ConnectorError> {
    Ok(match rule_of_rows(request)? {
        Rule::Window { column, key, .. } => Rule::Window { has_unique_key: has_unique(indexes, &key), column, key },
        rule => rule,
    })
}

/// True when an index proves that no two rows share a key.
fn has_unique(indexes: &[Index], key: &[String]) -> bool {
    let is_key = |columns: &[String]| columns.len() == key.len() && key.iter().all(|column| columns.contains(column));
    indexes.iter().any(|index| index.proves_unique && is_key(&index.columns))
}

/// What a target holds, as far as a plan must know.
pub(crate) async fn look(session: &mut Session, name: &TableName, stream: &karat_plugin_api::StreamId) -> Result<(Place, Known), Trouble> {
    let place = super::relation::find(session, name).await?;
    let known = match &place.relation {
        Some(relation) if place.has_commits => commits::read(session, name, relation.oid, stream).await?,
        _ => Known::default(),
    };
    Ok((place, known))
}

/// The statement that makes a table of these columns.
pub(crate) fn create(table: &TableName, placed: &[Placed], key: &[String]) -> String {
    let column = |column: &Placed| {
        let not_null = if column.nullable && !key.contains(&column.name) { "" } else { " NOT NULL" };
        format!("{} {}{not_null}", quote(&column.name), column.declared)
    };
    format!("CREATE TABLE {} ({})", table.sql(), placed.iter().map(column).collect::<Vec<_>>().join(", "))
}

/// Columns as a list in SQL.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quote).collect::<Vec<_>>().join(", ")
}
