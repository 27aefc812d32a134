//! What is wrong with a copy, now that the source has said what it holds.

use crate::findings::{
    COLUMN_ABSENT, CURSOR_ABSENT, CURSOR_NOT_INDEXED, CURSOR_NOT_UNIQUE, CURSOR_NULLABLE, CURSOR_TYPE, Found, KEY_ABSENT, KEY_MISSING, KEY_NOT_UNIQUE, LOSSY_TYPE, MARK_TAKEN,
};
use crate::{CopyWork, ddl, lossy};
use arrow_schema::DataType;
use karat_diagnostics::{Diagnostic, did_you_mean, quoted};
use karat_plugin_api::{Column, CursorExpr, DELETED_AT, DeclaredType, SourceObject, SourceSchema};
use karat_spec::model::{Check, Deletes, LoadMode, Strategy};
use karat_spec::{ProjectSpec, TableSpec, pointer_part};

/// Below this many rows nobody notices a scan.
const SMALL_TABLE_ROWS: u64 = 100_000;

/// A copy with its source's schema.
pub(crate) struct Copied<'a> {
    pub(crate) spec: &'a ProjectSpec,
    pub(crate) table: &'a TableSpec,
    pub(crate) schema: &'a SourceSchema,
    pub(crate) work: &'a CopyWork,
}

/// All findings of one copy.
pub(crate) fn copy(copied: &Copied<'_>) -> Vec<Diagnostic> {
    let mut found = Found::new(copied.spec);
    // A source that cannot say its columns (no file there yet) is not judged by them.
    if !copied.schema.columns.is_empty() {
        columns(copied, &mut found);
        overrides(copied, &mut found);
    }
    key(copied, &mut found);
    mark(copied, &mut found);
    if matches!(copied.work.strategy, Strategy::Id | Strategy::Timestamp | Strategy::Hybrid | Strategy::Window)
        && let Some(CursorExpr::Column(name)) = &copied.work.cursor
        && !copied.schema.columns.is_empty()
    {
        match copied.schema.column(name) {
            Some(column) => cursor(copied, column, &mut found),
            None => absent(copied, &mut found, CURSOR_ABSENT, "/cdc/cursor", ("cursor", name)),
        }
    }
    found.into_vec()
}

fn absent(copied: &Copied<'_>, found: &mut Found<'_>, code: karat_diagnostics::Code, pointer: &str, (role, name): (&str, &str)) {
    let known = || copied.schema.columns.iter().map(|column| column.name.as_str());
    let help = did_you_mean(name, known()).or_else(|| (copied.schema.columns.len() <= 10).then(|| format!("the columns are {}", quoted(known()))));
    let message = format!("{role} `{name}` of `{}` is no column of its source", copied.table.name);
    found.add(code, copied.table.spans.value(pointer), message, |finding| finding.with_label("not at the source").with_help_opt(help));
}

fn columns(copied: &Copied<'_>, found: &mut Found<'_>) {
    let Some(bronze) = copied.table.bronze() else { return };
    let mut check = |code, pointer: String, role: &str, name: &str| {
        if copied.schema.column(name).is_none() {
            absent(copied, found, code, &pointer, (role, name));
        }
    };
    for (index, name) in bronze.key.iter().flatten().enumerate() {
        check(KEY_ABSENT, format!("/key/{index}"), "key column", name);
    }
    for (list, names) in [("select", &bronze.select), ("exclude", &bronze.exclude)] {
        for (index, name) in names.iter().flatten().enumerate() {
            check(COLUMN_ABSENT, format!("/{list}/{index}"), "column", name);
        }
    }
    for name in bronze.types.iter().flat_map(|types| types.keys()) {
        check(COLUMN_ABSENT, format!("/types/{}", pointer_part(name)), "column", name);
    }
    for (index, partition) in copied.work.layout.partition_by.iter().enumerate() {
        check(COLUMN_ABSENT, format!("/layout/partition_by/{index}"), "partition column", partition.column());
    }
    for (index, name) in copied.work.layout.sort_by.iter().enumerate() {
        check(COLUMN_ABSENT, format!("/layout/sort_by/{index}"), "sort column", name);
    }
    for (index, entry) in bronze.checks.iter().flatten().enumerate() {
        match entry {
            Check::NotNull { columns, .. } | Check::Unique { columns, .. } | Check::Relationship { columns, .. } => {
                for (at, name) in columns.iter().enumerate() {
                    check(COLUMN_ABSENT, format!("/checks/{index}/columns/{at}"), "checked column", name);
                }
            }
            Check::AcceptedValues { column, .. } | Check::Freshness { column, .. } => check(COLUMN_ABSENT, format!("/checks/{index}/column"), "checked column", column),
            Check::Expression { .. } | Check::RowCount { .. } | Check::ReconcilesWith { .. } => {}
        }
    }
}

fn overrides(copied: &Copied<'_>, found: &mut Found<'_>) {
    for (name, written) in copied.table.types().into_iter().flatten() {
        let (Some(column), Ok(declared)) = (copied.schema.column(name), DeclaredType::parse(written)) else { continue };
        let Some(loss) = lossy::loss(&column.data_type, declared.data_type()) else { continue };
        let message = format!("`{name}` of `{}` loses something as `{}`: {loss}", copied.table.name, declared.as_str());
        let pointer = format!("/types/{}", pointer_part(name));
        let is_type = format!("the source has {} (`{}`)", ddl::type_name(&column.data_type), column.declared);
        found.add(LOSSY_TYPE, copied.table.spans.value(&pointer), message, |finding| {
            finding.with_note(is_type).with_help("take the override out, and convert in Silver where the loss is meant")
        });
    }
}

