//! `karat graph`: which table reads which.

use crate::arguments::Scope;
use crate::context::Context;
use crate::error::CliError;
use crate::examined::{self, Sight};
use crate::exit::Exit;
use clap::{Args, ValueEnum};
use karat_graph::render;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// How to print the graph.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables by wave.
    Text,
    /// One object with tables and waves.
    Json,
    /// A Mermaid flowchart, as GitHub and GitLab draw it.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    #[value(hide = true)]
    Html,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let projects = match arguments.format {
        Format::Text => examined::all(&arguments.scope, Sight::Offline, context)?,
        Format::Html => return Err(CliError::absent("`karat graph --format html`")),
        Format::Json | Format::Mermaid | Format::Dot => vec![examined::single(&arguments.scope, Sight::Offline, context, "this format draws one graph")?],
    };
    for project in projects {
        let tables = project.selected(&arguments.scope).unwrap_or_default();
        match arguments.format {
            Format::Text => context.printer.data(&render::text(&project.graph, &tables))?,
            Format::Json => context.printer.json(&render::record(&project.graph, &tables))?,
            Format::Mermaid => context.printer.data(&render::mermaid(&project.graph, &tables))?,
            Format::Dot | Format::Html => context.printer.data(&render::dot(&project.graph, &tables))?,
        }
        let broken = project.findings_about(&tables, &arguments.scope).iter().filter(|finding| finding.severity == karat_diagnostics::Severity::Error).count();
        if broken > 0 {
            context.printer.say(&format!("note: {broken} errors are left, so this graph may lack tables or edges; `karat lint` shows them"));
        }
    }
    Ok(Exit::Done)
}
