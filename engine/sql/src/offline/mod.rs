//! All SQL of a project, checked with no data at hand.
//!
//! Syntax of everything; columns and types wherever the columns of all inputs are known: declared for CSV and NDJSON, given by the caller
//! (locked or discovered), or computed here for a table whose own inputs are known. A table with a finding has no known columns, so what
//! depends on it is passed over in silence: one mistake, one finding.

mod check_expressions;
mod declared;
mod explanations;
mod findings;
mod known;
#[cfg(test)]
mod tests;

pub use explanations::explanations;

use crate::output::{Output, OutputPlace, OutputProblem};
use crate::statement::{self, Allowed};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::sql::parser::Statement;
use findings::{DUPLICATE_COLUMN, OUTPUT_COLUMN, OUTPUT_TYPE, Subject};
use karat_diagnostics::{Code, Diagnostic, Span};
use karat_graph::TableGraph;
use karat_spec::model::{SqlTable, TableName};
use karat_spec::{ProjectSpec, SqlText, TableSpec};
use known::KnownTables;
use std::collections::BTreeMap;

/// Checks all SQL of a project: syntax, one SELECT only, and columns and types where the columns of all inputs are known.
///
/// `schemas` are the columns of Bronze tables that somebody has looked up; they win over declared ones. Findings come in table order.
#[must_use]
pub fn check_project(spec: &ProjectSpec, graph: &TableGraph, schemas: &BTreeMap<TableName, SchemaRef>) -> Vec<Diagnostic> {
    let order: Vec<usize> = graph.waves().into_iter().flatten().map(|table| table.position()).collect();
    let mut findings: Vec<Vec<Diagnostic>> = spec.tables.iter().map(|_| Vec::new()).collect();
    let mut statements: Vec<Option<Statement>> = spec.tables.iter().zip(&mut findings).map(|(table, found)| parse(table, found)).collect();
    let mut known = match KnownTables::new() {
        Ok(known) => known,
        // Without a catalogue nothing is known; syntax was checked all the same.
        Err(error) => {
            tracing::error!(%error, "columns cannot be checked");
            return findings.into_iter().flatten().collect();
        }
    };
    let mut checked = vec![false; spec.tables.len()];
    for position in order {
        let (Some(table), Some(found)) = (spec.tables.get(position), findings.get_mut(position)) else { continue };
        let schema = match table.transform() {
            Some(definition) => statements[position].take().and_then(|statement| plan(&known, table, definition, statement, found)),
            None => schemas.get(&table.name).cloned().or_else(|| declared::schema(spec, table)),
        };
        check_expressions::check(&known, table, schema.as_ref(), found);
        checked[position] = true;
        if let Some(schema) = schema {
            known.insert(&table.name, schema);
        }
    }
    // Tables of a cycle have no order; their checks are read all the same.
    for (position, table) in spec.tables.iter().enumerate().filter(|(position, _)| !checked[*position]) {
        check_expressions::check(&known, table, None, &mut findings[position]);
    }
    findings.into_iter().flatten().collect()
}

/// The texts of a table's SELECT that can be judged now.
fn texts(table: &TableSpec) -> impl Iterator<Item = &SqlText> {
    // A text that waits for the environment or for a broken template says nothing yet.
    table.sql.iter().chain(&table.full_sql).filter(|sql| is_ready(sql))
}

fn is_ready(sql: &SqlText) -> bool {
    !sql.as_str().contains("${")
}

fn parse(table: &TableSpec, findings: &mut Vec<Diagnostic>) -> Option<Statement> {
    let subject = Subject::table(&table.name);
    let mut parsed = Vec::new();
    for sql in texts(table) {
        match statement::parse(sql.as_str(), Allowed::Select) {
            Ok(statement) => parsed.push(statement),
            Err(problem) => {
                let finding = findings::of_statement(&subject, sql, problem);
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
    }
    // The columns of the two texts of an incremental table are the same by contract; the one that computes everything is judged.
    if findings.is_empty() { parsed.pop() } else { None }
}

/// The columns that the table will have; `None` when an input is not known, or something is wrong.
fn plan(known: &KnownTables, table: &TableSpec, definition: &SqlTable, statement: Statement, findings: &mut Vec<Diagnostic>) -> Option<SchemaRef> {
    let sql = texts(table).last()?;
    let subject = Subject::table(&table.name);
    if !known.reads_only_known(&statement) {
        return None;
    }
    let plan = match known.plan(statement) {
        Ok(plan) => plan,
        Err(error) => {
            findings.extend(findings::of_planning(&subject, sql, &error));
            return None;
        }
    };
    let hopeless = known::hopeless_literals(&plan);
    findings.extend(hopeless.iter().map(|(literal, data_type)| findings::hopeless_literal(&subject, sql, literal, data_type)));
    let types = definition.types.clone().unwrap_or_default();
    let schema: SchemaRef = std::sync::Arc::clone(plan.schema().inner());
    match Output::of_table("", &schema, &types, definition.key.as_deref().unwrap_or_default()) {
        Ok(output) if hopeless.is_empty() => Some(std::sync::Arc::clone(output.schema())),
        Ok(_) => None,
        Err(problems) => {
            findings.extend(problems.into_iter().map(|problem| of_output(&subject, table, sql, problem)));
            None
        }
    }
}

fn of_output(subject: &Subject, table: &TableSpec, sql: &SqlText, problem: OutputProblem) -> Diagnostic {
    let (code, span): (Code, Span) = match &problem.place {
        OutputPlace::Name(name) => (DUPLICATE_COLUMN, findings::last_word(sql, name)),
        OutputPlace::Column(name) => (OUTPUT_TYPE, findings::last_word(sql, name)),
        OutputPlace::Type(name) => {
            let pointer = format!("/types/{}", name.replace('~', "~0").replace('/', "~1"));
            if problem.message.starts_with("`types`") { (OUTPUT_COLUMN, table.spans.key(&pointer)) } else { (OUTPUT_TYPE, table.spans.value(&pointer)) }
        }
        OutputPlace::Key(index) => (OUTPUT_COLUMN, table.spans.value(&format!("/key/{index}"))),
    };
    Diagnostic::error(code, subject.says(&problem.message), span).with_help(problem.help)
}

/// The name of a type in messages.
fn shown(data_type: &DataType) -> String {
    crate::output::type_name(data_type)
}
