//! The columns of Bronze tables whose `types` are all there is.

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use karat_plugin_api::DeclaredType;
use karat_spec::{ProjectSpec, TableSpec};
use std::sync::Arc;

/// Endings of text files, for connections that leave the format to the path.
const TEXT_FILES: [&str; 8] = [".csv", ".ndjson", ".jsonl", ".csv.gz", ".csv.zst", ".ndjson.gz", ".ndjson.zst", ".jsonl.gz"];

/// The columns of a table read from CSV or NDJSON; `None` for every other, and when a type is not one (which is a finding of its own).
pub(super) fn schema(spec: &ProjectSpec, table: &TableSpec) -> Option<SchemaRef> {
    let bronze = table.bronze()?;
    let from = bronze.from.as_ref()?;
    let path = from.path.as_deref()?;
    let connection = spec.connection(table.pipeline, from.connection.as_deref()?)?;
    let is_text = match connection.settings.get("format").and_then(serde_json::Value::as_str) {
        Some(format) => matches!(format, "csv" | "ndjson"),
        None => TEXT_FILES.iter().any(|ending| path.ends_with(ending)),
    };
    if !is_text || table.incomplete || table.unresolved {
        return None;
    }
    let types = bronze.types.as_ref()?;
    let column = |name: &String| Some(Field::new(name, DeclaredType::parse(types.get(name)?).ok()?.data_type().clone(), true));
    let names: Vec<&String> = match &bronze.select {
        Some(names) => names.iter().collect(),
        None => types.keys().collect(),
    };
    let kept = names.into_iter().filter(|name| !bronze.exclude.iter().flatten().any(|excluded| excluded == *name));
    let fields: Vec<Field> = kept.map(column).collect::<Option<_>>()?;
    Some(Arc::new(Schema::new(fields)))
}
