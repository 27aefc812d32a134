//! What a read selects: each column's expression, the form in which it is sent, and the Arrow type that it becomes.

use super::cell::Cell;
use super::describe::{ColumnFacts, Described, column_sql};
use crate::schema::{TEXT_LIST, Wire};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use karat_plugin_api::{ColumnChoice, ConnectorError, DeclaredType, ErrorKind};
use std::sync::Arc;

/// One selected column.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// Its expression.
    pub(crate) sql: String,
    /// What is sent.
    pub(crate) wire: Wire,
    /// For messages, and in batches.
    pub(crate) name: String,
    /// What it becomes.
    pub(crate) data_type: DataType,
    /// Whether NULL may occur.
    pub(crate) nullable: bool,
}

/// The columns of a read: those of the request, then those that only the position needs.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// All columns.
    pub(crate) columns: Vec<Selected>,
    /// How many of them the request named.
    pub(crate) visible: usize,
}

impl Selection {
    /// The columns of a request over `described`.
    pub(crate) fn new(described: &Described, choices: &[ColumnChoice]) -> Result<Self, ConnectorError> {
        let columns = choices.iter().map(|choice| select(described, choice)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { visible: columns.len(), columns })
    }

    /// What stands between SELECT and FROM.
    pub(crate) fn sql(&self) -> String {
        self.columns.iter().map(|column| column.sql.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The place of a column or expression that the position needs, in a form that a literal can be made of; added if it is not there yet.
    pub(crate) fn place(&mut self, sql: &str, facts: &ColumnFacts) -> usize {
        let native = &facts.native;
        let (sql, wire, data_type) = if has_literals(&native.wire) && native.cast.is_none() {
            (sql.to_owned(), native.wire.clone(), native.data_type.clone())
        } else {
            (format!("({sql})::text"), Wire::Text, DataType::Utf8)
        };
        if let Some(at) = self.columns.iter().position(|column| column.sql == sql && column.wire == wire && column.data_type == data_type) {
            return at;
        }
        let name = format!("position {}", self.columns.len());
        self.columns.push(Selected { sql, wire, name, data_type, nullable: true });
        self.columns.len() - 1
    }
}

/// Forms that a position keeps as they are; all others are kept as the server's text.
fn has_literals(wire: &Wire) -> bool {
    matches!(wire, Wire::Int16 | Wire::Int32 | Wire::Int64 | Wire::Oid | Wire::Timestamp | Wire::Date | Wire::Text)
}

/// The columns of all batches.
pub(crate) fn batch_schema(choices: &[ColumnChoice]) -> SchemaRef {
    Arc::new(Schema::new(choices.iter().map(|choice| Field::new(&choice.name, choice.data_type.clone(), choice.nullable)).collect::<Vec<_>>()))
}

/// Refuses columns that no read could give, before anything is opened.
pub(crate) fn check_types(label: &str, choices: &[ColumnChoice]) -> Result<(), ConnectorError> {
    match choices.iter().find(|choice| choice.data_type == DataType::Null) {
        None => Ok(()),
        Some(choice) => Err(ConnectorError::new(ErrorKind::SchemaMismatch, format!("column `{}` of {label} declares no exact type", choice.name))
            .with_help(format!("declare one, such as `types: {{{0}: \"decimal(38,9)\"}}` or `{{{0}: text}}`, or leave the column out with `exclude`", choice.name))),
    }
}

fn select(described: &Described, choice: &ColumnChoice) -> Result<Selected, ConnectorError> {
    let (_, facts) = described.require(&choice.name)?;
    let made = |sql, wire| Selected { sql, wire, name: choice.name.clone(), data_type: choice.data_type.clone(), nullable: choice.nullable };
    let native = &facts.native;
    if Cell::new(&native.wire, &choice.data_type, 0).is_some_and(|cell| !prints_numbers(&cell, &choice.data_type)) {
        let sql = column_sql(&choice.name);
        return Ok(made(native.cast.map_or_else(|| sql.clone(), |cast| cast.replace('$', &sql)), native.wire.clone()));
    }
    if !matches!(native.wire, Wire::Bytes) || choice.data_type == DataType::Utf8 {
        if Cell::new(&Wire::Text, &choice.data_type, 0).is_some() {
            // What has no binary form is printed the one way it is printed without `types`.
            let cast = native.cast.filter(|_| native.wire == Wire::Text).unwrap_or("$::text");
            return Ok(made(cast.replace('$', &column_sql(&choice.name)), Wire::Text));
        }
        if let (Wire::List(_), DataType::List(_)) = (&native.wire, &choice.data_type)
            && Cell::new(&Wire::List(Box::new(Wire::Text)), &choice.data_type, 0).is_some()
        {
            return Ok(made(TEXT_LIST.replace('$', &column_sql(&choice.name)), Wire::List(Box::new(Wire::Text))));
        }
    }
    let wanted = DeclaredType::name_of(&choice.data_type).unwrap_or_else(|| choice.data_type.to_string());
    Err(ConnectorError::new(ErrorKind::Unsupported, format!("column `{}` of {} cannot be read as `{wanted}`", choice.name, described.label))
        .with_help(format!("leave it out of `types`, or declare `{{{}: text}}`", choice.name)))
}

/// Floats as text are printed by the server, so that they look as everybody there sees them.
fn prints_numbers(cell: &Cell, data_type: &DataType) -> bool {
    matches!(cell, Cell::Declared(Wire::Float32 | Wire::Float64, _)) && *data_type == DataType::Utf8
}
