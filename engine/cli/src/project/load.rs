//! The texts of a project, read from disk. What cannot be read is a finding, like anything else that is wrong with a file.

use super::Project;
use super::discover::entries;
use crate::error::CliError;
use karat_diagnostics::{Code, Diagnostic, Explanation, FileId, Severity, SourceFile, Span};
use karat_spec::{LOCK_FILE, SourceSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Nobody writes a larger file by hand.
const MAX_BYTES: u64 = 16 << 20;

const CHARACTER: Code = Code("S010");
const TOO_LARGE: Code = Code("S011");
const CANNOT_READ: Code = Code(CANNOT_READ_PAGE.code);

/// The page of the only code that this crate reports by itself.
pub(crate) const CANNOT_READ_PAGE: Explanation = Explanation {
    code: "S090",
    title: "file cannot be read",
    since: "0.1.0",
    what: "A file of the project cannot be opened or is no regular file: a pipe, a device, a link to nothing.",
    why: "The whole project is read, so that references between its files resolve.",
    fails: "",
    passes: "",
    fix: "Make the file readable, or move it out of the project.",
};

/// All texts of a project, shown by paths relative to `folder`, and what is wrong with the files themselves.
pub(crate) fn load(project: &Project, folder: &Path) -> Result<(SourceSet, Vec<Diagnostic>), CliError> {
    let mut loader = Loader { sources: SourceSet { root: project.root.clone(), ..SourceSet::default() }, findings: Vec::new(), folder };
    if let Some(path) = &project.project_file {
        loader.sources.project_file = loader.read(path);
    }
    for path in &project.files {
        let id = loader.read(path);
        loader.sources.pipeline_files.extend(id);
    }
    let names_sql_files = loader.sources.map.iter().any(|(_, file)| file.text().contains("sql_file"));
    if names_sql_files {
        for path in sql_files(&project.root)? {
            let name = path.strip_prefix(&project.root).unwrap_or(&path).components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
            if let Some(id) = loader.read(&path) {
                loader.sources.sql_files.insert(name, id);
            }
        }
    }
    Ok((loader.sources, loader.findings))
}

/// Adds the project's lock, if it has one; it is read apart, since what asks the sources themselves has no use for it.
pub(crate) fn load_lock(sources: &mut SourceSet, folder: &Path) -> Vec<Diagnostic> {
    let path = sources.root.join(LOCK_FILE);
    if std::fs::symlink_metadata(&path).is_err() {
        return Vec::new();
    }
    let mut loader = Loader { sources: std::mem::take(sources), findings: Vec::new(), folder };
    loader.sources.lock_file = loader.read(&path);
    *sources = loader.sources;
    loader.findings
}

/// The path as people see it.
pub(crate) fn shown(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

struct Loader<'a> {
    sources: SourceSet,
    findings: Vec<Diagnostic>,
    folder: &'a Path,
}

impl Loader<'_> {
    /// The file, if its text can be used.
    fn read(&mut self, path: &Path) -> Option<FileId> {
        match bytes(path) {
            Ok(bytes) => self.text(path, bytes),
            Err((code, message)) => {
                let id = self.sources.map.add(SourceFile::new(shown(path, self.folder), ""));
                self.findings.push(Diagnostic::new(code, Severity::Error, message, Span::start_of(id)));
                None
            }
        }
    }

    fn text(&mut self, path: &Path, bytes: Vec<u8>) -> Option<FileId> {
        let fault = match String::from_utf8(bytes) {
            Ok(text) => return Some(self.sources.map.add(SourceFile::new(shown(path, self.folder), text))),
            Err(fault) => fault,
        };
        // Up to the fault the text with marks for wrong bytes is the same, so that the place is right.
        let at = fault.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(fault.as_bytes()).into_owned();
        let id = self.sources.map.add(SourceFile::new(shown(path, self.folder), text));
        let span = Span::new(id, at, at + char::REPLACEMENT_CHARACTER.len_utf8());
        let finding = Diagnostic::error(CHARACTER, format!("the file is not UTF-8: byte {at} begins no character"), span);
        self.findings.push(finding.with_help("save the file as UTF-8"));
        None
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, (Code, String)> {
    let cannot = |error: std::io::Error| (CANNOT_READ, format!("the file cannot be read: {error}"));
    // Asked before opening: opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err((CANNOT_READ, "this is no regular file".to_owned()));
    }
    if metadata.len() > MAX_BYTES {
        return Err((TOO_LARGE, format!("the file holds {} bytes; at most {MAX_BYTES} are read", metadata.len())));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    Ok(bytes)
}

/// Every `*.sql` below the root that is not hidden.
fn sql_files(root: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(next) = open.pop() {
        if !seen.insert(next.canonicalize().unwrap_or_else(|_| next.clone())) {
            continue;
        }
        for path in entries(&next)? {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sql") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
