//! `karat init`: a working project to start from.

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use clap::Args;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder; made if it does not exist.
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
}

/// What a new project holds, by path.
const FILES: [(&str, &str); 4] = [
    ("karat.yaml", include_str!("../template/karat.yaml")),
    ("pipelines/coffee.yaml", include_str!("../template/coffee.yaml")),
    ("data/sales.csv", include_str!("../template/sales.csv")),
    (".gitignore", include_str!("../template/gitignore")),
];

pub(crate) fn execute(arguments: &Arguments, context: &Context) -> Result<Exit, CliError> {
    let root = context.folder.join(&arguments.folder);
    let schemas = schema_files(context);
    let files: Vec<(&str, &str)> = FILES.into_iter().chain(schemas.iter().map(|(path, text)| (path.as_str(), text.as_str()))).collect();
    if let Some((taken, _)) = files.iter().find(|(path, _)| root.join(path).symlink_metadata().is_ok()) {
        let place = arguments.folder.join(taken);
        return Err(CliError::usage(format!("`{}` is there already; nothing was written", place.display()))
            .with_help("name a folder that is empty or does not exist: `karat init my-project`"));
    }
    for (path, text) in &files {
        write_new(&root.join(path), text)?;
    }
    let enter = if arguments.folder == Path::new(".") { String::new() } else { format!("  cd {}\n", arguments.folder.display()) };
    context.printer.say(&format!("wrote a project of {} files; go on with\n{enter}  karat lint\n  karat run\n  karat query \"SELECT * FROM gold.daily_sales\"", files.len()));
    Ok(Exit::Done)
}

/// The schemas that the header of each YAML file names, for completion in editors.
fn schema_files(context: &Context) -> Vec<(String, String)> {
    let wanted = ["pipeline.schema.json", "project.schema.json"];
    crate::generate::schemas(&context.catalog).into_iter().filter(|(path, _)| wanted.contains(&path.as_str())).map(|(path, text)| (format!("schemas/{path}"), text)).collect()
}

/// Never replaces a file, even one that appeared a moment ago.
fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| CliError::io("make folder", parent, &error))?;
    }
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| CliError::io("write", path, &error))
}
