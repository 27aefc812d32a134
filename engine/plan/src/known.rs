//! Bronze tables whose sources are known: what is wrong with them, and which columns their readers see.

use crate::copy;
use crate::judge::{self, Copied};
use crate::{CopyWork, Schemas};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use karat_diagnostics::Diagnostic;
use karat_plugin_api::{ColumnChoice, DELETED_AT};
use karat_spec::model::{BronzeTable, Deletes, From, Strategy, TableName};
use karat_spec::{Catalog, ProjectSpec, TableSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What schemas of sources say of a project.
#[derive(Debug, Default)]
pub struct KnownCopies {
    /// What is wrong with the tables that copy them.
    pub findings: Vec<Diagnostic>,
    /// The columns these tables have: `select`, `exclude` and `types` are applied.
    pub columns: BTreeMap<TableName, SchemaRef>,
}

/// Judges the Bronze tables that `schemas` knows, as [`crate::build`] does; needs no checked graph.
#[must_use]
pub fn known_copies(spec: &ProjectSpec, catalog: &Catalog, schemas: &Schemas) -> KnownCopies {
    let mut known = KnownCopies::default();
    for table in spec.tables.iter().filter(|table| !table.incomplete) {
        let (Some(bronze), Some(schema)) = (table.bronze(), schemas.get(&table.name)) else { continue };
        if waits(table, bronze) {
            continue;
        }
        let work = copy::work_of(spec, catalog, table, bronze, Some(schema));
        known.findings.extend(judge::copy(&Copied { spec, table, schema, work: &work }));
        if let Some(columns) = columns(&work) {
            known.columns.insert(table.name.clone(), columns);
        }
    }
    known
}

/// The columns that a copy writes, where every one of them is known exactly.
#[must_use]
pub fn columns(work: &CopyWork) -> Option<SchemaRef> {
    let names: BTreeSet<&str> = work.columns.iter().map(|column| column.name.as_str()).collect();
    let is_known = !work.columns.is_empty() && names.len() == work.columns.len() && work.columns.iter().all(|column| column.data_type != DataType::Null);
    let field = |column: &ColumnChoice| Field::new(&column.name, column.data_type.clone(), column.nullable);
    is_known.then(|| Arc::new(Schema::new(written(work).iter().map(field).collect::<Vec<_>>())) as SchemaRef)
}

/// The columns that are read, and the one that soft deletes add.
pub(crate) fn written(work: &CopyWork) -> Vec<ColumnChoice> {
    let mut columns = work.columns.clone();
    let is_free = !columns.is_empty() && columns.iter().all(|column| column.name != DELETED_AT);
    if work.strategy == Strategy::Diff && work.deletes == Deletes::Soft && is_free {
        let data_type = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        columns.push(ColumnChoice { name: DELETED_AT.to_owned(), data_type, nullable: true });
    }
    columns
}

/// True when something besides `from` waits for the environment, so that columns may be named by it.
fn waits(table: &TableSpec, bronze: &BronzeTable) -> bool {
    let rest = BronzeTable { from: Some(From::default()), ..bronze.clone() };
    table.unresolved && serde_json::to_string(&rest).is_ok_and(|text| text.contains("${"))
}
