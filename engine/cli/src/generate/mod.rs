//! Everything that is generated: schemas, manifests, the reference.

mod errors;
mod pages;
mod schemas;

pub(crate) use errors::error_page;
pub(crate) use pages::{all_pages, page};
pub(crate) use schemas::schemas;

use crate::arguments::Cli;
use crate::exit::Exit;
use crate::reference::{self, Facts};
use clap::CommandFactory;
use karat_plugin_api::ErrorKind;
use karat_spec::Catalog;

/// All pages of the reference: path below `docs/reference/`, and text.
pub(crate) fn reference(catalog: &Catalog) -> Vec<(String, String)> {
    let mut command = Cli::command();
    command.build();
    let exit_codes: Vec<(u8, &str)> = Exit::ALL.into_iter().map(|exit| (exit.code(), exit.meaning())).collect();
    let error_kinds: Vec<(&str, bool, &str)> = ErrorKind::ALL.into_iter().map(|kind| (kind.as_str(), kind.is_transient(), errors::what(kind))).collect();
    let explanations = all_pages();
    let facts = Facts { explanations: &explanations, level_of: &pages::level, catalog, command: &command, exit_codes: &exit_codes, error_kinds: &error_kinds };
    reference::pages(&facts).into_iter().collect()
}