fn key(copied: &Copied<'_>, found: &mut Found<'_>) {
    let (work, schema, name) = (copied.work, copied.schema, &copied.table.name);
    let needs_key = work.mode == LoadMode::Upsert || matches!(work.strategy, Strategy::Hybrid | Strategy::Diff);
    if !needs_key {
        return;
    }
    if work.key.is_empty() {
        let why = if work.mode == LoadMode::Upsert { "load mode `upsert`".to_owned() } else { format!("strategy `{}`", work.strategy.as_str()) };
        let message = format!("{why} of `{name}` needs a key, and its source has no primary key");
        let help = "write `key:` with the columns that identify a row";
        found.add(KEY_MISSING, copied.table.name_span, message, |finding| finding.with_help(help));
        return;
    }
    let is_indexed = schema.indexes.iter().any(|index| index.len() == work.key.len() && index.iter().all(|column| work.key.contains(column)));
    let is_known = !schema.primary_key.is_empty();
    if is_known && !work.key_is_unique && !is_indexed {
        let message = format!("nothing at the source keeps the key of `{name}` unique: two rows with one key would replace each other");
        let note = format!("the primary key is {}", quoted(schema.primary_key.iter().map(String::as_str)));
        found.add(KEY_NOT_UNIQUE, copied.table.spans.value("/key"), message, |finding| {
            finding.with_note(note).with_help("use the primary key, or make the key unique at the source")
        });
    }
}

fn mark(copied: &Copied<'_>, found: &mut Found<'_>) {
    let work = copied.work;
    let is_taken = work.columns.iter().any(|column| column.name == DELETED_AT);
    if work.strategy == Strategy::Diff && work.deletes == Deletes::Soft && is_taken {
        let message = format!("the source of `{}` has a column `{DELETED_AT}`, which `deletes: soft` needs for itself", copied.table.name);
        let help = format!("leave it out with `exclude: [{DELETED_AT}]`, or rename it in a query");
        found.add(MARK_TAKEN, copied.table.spans.value("/cdc/deletes"), message, |finding| finding.with_help(help));
    }
}

fn cursor(copied: &Copied<'_>, column: &Column, found: &mut Found<'_>) {
    let (work, schema, table) = (copied.work, copied.schema, copied.table);
    let (name, span) = (&column.name, table.spans.value("/cdc/cursor"));
    // A window has the type that is read, which `types` may say.
    let read_type = work.columns.iter().find(|read| read.name == *name).map_or(&column.data_type, |read| &read.data_type);
    if work.strategy == Strategy::Window && !matches!(read_type, DataType::Timestamp(..) | DataType::Date32) {
        let message = format!("windows of `{}` cannot be told by `{name}`, which is {}", table.name, ddl::type_name(read_type));
        let help = format!("name a date or timestamp column, or say that it holds dates: `types: {{ {name}: date }}`");
        found.add(CURSOR_TYPE, span, message, |finding| finding.with_help(help));
        return;
    }
    if !orders(&column.data_type) && work.strategy != Strategy::Window {
        let message = format!("cursor `{name}` of `{}` is {}, which does not order rows by age", table.name, ddl::type_name(&column.data_type));
        found.add(CURSOR_TYPE, span, message, |finding| finding.with_help("choose a number, date, timestamp or text that grows"));
        return;
    }
    if column.nullable && !schema.primary_key.contains(name) && copied.table.bronze().and_then(|bronze| bronze.cdc.as_ref()).is_some_and(|cdc| cdc.null_cursor.is_none()) {
        let message = format!("cursor `{name}` of `{}` may be NULL, and `cdc.null_cursor` does not say what to do then", table.name);
        let note = "a row without a cursor value is never above a watermark; by default the run stops when there is one";
        found.add(CURSOR_NULLABLE, span, message, |finding| finding.with_note(note).with_help("write `null_cursor: error` or `null_cursor: always_reread` under `cdc`"));
    }
    let is_alone = |columns: &[String]| columns.len() == 1 && columns[0] == *name;
    if work.strategy == Strategy::Id && !schema.primary_key.is_empty() && !is_alone(&schema.primary_key) && !schema.indexes.iter().any(|index| is_alone(index)) {
        let message = format!("cursor `{name}` of `{}` is not unique at its source: rows that share a value with the watermark would be lost", table.name);
        found.add(CURSOR_NOT_UNIQUE, span, message, |finding| finding.with_help("use `strategy: hybrid`, which resumes inside a group of equal values"));
    }
    let starts = |columns: &Vec<String>| columns.first() == Some(name);
    let is_small = schema.estimated_rows.is_some_and(|rows| rows < SMALL_TABLE_ROWS);
    if matches!(work.object, SourceObject::Table(_)) && !is_small && !starts(&schema.primary_key) && !schema.indexes.iter().any(starts) {
        let message = format!("cursor `{name}` of `{}` has no index at its source: every run scans the whole table", table.name);
        found.add(CURSOR_NOT_INDEXED, span, message, |finding| finding.with_help(format!("create an index that starts with `{name}`")));
    }
}

fn orders(data_type: &DataType) -> bool {
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_exact = data_type.is_integer() || matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..));
    is_text || is_exact || data_type.is_floating() || matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}
