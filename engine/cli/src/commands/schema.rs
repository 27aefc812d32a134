//! `karat schema`: JSON Schemas, and everything else that is generated.

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::generate;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// `pipeline` (default), `project`, `lock`, `lock-report`, `plan`, `report`, `diagnostic`, or the name of a plugin for its connection's keys.
    kind: Option<String>,
    /// Writes all generated files of `schemas/` into this folder.
    #[arg(long, value_name = "DIR", hide = true)]
    all: Option<PathBuf>,
    /// Writes all generated files of `docs/reference/` into this folder.
    #[arg(long, value_name = "DIR", hide = true)]
    reference: Option<PathBuf>,
}

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    if let Some(folder) = &arguments.all {
        write_all(folder, generate::schemas(&context.catalog))?;
    }
    if let Some(folder) = &arguments.reference {
        write_all(folder, generate::reference(&context.catalog))?;
    }
    if arguments.all.is_some() || arguments.reference.is_some() {
        return Ok(Exit::Done);
    }
    let wanted = arguments.kind.as_deref().unwrap_or("pipeline");
    let files = generate::schemas(&context.catalog);
    let named = |path: &str| path == format!("{wanted}.schema.json") || path == format!("plugins/{wanted}.json");
    if let Some((_, text)) = files.iter().find(|(path, _)| named(path)) {
        context.printer.data(text)?;
        return Ok(Exit::Done);
    }
    let known: Vec<String> =
        files.iter().filter_map(|(path, _)| path.strip_suffix(".schema.json").or_else(|| path.strip_prefix("plugins/")?.strip_suffix(".json"))).map(str::to_owned).collect();
    let help = karat_diagnostics::did_you_mean(wanted, known.iter().map(String::as_str)).unwrap_or_else(|| format!("there are {}", known.join(", ")));
    Err(CliError::usage(format!("there is no schema `{wanted}`")).with_help(help))
}

fn write_all(folder: &Path, files: Vec<(String, String)>) -> Result<(), CliError> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| CliError::io("make folder", parent, &error))?;
        std::fs::write(&path, text).map_err(|error| CliError::io("write", &path, &error))?;
    }
    Ok(())
}
