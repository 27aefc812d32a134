//! `karat query`: reads the warehouse by SQL.

use crate::arguments::Scope;
use crate::connections::{LOCAL_FOLDER, ProjectConnections, make_private};
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Examined, Sight};
use crate::exit::Exit;
use crate::machine;
use arrow::record_batch::RecordBatch;
use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use karat_exec::Connections;
use karat_graph::SqlFacts;
use karat_plugin_api::{ConnectorError, ErrorKind, TargetObject};
use karat_spec::model::TableName;
use karat_sql::{SqlEngine, SqlInput, SqlOptions};
use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One SELECT, SHOW or DESCRIBE; tables are named `<layer>.<table>`.
    sql: String,
    /// The project whose tables are read.
    #[arg(long, default_value = ".", value_name = "PATH")]
    project: PathBuf,
    /// How to print rows.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A drawn table; all rows are held in memory to align them.
    Text,
    /// With a header.
    Csv,
    /// A list of objects.
    Json,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let scope = Scope { paths: vec![arguments.project.clone()], select: Vec::new(), exclude: Vec::new() };
    let project = examined::single(&scope, Sight::Online, context, "a query reads one project")?;
    context.runtime()?.block_on(query(&project, arguments, context))?;
    Ok(Exit::Done)
}

async fn query(project: &Examined, arguments: &Arguments, context: &Context) -> Result<(), CliError> {
    let connections = ProjectConnections::new(&project.spec);
    let inputs = inputs(project, &connections, &arguments.sql).await?;
    make_private(&project.spec.root.join(LOCAL_FOLDER))?;
    let memory_limit_bytes = machine::memory_limit(context.memory_limit, &project.spec);
    let options = SqlOptions { memory_limit_bytes, spill_dir: connections.scratch().join("spill"), parallelism: machine::processors() };
    let engine = SqlEngine::new(options)?;
    let result = engine.query(&arguments.sql, inputs).await.map_err(of_sql)?;
    match arguments.format {
        Format::Text => {
            let batches: Vec<RecordBatch> = result.stream.try_collect().await?;
            let batches = if batches.is_empty() { vec![RecordBatch::new_empty(result.schema)] } else { batches };
            let table = arrow::util::pretty::pretty_format_batches(&batches).map_err(|error| unprintable(&error))?;
            context.printer.data(&format!("{table}\n"))
        }
        Format::Csv => print_csv(result).await,
        Format::Json => print_json(result).await,
    }
}

/// The tables that the SQL names; all tables of the project where it names none (SHOW, DESCRIBE).
async fn inputs(project: &Examined, connections: &ProjectConnections, sql: &str) -> Result<Vec<SqlInput>, CliError> {
    let facts = SqlFacts::read(sql);
    let named: BTreeSet<TableName> = facts.tables.iter().filter_map(|table| TableName::parse(&table.name())).collect();
    let mut inputs = Vec::new();
    for table in project.spec.tables.iter().filter(|table| named.is_empty() || named.contains(&table.name)) {
        let Some(home) = connections.home(&table.name) else { continue };
        let Some(lake) = connections.lake(home.pipeline, &home.connection)? else { continue };
        let target = match home.table {
            Some(table) => TargetObject { table },
            None => connections.sink(home.pipeline, &home.connection)?.default_target(&table.name),
        };
        match lake.table(&target, None).await? {
            Some(found) => inputs.push(SqlInput { name: table.name.clone(), provider: found.provider }),
            None if named.is_empty() => {}
            None => return Err(CliError::usage(format!("`{}` holds nothing yet", table.name)).with_help(format!("load it with `karat run --select +{}`", table.name))),
        }
    }
    Ok(inputs)
}

/// A query that cannot be understood is the user's; everything else went wrong outside.
fn of_sql(error: ConnectorError) -> CliError {
    let is_usage = matches!(error.kind(), ErrorKind::BadConfiguration | ErrorKind::SchemaMismatch | ErrorKind::NotFound | ErrorKind::Unsupported);
    let mapped = CliError::from(error);
    if is_usage { CliError { exit: Exit::Usage, ..mapped } } else { mapped }
}

async fn print_csv(mut result: karat_sql::Transform) -> Result<(), CliError> {
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(BufWriter::new(std::io::stdout()));
    writer.write(&RecordBatch::new_empty(result.schema)).map_err(|error| unprintable(&error))?;
    while let Some(batch) = result.stream.try_next().await? {
        if let Err(error) = writer.write(&batch) {
            return unless_closed(error);
        }
    }
    flushed(writer.into_inner())
}

async fn print_json(mut result: karat_sql::Transform) -> Result<(), CliError> {
    let mut writer = arrow::json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::JsonArray>(BufWriter::new(std::io::stdout()));
    while let Some(batch) = result.stream.try_next().await? {
        if let Err(error) = writer.write(&batch) {
            return unless_closed(error);
        }
    }
    if let Err(error) = writer.finish() {
        return unless_closed(error);
    }
    let mut out = writer.into_inner();
    flushed_line(&mut out)
}

fn flushed_line(out: &mut impl Write) -> Result<(), CliError> {
    match writeln!(out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::failed(ErrorKind::of_io(&error), format!("cannot write to stdout: {error}"))),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn flushed(mut out: impl Write) -> Result<(), CliError> {
    match out.flush() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::failed(ErrorKind::of_io(&error), format!("cannot write to stdout: {error}"))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A reader that has seen enough is no error.
fn unless_closed(error: arrow::error::ArrowError) -> Result<(), CliError> {
    let is_closed = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
    let closed = matches!(&error, arrow::error::ArrowError::IoError(_, cause) if cause.kind() == std::io::ErrorKind::BrokenPipe)
        || is_closed(&error)
        || error.to_string().contains("Broken pipe");
    if closed { Ok(()) } else { Err(unprintable(&error)) }
}

fn unprintable(error: &arrow::error::ArrowError) -> CliError {
    CliError::failed(ErrorKind::BadData, format!("the rows cannot be printed: {error}"))
}
