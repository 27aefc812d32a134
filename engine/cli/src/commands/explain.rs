//! `karat explain`: the page of one code.

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::generate::{all_pages, error_page, page};
use clap::Args;
use karat_plugin_api::ErrorKind;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A rule such as `G002`, or an error such as `no_space`.
    code: String,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let wanted = arguments.code.trim();
    let pages = all_pages();
    if let Some(found) = pages.iter().find(|page| page.code.eq_ignore_ascii_case(wanted)) {
        context.printer.data(&page(found))?;
        return Ok(Exit::Done);
    }
    if let Some(kind) = ErrorKind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(wanted)) {
        context.printer.data(&error_page(kind))?;
        return Ok(Exit::Done);
    }
    let known = pages.iter().map(|page| page.code).chain(ErrorKind::ALL.into_iter().map(ErrorKind::as_str));
    let help = karat_diagnostics::did_you_mean(wanted, known).unwrap_or_else(|| "codes stand in brackets in a finding, such as `G002` in `error[G002]`".to_owned());
    Err(CliError::usage(format!("there is no rule or error `{wanted}`")).with_help(help))
}
