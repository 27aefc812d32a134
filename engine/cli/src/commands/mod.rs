//! The commands, one file each.

pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod lint;
pub(crate) mod lock;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod state;
pub(crate) mod status;

use crate::arguments::Command;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

/// Does what the command line says.
pub(crate) fn dispatch(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Init(arguments) => init::execute(&arguments, context),
        Command::Lint(arguments) => lint::execute(&arguments, context),
        Command::Explain(arguments) => explain::execute(&arguments, context),
        Command::Lock(arguments) => lock::execute(&arguments, context),
        Command::Plan(arguments) => plan::execute(&arguments, context),
        Command::Run(arguments) => run::execute(&arguments, context),
        Command::Status(arguments) => status::execute(&arguments, context),
        Command::Graph(arguments) => graph::execute(&arguments, context),
        Command::Query(arguments) => query::execute(&arguments, context),
        Command::State(arguments) => state::execute(&arguments, context),
        Command::Schema(arguments) => schema::execute(&arguments, context),
        Command::Verify(_) => Err(CliError::absent("`karat verify`")),
        Command::Test(_) => Err(CliError::absent("`karat test`")),
        Command::Serve(_) => Err(CliError::absent("`karat serve`")),
    }
}
