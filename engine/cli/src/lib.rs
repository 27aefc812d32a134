//! The command line: arguments, printing, exit codes, wiring. The only crate that prints, and the only one that sees plugins.
//!
//! Each command is one file below `commands/` and reads as a table of contents. Read next: `commands/run.rs`, then `examined.rs`.

mod arguments;
mod commands;
mod connections;
mod context;
mod error;
mod examined;
mod exit;
mod generate;
mod lock_report;
mod locking;
mod logging;
mod machine;
mod online;
mod panic;
mod printer;
mod progress;
mod project;
mod reference;
mod signals;
mod state_place;
mod summary;
mod table_text;

use arguments::Cli;
use clap::Parser;
use clap::error::ErrorKind;
use context::Context;
use exit::Exit;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Runs the command line of this process to its exit code. Never unwinds.
#[must_use]
pub fn main() -> ExitCode {
    panic::install_hook();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    catch_unwind(AssertUnwindSafe(|| dispatch(cli))).unwrap_or(Exit::Failed).into()
}

fn dispatch(cli: Cli) -> Exit {
    logging::start();
    let context = match Context::new(&cli.global) {
        Ok(context) => context,
        Err((printer, error)) => return printer.error(&error),
    };
    match commands::dispatch(cli.command, &context) {
        Ok(exit) => exit,
        Err(error) => context.printer.error(&error),
    }
}

/// Help and version are data; everything else that clap says is about a wrong command line.
fn usage(error: &clap::Error) -> Exit {
    let text = error.render();
    let is_data = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // A reader that went away needs no help.
    let _ = if is_data { write!(std::io::stdout(), "{text}") } else { write!(std::io::stderr(), "{text}") };
    if is_data { Exit::Done } else { Exit::Usage }
}
