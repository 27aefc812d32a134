//! Arrow types and Delta types, both ways: one table.

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use karat_plugin_api::{ConnectorError, DeclaredType, ErrorKind};
use serde_json::{Value, json};
use std::sync::Arc;

/// The columns as Delta keeps them; narrower types become the next wider one that holds all their values.
pub(crate) fn storage_schema(schema: &Schema) -> Result<SchemaRef, ConnectorError> {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let data_type = storage_type(field.data_type()).ok_or_else(|| refused(field))?;
        // Every column may become NULL later: when a source drops it, or when rows of before it are read.
        fields.push(Field::new(field.name(), data_type, true));
    }
    let mut names: Vec<String> = fields.iter().map(|field| field.name().to_lowercase()).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("two columns are named `{}`, and Delta does not tell capital letters apart", twice[0]))
            .with_help("leave one out with `exclude`, or rename it in a query"));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn storage_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => data_type.clone(),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal128(precision, scale) if *scale >= 0 => DataType::Decimal128(*precision, *scale),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        // Nanoseconds are checked value by value: whole microseconds are kept, others refused.
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Dictionary(_, value) => storage_type(value)?,
        DataType::List(item) | DataType::LargeList(item) => DataType::List(Arc::new(Field::new("element", storage_type(item.data_type())?, true))),
        DataType::Struct(fields) => {
            let fields: Option<Vec<Field>> = fields.iter().map(|field| Some(Field::new(field.name(), storage_type(field.data_type())?, true))).collect();
            DataType::Struct(Fields::from(fields?))
        }
        _ => return None,
    })
}

fn refused(field: &Field) -> ConnectorError {
    let name = DeclaredType::name_of(field.data_type()).unwrap_or_else(|| field.data_type().to_string());
    let instead = match field.data_type() {
        DataType::Decimal256(..) => "text",
        DataType::Time32(_) | DataType::Time64(_) | DataType::Interval(_) | DataType::Duration(_) => "text",
        DataType::Float16 => "real",
        _ => "text",
    };
    ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` is `{name}`, which Delta cannot hold", field.name()))
        .with_help(format!("set `types: {{{}: {instead}}}`, or cast it in the query", field.name()))
}

/// True when the table needs the feature `timestampNtz`.
pub(crate) fn has_local_timestamps(schema: &Schema) -> bool {
    fn is_local(data_type: &DataType) -> bool {
        match data_type {
            DataType::Timestamp(_, None) => true,
            DataType::List(item) => is_local(item.data_type()),
            DataType::Struct(fields) => fields.iter().any(|field| is_local(field.data_type())),
            _ => false,
        }
    }
    schema.fields().iter().any(|field| is_local(field.data_type()))
}

/// `schemaString` of the log.
pub(crate) fn to_delta(schema: &Schema) -> Value {
    json!({"type": "struct", "fields": schema.fields().iter().map(|field| field_to_delta(field)).collect::<Vec<_>>()})
}

fn field_to_delta(field: &Field) -> Value {
    json!({"name": field.name(), "type": type_to_delta(field.data_type()), "nullable": field.is_nullable(), "metadata": {}})
}

fn type_to_delta(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 => json!("byte"),
        DataType::Int16 => json!("short"),
        DataType::Int32 => json!("integer"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Binary => json!("binary"),
        DataType::Date32 => json!("date"),
        DataType::Decimal128(precision, scale) => json!(format!("decimal({precision},{scale})")),
        DataType::Timestamp(_, None) => json!("timestamp_ntz"),
        DataType::Timestamp(_, Some(_)) => json!("timestamp"),
        DataType::List(item) => json!({"type": "array", "elementType": type_to_delta(item.data_type()), "containsNull": true}),
        DataType::Struct(fields) => json!({"type": "struct", "fields": fields.iter().map(|field| field_to_delta(field)).collect::<Vec<_>>()}),
        // `storage_schema` lets nothing else through.
        _ => json!("string"),
    }
}

/// The columns that a `schemaString` describes; the error is what it holds that this build cannot read.
pub(crate) fn from_delta(text: &str) -> Result<SchemaRef, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Arc::new(Schema::new(fields_from_delta(&value)?)))
}

fn fields_from_delta(value: &Value) -> Result<Vec<Field>, String> {
    let fields = value.get("fields").and_then(Value::as_array).ok_or("a struct without fields")?;
    fields
        .iter()
        .map(|field| {
            let name = field.get("name").and_then(Value::as_str).ok_or("a field without a name")?;
            let data_type = type_from_delta(field.get("type").ok_or("a field without a type")?).map_err(|kind| format!("column `{name}` of type {kind}"))?;
            Ok(Field::new(name, data_type, field.get("nullable").and_then(Value::as_bool).unwrap_or(true)))
        })
        .collect()
}

fn type_from_delta(value: &Value) -> Result<DataType, String> {
    if let Some(name) = value.as_str() {
        return primitive_from_delta(name).ok_or_else(|| format!("`{name}`"));
    }
    match value.get("type").and_then(Value::as_str) {
        Some("array") => {
            let item = type_from_delta(value.get("elementType").unwrap_or(&Value::Null))?;
            Ok(DataType::List(Arc::new(Field::new("element", item, true))))
        }
        Some("struct") => Ok(DataType::Struct(Fields::from(fields_from_delta(value)?))),
        other => Err(format!("`{}`", other.unwrap_or("?"))),
    }
}

fn primitive_from_delta(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Boolean,
        "byte" => DataType::Int8,
        "short" => DataType::Int16,
        "integer" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        _ => {
            let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            DataType::Decimal128(precision.trim().parse().ok().filter(|precision| (1..=38).contains(precision))?, scale.trim().parse().ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_type_comes_back_from_the_log() {
        let types = [
            DataType::Boolean,
            DataType::UInt8,
            DataType::UInt64,
            DataType::Float32,
            DataType::Decimal128(38, 10),
            DataType::Utf8View,
            DataType::FixedSizeBinary(16),
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Millisecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            DataType::List(Arc::new(Field::new("item", DataType::Int32, true))),
        ];
        let schema = Schema::new(types.iter().enumerate().map(|(at, data_type)| Field::new(format!("c{at}"), data_type.clone(), false)).collect::<Vec<_>>());

        let stored = storage_schema(&schema).unwrap();

        assert_eq!(from_delta(&to_delta(&stored).to_string()), Ok(stored));
    }

    #[test]
    fn what_delta_cannot_hold_is_refused_by_name() {
        for data_type in [DataType::Decimal256(50, 2), DataType::Time64(TimeUnit::Microsecond), DataType::Float16, DataType::Null] {
            let refused = storage_schema(&Schema::new(vec![Field::new("odd", data_type, true)])).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::SchemaMismatch);
            assert!(refused.to_string().contains("`odd`"));
        }
    }
}
