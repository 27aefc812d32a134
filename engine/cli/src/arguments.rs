//! The command line as clap reads it. Doc comments here are the help and the reference.

use crate::commands::{explain, graph, init, lint, lock, plan, query, run, schema, state, status};
use clap::{Args, Parser, Subcommand, ValueEnum};
use karat_spec::model::ByteSize;
use std::path::PathBuf;

/// Declarative data pipelines: check them like a compiler, plan them like a planner, run them like a database.
#[derive(Debug, Parser)]
#[command(name = "karat", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct GlobalArguments {
    /// Says nothing when all is well.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
    /// Memory that a run or query may use, such as `2GiB`; default: `memory_limit` of karat.yaml, else half of the machine's.
    #[arg(long, global = true, value_parser = size, value_name = "SIZE")]
    pub(crate) memory_limit: Option<ByteSize>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a working project to start from.
    Init(init::Arguments),
    /// Checks pipelines: shape, sense, and SQL types. Needs no database.
    Lint(lint::Arguments),
    /// Prints the page of one rule or error.
    Explain(explain::Arguments),
    /// Asks the sources for their columns, and writes them into karat.lock, which lint and plan use offline.
    Lock(lock::Arguments),
    /// Shows what a run would do, without doing it.
    Plan(plan::Arguments),
    /// Runs pipelines.
    Run(run::Arguments),
    /// Shows watermark, last run and next run of each table. Needs no database.
    Status(status::Arguments),
    /// Shows which table reads which.
    Graph(graph::Arguments),
    /// Reads tables of the warehouse by SQL.
    Query(query::Arguments),
    /// Shows or rebuilds what is remembered of earlier runs.
    State(state::Arguments),
    /// Prints a JSON Schema.
    Schema(schema::Arguments),
    /// Compares source and target.
    #[command(hide = true)]
    Verify(AbsentArguments),
    /// Runs unit tests of SQL.
    #[command(hide = true)]
    Test(AbsentArguments),
    /// Schedules runs.
    #[command(hide = true)]
    Serve(AbsentArguments),
}

/// Whatever follows a command that this build does not have.
#[derive(Debug, Args)]
pub(crate) struct AbsentArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// Which files, and which of their tables.
#[derive(Debug, Clone, Args)]
pub(crate) struct Scope {
    /// Pipeline files, or folders of them. The whole project is always read; these say whose tables are meant.
    #[arg(default_value = ".", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Only these tables: `silver.trades`, `gold.*`, `+gold.bars` (with its inputs), `bronze.trades+` (with what reads it), `tag:trading`; may be repeated.
    #[arg(long, short, value_name = "SELECTOR")]
    pub(crate) select: Vec<String>,
    /// Not these tables; may be repeated.
    #[arg(long, short, value_name = "SELECTOR")]
    pub(crate) exclude: Vec<String>,
}

/// Text for people, or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Reads a size of the language.
fn size(text: &str) -> Result<ByteSize, String> {
    ByteSize::parse(text).filter(|size| size.0 >= 16 << 20).ok_or_else(|| "write a size of at least 16MiB with its unit, such as `2GiB`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
