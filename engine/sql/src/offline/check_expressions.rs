//! The SQL and the columns that checks name.

use super::findings::{self, CHECK_COLUMN, CHECK_EXPRESSION, Subject};
use super::known::{self, KnownTables};
use crate::checks::plan::{literal, no_condition, value_text};
use crate::statement;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{DFSchema, DataFusionError, TableReference};
use karat_diagnostics::{Diagnostic, did_you_mean};
use karat_spec::model::Check;
use karat_spec::{SqlText, TableSpec};

/// Checks every check of a table; without `schema` only the syntax of its expressions.
pub(super) fn check(known: &KnownTables, table: &TableSpec, schema: Option<&SchemaRef>, findings: &mut Vec<Diagnostic>) {
    for (index, check) in table.checks().into_iter().flatten().enumerate() {
        let at = At { known, table, pointer: format!("/checks/{index}"), subject: Subject::check(&table.name, check.kind().as_str()) };
        for key in ["sql", "where"] {
            if let Some(sql) = table.check_sql.get(&format!("{}/{key}", at.pointer)).filter(|sql| super::is_ready(sql)) {
                findings.extend(at.expression(key, sql, schema));
            }
        }
        let Some(schema) = schema else { continue };
        match check {
            Check::NotNull { columns, .. } | Check::Unique { columns, .. } | Check::Relationship { columns, .. } | Check::ReconcilesWith { columns, .. } => {
                findings.extend(columns.iter().enumerate().filter_map(|(index, name)| at.column(schema, &format!("columns/{index}"), name).err().map(|finding| *finding)));
            }
            Check::AcceptedValues { column, values, .. } => match at.column(schema, "column", column) {
                Ok(data_type) => findings.extend(at.values(column, data_type, values)),
                Err(finding) => findings.push(*finding),
            },
            Check::Freshness { column, .. } => match at.column(schema, "column", column) {
                Ok(DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => {}
                Ok(other) => {
                    let message = at.subject.says(&format!("column `{column}` is {}, not a date or a timestamp", super::shown(other)));
                    findings.push(Diagnostic::error(CHECK_EXPRESSION, message, at.span("column")).with_help("name a column that says when the row came to be"));
                }
                Err(finding) => findings.push(*finding),
            },
            Check::Expression { .. } | Check::RowCount { .. } => {}
        }
    }
}

struct At<'a> {
    known: &'a KnownTables,
    table: &'a TableSpec,
    pointer: String,
    subject: Subject,
}

impl At<'_> {
    fn span(&self, key: &str) -> karat_diagnostics::Span {
        self.table.spans.value(&format!("{}/{key}", self.pointer))
    }

    fn column<'s>(&self, schema: &'s Schema, key: &str, name: &str) -> Result<&'s DataType, Box<Diagnostic>> {
        if let Some((_, field)) = schema.column_with_name(name) {
            return Ok(field.data_type());
        }
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        let help = did_you_mean(name, names()).unwrap_or_else(|| format!("there are {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")));
        Err(Box::new(Diagnostic::error(CHECK_COLUMN, self.subject.says(&format!("there is no column `{name}`")), self.span(key)).with_label("no such column").with_help(help)))
    }

    fn values(&self, column: &str, data_type: &DataType, values: &[serde_json::Value]) -> Vec<Diagnostic> {
        let wrong = values.iter().enumerate().filter(|(_, value)| value_text(value).and_then(|text| literal(&text, data_type)).is_none());
        let finding = |(index, value): (usize, &serde_json::Value)| {
            let message = self.subject.says(&format!(
                "{} is no {}, as column `{column}` is",
                value_text(value).map_or_else(|| "this".to_owned(), |text| format!("`{text}`")),
                super::shown(data_type)
            ));
            Diagnostic::error(CHECK_EXPRESSION, message, self.span(&format!("values/{index}")))
                .with_help("write a value of the column's type; NULL is never accepted, leave such rows out with `where`")
        };
        wrong.map(finding).collect()
    }

    fn expression(&self, key: &str, sql: &SqlText, schema: Option<&SchemaRef>) -> Vec<Diagnostic> {
        let parsed = match statement::parse_expression(sql.as_str()) {
            Ok(parsed) => parsed,
            Err(problem) => return vec![findings::of_statement(&self.subject, sql, problem)],
        };
        let Some(schema) = schema else { return Vec::new() };
        let judged = || -> Result<Vec<Diagnostic>, DataFusionError> {
            let name = &self.table.name;
            let columns = DFSchema::try_from_qualified_schema(TableReference::partial(name.layer().as_str(), name.name()), schema)?;
            let condition = self.known.expression(parsed, &columns)?;
            if let Some(fault) = no_condition(&condition, &columns)? {
                let message = self.subject.says(&format!("`{key}` {fault}"));
                return Ok(vec![Diagnostic::error(CHECK_EXPRESSION, message, sql.whole()).with_help("write a condition over the columns of one row, such as `price > 0`")]);
            }
            let plan = self.known.condition(name, schema, condition)?;
            Ok(known::hopeless_literals(&plan).iter().map(|(literal, data_type)| findings::hopeless_literal(&self.subject, sql, literal, data_type)).collect())
        };
        judged().unwrap_or_else(|error| findings::of_planning(&self.subject, sql, &error))
    }
}
