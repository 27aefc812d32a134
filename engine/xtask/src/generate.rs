//! Everything that is generated: schemas, plugin manifests and the reference.
//!
//! The engine's own binary writes them, so that this crate stays small; a test of `tests/` compares them with the same command.

use crate::{ChoreError, read_text, write_text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders whose whole content is generated.
pub const GENERATED_FOLDERS: [&str; 2] = ["schemas", "docs/reference"];

/// Writes all generated files and removes those that are generated no longer; returns how many there are.
///
/// # Errors
/// When the engine cannot be built or run, or a file cannot be written.
pub fn write_all(root: &Path) -> Result<usize, ChoreError> {
    let scratch = root.join("target").join("generated");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch).map_err(|error| ChoreError::io("remove", &scratch, &error))?;
    }
    let karat = build_engine(root)?;
    let fresh = generate_into(&karat, &scratch)?;
    for folder in GENERATED_FOLDERS {
        for stale in files_below(&root.join(folder))?.keys().filter(|path| !fresh.contains_key(&Path::new(folder).join(path))) {
            let path = root.join(folder).join(stale);
            std::fs::remove_file(&path).map_err(|error| ChoreError::io("remove", &path, &error))?;
        }
    }
    for (path, text) in &fresh {
        write_text(&root.join(path), text)?;
    }
    std::fs::remove_dir_all(&scratch).map_err(|error| ChoreError::io("remove", &scratch, &error))?;
    Ok(fresh.len())
}

/// What the engine generates today: texts by path relative to the root of the repository. Writes only below `scratch`.
///
/// # Errors
/// When the engine fails or its output cannot be read.
pub fn generate_into(karat: &Path, scratch: &Path) -> Result<BTreeMap<PathBuf, String>, ChoreError> {
    let mut fresh = BTreeMap::new();
    for (folder, option) in GENERATED_FOLDERS.into_iter().zip(["--all", "--reference"]) {
        let target = scratch.join(folder);
        run_engine(karat, option, &target)?;
        fresh.extend(files_below(&target)?.into_iter().map(|(path, text)| (Path::new(folder).join(path), text)));
    }
    Ok(fresh)
}

/// All text files below `folder` by relative path; none when the folder does not exist.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn files_below(folder: &Path) -> Result<BTreeMap<PathBuf, String>, ChoreError> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        if !next.exists() {
            continue;
        }
        let entries = std::fs::read_dir(&next).map_err(|error| ChoreError::io("read", &next, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| ChoreError::io("read", &next, &error))?.path();
            if path.is_dir() {
                open.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.insert(relative.to_owned(), read_text(&path)?);
            }
        }
    }
    Ok(found)
}

/// Builds the engine in the release profile and returns its path.
///
/// # Errors
/// When it does not compile.
pub fn build_engine(root: &Path) -> Result<PathBuf, ChoreError> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--package", "karat-cli", "--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| ChoreError::new(format!("cannot start cargo: {error}")))?;
    if !output.status.success() {
        return Err(ChoreError::new("the engine does not compile: mend it first"));
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "karat")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| ChoreError::new("cargo built no binary named `karat`"))
}

fn run_engine(karat: &Path, option: &str, target: &Path) -> Result<(), ChoreError> {
    let output = Command::new(karat).args(["schema", option]).arg(target).output().map_err(|error| ChoreError::new(format!("cannot start `{}`: {error}", karat.display())))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ChoreError::new(format!("`karat schema {option}` failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
