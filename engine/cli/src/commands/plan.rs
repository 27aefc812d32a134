//! `karat plan`: what a run would do, without doing it.

use crate::arguments::Scope;
use crate::connections::ProjectConnections;
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Examined, Sight};
use crate::exit::Exit;
use crate::online::{self, Seen};
use clap::{Args, ValueEnum};
use karat_diagnostics::{Severity, Summary};
use karat_graph::CheckedGraph;
use karat_plan::{PlanInput, PlanOptions, RunPlan, render};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// Asks no database and no state: for pull requests.
    #[arg(long)]
    offline: bool,
    /// As `karat run --full-refresh` would do it.
    #[arg(long)]
    full_refresh: bool,
    /// How to print the plan.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
    /// For a comment on a pull request.
    Markdown,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let sight = if arguments.offline { Sight::Offline } else { Sight::Online };
    let projects = match arguments.format {
        Format::Text | Format::Markdown => examined::all(&arguments.scope, sight, context)?,
        Format::Json | Format::Mermaid | Format::Dot => vec![examined::single(&arguments.scope, sight, context, "this format shows one plan")?],
    };
    let mut exit = Exit::Done;
    for (number, project) in projects.iter().enumerate() {
        if number > 0 {
            context.printer.data("\n")?;
        }
        exit = exit.worst(one(project, arguments, context)?);
    }
    Ok(exit)
}

fn one(project: &Examined, arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let tables = project.selected(&arguments.scope).unwrap_or_default();
    let checked = match project.checked(&tables) {
        Ok(checked) => checked,
        Err(findings) => return project.refuse(&findings, arguments.format == Format::Text, context),
    };
    let seen = if arguments.offline { Seen { schemas: project.locked.clone(), ..Seen::default() } } else { look(&checked, project, &tables, context)? };
    let options = PlanOptions { selection: Some(tables.clone()), offline: arguments.offline, full_refresh: arguments.full_refresh };
    let input = PlanInput { checked: &checked, catalog: &context.catalog, schemas: &seen.schemas, targets: &seen.targets, state: &seen.state, options: &options };
    let (plan, mut findings) = karat_plan::build(&input);
    if !arguments.offline {
        findings.extend(project.typed_findings(&plan, &tables));
    }
    print(&plan, arguments.format, context)?;
    for (table, error) in &seen.failed {
        context.printer.error(&CliError { message: format!("`{table}`: {}", error.chain()), ..CliError::failed(error.kind(), "").with_help_opt(error.help().map(str::to_owned)) });
    }
    project.tell_warnings(&tables, &arguments.scope, context);
    if Summary::of(&findings).errors > 0 {
        findings.retain(|finding| finding.severity == Severity::Error);
        return project.refuse(&findings, arguments.format == Format::Text, context);
    }
    Ok(if seen.failed.is_empty() { Exit::Done } else { Exit::Failed })
}

fn look(checked: &CheckedGraph, project: &Examined, tables: &std::collections::BTreeSet<karat_graph::TableIndex>, context: &Context) -> Result<Seen, CliError> {
    let connections = ProjectConnections::new(&project.spec);
    let (spec, graph) = (checked.spec(), checked.graph());
    context.runtime()?.block_on(async {
        let mut seen = online::ask(checked, tables, &connections).await?;
        online::ask_targets(spec, &mut seen, tables.iter().map(|table| graph.name(*table)), &connections).await;
        Ok(seen)
    })
}

fn print(plan: &RunPlan, format: Format, context: &Context) -> Result<(), CliError> {
    match format {
        Format::Text => context.printer.data(&render::text(plan, context.printer.color())),
        Format::Json => context.printer.json(plan),
        Format::Markdown => context.printer.data(&render::markdown(plan)),
        Format::Mermaid => context.printer.data(&render::mermaid(plan)),
        Format::Dot => context.printer.data(&render::dot(plan)),
    }
}
