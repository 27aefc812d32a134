//! What rustfmt and clippy cannot check: the shape of the tree, and who may depend on whom.
//!
//! Each check is a pure function from data to findings; this module gathers the data. Every finding names its cure.
//! Read next: `layers.rs`, then `text.rs`.

#[cfg(test)]
mod fake;
mod layers;
mod links;
mod metadata;
mod places;
mod policy;
mod registry;
mod text;
mod workspace;

use crate::{ChoreError, read_text};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use metadata::Metadata;
pub use policy::Policy;
pub use workspace::{Crate, Dependency, DependencyKind, Workspace};

/// Everything that is wrong, and what is only worth knowing.
#[derive(Debug, Default)]
pub struct Findings {
    wrong: Vec<Finding>,
    notes: Vec<String>,
}

/// One thing that is wrong, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    place: String,
    message: String,
    cure: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), cure: cure.into() }
    }
}

impl Findings {
    /// True when nothing is wrong; notes do not count.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        for finding in &self.wrong {
            writeln!(out, "{}: {}\n  help: {}", finding.place, finding.message, finding.cure)?;
        }
        match self.wrong.len() {
            0 => write!(out, "tidy"),
            count => write!(out, "{count} things to tidy"),
        }
    }
}

/// One file of the tree, by path relative to the root.
#[derive(Debug, Clone)]
struct TreeFile {
    path: PathBuf,
    /// `None` for files that are not UTF-8 text.
    text: Option<String>,
}

/// Checks the repository at `root`.
///
/// # Errors
/// When the manifests or the files cannot be read; findings are no errors.
pub fn check_repository(root: &Path) -> Result<Findings, ChoreError> {
    let metadata = Metadata::read(root)?;
    let policy = Policy::parse(&metadata.metadata)?;
    let workspace = Workspace::from_metadata(&metadata, root);
    let files = tree_files(root)?;

    let mut findings = Findings::default();
    findings.wrong.extend(layers::check(&policy, &workspace));
    findings.wrong.extend(links::check_restricted(&policy, &workspace));
    findings.wrong.extend(links::check_light(&policy, &workspace));
    findings.wrong.extend(places::check(&files));
    findings.wrong.extend(registry::check(&files));
    findings.wrong.extend(text::check(&files));
    findings.notes.extend(text::long_files(&files));
    Ok(findings)
}

/// The files that git tracks or would track; generated and ignored ones are not ours to judge.
fn tree_files(root: &Path) -> Result<Vec<TreeFile>, ChoreError> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .map_err(|error| ChoreError::new(format!("cannot start git, which lists the files to check: {error}")))?;
    if !listed.status.success() {
        return Err(ChoreError::new(format!("`git ls-files` failed: {}", String::from_utf8_lossy(&listed.stderr).trim())));
    }
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    // A file that is deleted but not yet committed is still listed.
    let existing = names.split_terminator('\0').map(PathBuf::from).filter(|path| root.join(path).is_file());
    existing
        .map(|path| {
            let is_text = path.extension().is_some_and(|extension| TEXT_EXTENSIONS.contains(&extension.to_string_lossy().as_ref()));
            let text = if is_text { read_text(&root.join(&path)).ok() } else { None };
            Ok(TreeFile { path, text })
        })
        .collect()
}

const TEXT_EXTENSIONS: [&str; 7] = ["rs", "toml", "yaml", "yml", "md", "py", "sh"];
