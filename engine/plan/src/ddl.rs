//! What changes about a target's columns.

use arrow_schema::{DataType, SchemaRef};
use karat_plugin_api::{ColumnChoice, DeclaredType};
use karat_spec::model::SchemaChanges;

/// The changes, one line each; `None` for a target that does not exist, and no columns where they are not known.
pub(crate) fn changes(target: Option<&SchemaRef>, columns: &[ColumnChoice], policy: SchemaChanges) -> Vec<String> {
    let Some(target) = target else {
        let count = columns.len();
        return vec![if count == 0 { "create".into() } else { format!("create with {count} {}", if count == 1 { "column" } else { "columns" }) }];
    };
    if columns.is_empty() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for column in columns {
        match target.field_with_name(&column.name) {
            Err(_) if policy == SchemaChanges::IgnoreNewColumns => lines.push(format!("ignore new column `{}`", column.name)),
            Err(_) => lines.push(format!("add column `{}` {}", column.name, type_name(&column.data_type))),
            Ok(field) if !is_same(field.data_type(), &column.data_type) => {
                lines.push(format!("change column `{}` from {} to {}", column.name, type_name(field.data_type()), type_name(&column.data_type)));
            }
            Ok(_) => {}
        }
    }
    let gone = target.fields().iter().filter(|field| !columns.iter().any(|column| column.name == *field.name()));
    lines.extend(gone.map(|field| format!("column `{}` is no longer read", field.name())));
    lines
}

/// A type as the language writes it.
pub(crate) fn type_name(data_type: &DataType) -> String {
    DeclaredType::name_of(data_type).unwrap_or_else(|| data_type.to_string())
}

/// Equal for people: texts and binaries have several layouts in memory, and lakes keep timestamps in microseconds.
fn is_same(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Timestamp(_, one), DataType::Timestamp(_, other)) => one.is_some() == other.is_some(),
        _ => type_name(one) == type_name(other),
    }
}
