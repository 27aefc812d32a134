//! Chores of this repository, as a library so that tests can use the same generators.
//!
//! Knows the folders of the repository and `cargo metadata`; must not link DataFusion, so that `cargo xtask tidy` is built in seconds.
//! Read next: [`tidy`], then [`market`].

pub mod bench;
pub mod generate;
pub mod market;

pub mod scaffold;
pub mod tidy;

use std::path::{Path, PathBuf};

/// Why a chore did not work, for people.
#[derive(Debug)]
pub struct ChoreError(String);

impl ChoreError {
    /// An error whose message names what failed on which object.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// A failed file operation on `path`.
    #[must_use]
    pub fn io(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self(format!("cannot {action} `{}`: {error}", path.display()))
    }
}

impl std::fmt::Display for ChoreError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ChoreError {}

/// The root of the repository: of the folders that the current one lies in, the one that holds `engine/xtask`.
///
/// Not the folder this was compiled in: clones that share a target folder run the same program.
///
/// # Errors
/// Outside a clone.
pub fn repository_root() -> Result<PathBuf, ChoreError> {
    let here = std::env::current_dir().map_err(|error| ChoreError::io("find", Path::new("."), &error))?;
    let root = here.ancestors().find(|folder| folder.join("engine/xtask/Cargo.toml").is_file());
    root.map(Path::to_owned).ok_or_else(|| ChoreError::new(format!("`{}` lies in no clone of the repository", here.display())))
}

/// Reads a text file.
///
/// # Errors
/// When it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ChoreError> {
    std::fs::read_to_string(path).map_err(|error| ChoreError::io("read", path, &error))
}

/// Writes a text file and the folders above it.
///
/// # Errors
/// When a folder or the file cannot be written.
pub fn write_text(path: &Path, text: &str) -> Result<(), ChoreError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| ChoreError::io("create folder", parent, &error))?;
    }
    std::fs::write(path, text).map_err(|error| ChoreError::io("write", path, &error))
}
