//! What the parser reads: texts that somebody else loaded.

use karat_diagnostics::{FileId, SourceFile, SourceMap};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// All texts of one project, already read. Loading is the caller's work: this crate does no I/O.
#[derive(Debug, Clone, Default)]
pub struct SourceSet {
    /// Project root: the folder that relative paths in YAML start from.
    pub root: PathBuf,
    /// `karat.yaml`, if the project has one.
    pub project_file: Option<FileId>,
    /// `karat.lock`, if the project has one.
    pub lock_file: Option<FileId>,
    /// The pipeline files, sorted by path.
    pub pipeline_files: Vec<FileId>,
    /// Every `*.sql` file below the root, by path relative to the root with `/` between names.
    pub sql_files: BTreeMap<String, FileId>,
    /// The texts.
    pub map: SourceMap,
}

impl SourceSet {
    /// A set of texts that are not on disk: `(path relative to the root, text)`.
    ///
    /// `karat.yaml` is the project file, `karat.lock` the lock, `*.sql` are SQL files, everything else is a pipeline. For tests, and for editors with unsaved files.
    #[must_use]
    pub fn from_texts(root: impl Into<PathBuf>, texts: &[(&str, &str)]) -> Self {
        let mut set = Self { root: root.into(), ..Self::default() };
        let mut sorted = texts.to_vec();
        sorted.sort_by_key(|(path, _)| *path);
        for (path, text) in sorted {
            let id = set.map.add(SourceFile::new(path, text));
            if path == "karat.yaml" {
                set.project_file = Some(id);
            } else if path == crate::LOCK_FILE {
                set.lock_file = Some(id);
            } else if path.ends_with(".sql") {
                set.sql_files.insert(path.to_owned(), id);
            } else {
                set.pipeline_files.push(id);
            }
        }
        set
    }
}

/// Where `${NAME}` gets its value from.
#[derive(Debug, Clone, Default)]
pub enum Environment {
    /// Offline: a variable need not be set; a value that needs one keeps its `${NAME}` and is marked unresolved.
    #[default]
    Unresolved,
    /// These variables and no others; a missing one without a default is a finding.
    Variables(BTreeMap<String, String>),
}
