//! What may be believed of `karat.lock`, and what is to be said of the rest.

use super::{origin, type_text};
use crate::Schemas;
use crate::copy::reads_declared_columns;
use crate::findings::{Found, LOCK_CONTRADICTS, LOCKED_OTHERWISE, NOT_A_TABLE, NOT_LOCKED};
use arrow_schema::DataType;
use karat_diagnostics::{Diagnostic, did_you_mean};
use karat_plugin_api::{Column, SeesWriters, SourceSchema};
use karat_spec::model::{BronzeTable, LockedTable, TableName};
use karat_spec::{Catalog, LOCK_FILE, Lock, ProjectSpec, TableSpec, pointer_part};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the lock knows of a project's sources.
#[derive(Debug, Default)]
pub struct LockedSources {
    /// Schemas of Bronze tables whose entry is about what the table reads.
    pub schemas: Schemas,
    /// What is to be said of the lock.
    pub findings: Vec<Diagnostic>,
}

/// Reads entries as schemas. Entries of other tables, or of what a table no longer reads, are findings and not used; a table without an entry is a note.
#[must_use]
pub fn locked_sources(spec: &ProjectSpec, catalog: &Catalog, lock: Option<&Lock>) -> LockedSources {
    let mut found = Found::new(spec);
    let mut schemas = BTreeMap::new();
    let tables: HashMap<String, &TableSpec> = spec.tables.iter().filter(|table| table.bronze().is_some()).map(|table| (table.name.to_string(), table)).collect();
    let mut seen: BTreeSet<&TableName> = BTreeSet::new();
    for (name, entry) in lock.into_iter().flat_map(|lock| &lock.document.tables) {
        let Some(lock) = lock else { continue };
        let Some(table) = tables.get(name) else {
            if !may_be_table(spec, name) {
                let help = did_you_mean(name, tables.keys().map(String::as_str)).unwrap_or_else(|| "`karat lock` takes the entry out".to_owned());
                let message = format!("`{LOCK_FILE}` has an entry of `{name}`, which is no Bronze table of this project");
                found.add(NOT_A_TABLE, lock.spans.key(&pointer(name)), message, |finding| finding.with_help(help));
            }
            continue;
        };
        seen.insert(&table.name);
        let Some(from) = table.bronze().and_then(|bronze| bronze.from.as_ref()).filter(|_| !table.incomplete) else { continue };
        if origin(from) != entry.from {
            let message = format!("`{}` reads something else than `{LOCK_FILE}` describes", table.name);
            found.add(LOCKED_OTHERWISE, table.spans.value("/from"), message, |finding| {
                finding.with_note("so its columns are not known, and what reads them is not checked").with_help(format!("run `karat lock --select {name}`"))
            });
            continue;
        }
        if let Some(schema) = schema(lock, name, entry, &mut found) {
            schemas.insert(table.name.clone(), schema);
        }
    }
    for table in spec.tables.iter().filter(|table| !seen.contains(&table.name)) {
        if let Some(bronze) = table.bronze().filter(|bronze| wants_entry(spec, catalog, table, bronze)) {
            let place = if bronze.from.is_some() { table.spans.value("/from") } else { table.name_span };
            let message = format!("the columns of `{}` are not known here, so what reads them is not checked", table.name);
            found.add(NOT_LOCKED, place, message, |finding| finding.with_help(format!("`karat lock` asks the source and writes `{LOCK_FILE}`, which lets lint check more")));
        }
    }
    LockedSources { schemas, findings: found.into_vec() }
}

/// True when locking the table would let more be checked.
fn wants_entry(spec: &ProjectSpec, catalog: &Catalog, table: &TableSpec, bronze: &BronzeTable) -> bool {
    let connection = bronze.from.as_ref().and_then(|from| from.connection.as_deref());
    let plugin = connection.and_then(|name| spec.connection(table.pipeline, name)).and_then(|connection| catalog.plugins.get(&connection.plugin));
    let can_be_asked = plugin.is_some_and(|plugin| plugin.available && !plugin.capabilities.source_strategies.is_empty());
    can_be_asked && !table.incomplete && !reads_declared_columns(spec, catalog, table)
}

fn schema(lock: &Lock, name: &str, entry: &LockedTable, found: &mut Found<'_>) -> Option<SourceSchema> {
    let place = pointer(name);
    let mut is_sound = true;
    let mut contradicts = |pointer: String, message: String| {
        is_sound = false;
        found.add(LOCK_CONTRADICTS, lock.spans.value(&pointer), message, |finding| finding.with_help(format!("write the entry anew: `karat lock --select {name}`")));
    };
    let mut columns = Vec::with_capacity(entry.columns.len());
    for (at, column) in entry.columns.iter().enumerate() {
        let data_type = column.data_type.as_deref().map_or(Some(DataType::Null), type_text::read);
        if data_type.is_none() {
            contradicts(format!("{place}/columns/{at}/type"), format!("the type of column `{}` of `{name}` is none", column.name));
        }
        let data_type = data_type.unwrap_or(DataType::Null);
        columns.push(Column { name: column.name.clone(), declared: column.declared.clone(), data_type, nullable: column.nullable });
    }
    let names: BTreeSet<&str> = entry.columns.iter().map(|column| column.name.as_str()).collect();
    let listed = entry.primary_key.iter().enumerate().map(|(at, name)| (format!("{place}/primary_key/{at}"), name));
    let indexed = entry.indexes.iter().enumerate().flat_map(|(list, index)| index.iter().enumerate().map(move |(at, name)| (list, at, name)));
    for (pointer, column) in listed.chain(indexed.map(|(list, at, name)| (format!("{place}/indexes/{list}/{at}"), name))) {
        if !names.contains(column.as_str()) {
            contradicts(pointer, format!("`{column}` is no column of `{name}` in `{LOCK_FILE}`"));
        }
    }
    is_sound.then(|| SourceSchema {
        columns,
        primary_key: entry.primary_key.clone(),
        indexes: entry.indexes.clone(),
        estimated_rows: entry.rows,
        estimated_bytes: entry.bytes,
        identity: entry.identity.clone(),
        sees_writers: SeesWriters::Unasked,
    })
}

/// True when a Bronze table of this name is there, or may be in what could not be read.
#[must_use]
pub fn may_be_table(spec: &ProjectSpec, name: &str) -> bool {
    let is_it = |table: &TableName| table.to_string() == *name;
    let is_known = spec.tables.iter().any(|table| table.bronze().is_some() && is_it(&table.name)) || spec.broken_tables.iter().any(|(table, _)| is_it(table));
    is_known || name.split_once('.').is_some_and(|(_, short)| spec.left_out.may_define_table(short))
}

fn pointer(table: &str) -> String {
    format!("/tables/{}", pointer_part(table))
}
