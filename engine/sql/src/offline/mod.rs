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
mod reach;
#[cfg(test)]
mod tests;

pub use explanations::explanations;
pub use reach::{ColumnReach, Reached, column_reach};

use crate::output::{Output, OutputPlace, OutputProblem};
use crate::statement::{self, Allowed};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::sql::parser::Statement;
use findings::{DUPLICATE_COLUMN, OUTPUT_COLUMN, OUTPUT_TYPE, Subject};
use karat_diagnostics::{Code, Diagnostic, Span};
use karat_graph::TableGraph;
use karat_spec::model::{SqlTable, TableName};
use karat_spec::{ProjectSpec, SqlText, TableSpec, pointer_part};
use known::KnownTables;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

/// Checks all SQL of a project: syntax, one SELECT only, and columns and types where the columns of all inputs are known.
///
/// `schemas` are the columns of Bronze tables that somebody has looked up; they win over declared ones. Findings come in table order.
#[must_use]
pub fn check_project(spec: &ProjectSpec, graph: &TableGraph, schemas: &BTreeMap<TableName, SchemaRef>) -> Vec<Diagnostic> {
    let mut known = match KnownTables::new() {
        Ok(known) => known,
        Err(error) => {
            tracing::error!(%error, "SQL cannot be checked");
            return Vec::new();
        }
    };
    let mut findings = BTreeMap::new();
    for wave in check_waves(spec, graph) {
        let judged = in_parallel(&wave, |position| judge(&known, spec, &spec.tables[position], schemas));
        for (position, (found, schema)) in wave.into_iter().zip(judged) {
            if let Some(schema) = schema {
                known.insert(&spec.tables[position].name, schema);
            }
            findings.insert(position, found);
        }
    }
    findings.into_values().flatten().collect()
}

/// Positions of tables, inputs first.
fn check_waves(spec: &ProjectSpec, graph: &TableGraph) -> Vec<Vec<usize>> {
    let mut waves: Vec<Vec<usize>> =
        graph.waves().into_iter().map(|wave| wave.into_iter().map(|table| table.position()).filter(|position| *position < spec.tables.len()).collect()).collect();
    // Tables of a cycle have no order; what can be said of them is said last.
    let ordered: BTreeSet<usize> = waves.iter().flatten().copied().collect();
    waves.push((0..spec.tables.len()).filter(|position| !ordered.contains(position)).collect());
    waves
}

/// All findings of one table, and its columns if they are known.
fn judge(known: &KnownTables, spec: &ProjectSpec, table: &TableSpec, schemas: &BTreeMap<TableName, SchemaRef>) -> (Vec<Diagnostic>, Option<SchemaRef>) {
    let mut findings = Vec::new();
    let schema = match table.transform() {
        Some(definition) => parse(table, &mut findings).and_then(|statement| plan(known, table, definition, statement, &mut findings)),
        None => schemas.get(&table.name).cloned().or_else(|| declared::schema(spec, table)),
    };
    check_expressions::check(known, table, schema.as_ref(), &mut findings);
    (findings, schema)
}

/// Tables that one thread judges at least: about as long as starting a thread takes.
const TABLES_PER_THREAD: usize = 32;

/// `work` of every item, in their order. A SELECT takes DataFusion some 0.2 ms to plan, which a thousand tables make felt.
fn in_parallel<R: Send>(items: &[usize], work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(items.len() / TABLES_PER_THREAD);
    if threads < 2 {
        return items.iter().map(|item| work(*item)).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let parts: Vec<_> = items.chunks(items.len().div_ceil(threads)).map(|part| scope.spawn(move || part.iter().map(|item| work(*item)).collect::<Vec<R>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
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
    let schema: SchemaRef = Arc::clone(plan.schema().inner());
    match Output::of_table("", &schema, &types, definition.key.as_deref().unwrap_or_default()) {
        Ok(output) if hopeless.is_empty() => Some(Arc::clone(output.schema())),
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
            let pointer = format!("/types/{}", pointer_part(name));
            if problem.message.starts_with("`types`") { (OUTPUT_COLUMN, table.spans.key(&pointer)) } else { (OUTPUT_TYPE, table.spans.value(&pointer)) }
        }
        OutputPlace::Key(index) => (OUTPUT_COLUMN, table.spans.value(&format!("/key/{index}"))),
    };
    Diagnostic::error(code, subject.says(&problem.message), span).with_help(problem.help)
}

/// The name of a type in messages; how fine a timestamp is does not matter there.
fn shown(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        other => crate::output::type_name(other),
    }
}
