//! Which files a glob names.

use globset::{GlobBuilder, GlobMatcher};
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use walkdir::{DirEntry, WalkDir};

/// A folder and a glob.
pub(crate) struct Subject {
    folder: PathBuf,
    pattern: String,
    matcher: GlobMatcher,
}

/// Files in the order of their paths.
pub(crate) struct Listing {
    pub(crate) files: Vec<Found>,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Relative to the folder, `/` between names.
    pub(crate) path: String,
    /// Where it is.
    pub(crate) absolute: PathBuf,
    /// Bytes.
    pub(crate) size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub(crate) modified_ns: i64,
}

impl Subject {
    /// Checks the glob.
    pub(crate) fn new(folder: &Path, pattern: &str) -> Result<Self, ConnectorError> {
        let wrong = |why: &str| ConnectorError::new(ErrorKind::BadConfiguration, format!("path `{pattern}` {why}"));
        if Path::new(pattern).is_absolute() || pattern.split('/').any(|part| part == "..") {
            return Err(wrong("leaves the connection's folder").with_help("write it relative to the connection's `path`, without `..`"));
        }
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build().map_err(|error| wrong("is not a glob").with_source(error))?;
        Ok(Self { folder: folder.to_owned(), pattern: pattern.to_owned(), matcher: glob.compile_matcher() })
    }

    /// The glob as written.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The folder it is below.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that are there now.
    pub(crate) fn list(&self) -> Result<Listing, ConnectorError> {
        let metadata = std::fs::metadata(&self.folder)
            .map_err(|error| ConnectorError::io("open folder", &self.folder, error).with_help("the connection's `path` is relative to the project"))?;
        if !metadata.is_dir() {
            return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("`{}` is not a folder", self.folder.display()))
                .with_help("name the folder in the connection's `path`, and the file in the table's"));
        }
        let mut files = Vec::new();
        // Links to folders are not followed, so that a walk cannot go round in circles.
        for entry in WalkDir::new(&self.folder).follow_links(false).into_iter().filter_entry(is_visible) {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(&self.folder).to_owned();
                ConnectorError::io("list folder", &path, error.into())
            })?;
            if entry.file_type().is_dir() {
                continue;
            }
            let Ok(relative) = entry.path().strip_prefix(&self.folder) else { continue };
            if !self.matcher.is_match(relative) {
                continue;
            }
            let Some(path) = relative.to_str() else {
                return Err(ConnectorError::new(ErrorKind::BadData, format!("the name of file `{}` is not UTF-8", relative.display())).with_help("rename the file"));
            };
            let metadata = std::fs::metadata(entry.path()).map_err(|error| ConnectorError::io("read file", entry.path(), error))?;
            if metadata.is_file() {
                files.push(Found {
                    path: path.replace(std::path::MAIN_SEPARATOR, "/"),
                    absolute: entry.path().to_owned(),
                    size: metadata.len(),
                    modified_ns: modified_ns(&metadata),
                });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Listing { files })
    }
}

impl Found {
    /// True when `metadata` is still what the listing saw.
    pub(crate) fn is_unchanged(&self, metadata: &Metadata) -> bool {
        metadata.len() == self.size && modified_ns(metadata) == self.modified_ns
    }

    /// The error for a file that is no longer what the listing saw.
    pub(crate) fn changed(&self) -> ConnectorError {
        ConnectorError::new(ErrorKind::Busy, format!("file `{}` changed while it was read", self.path))
            .with_help("let writers put files into place by renaming them when they are complete")
    }
}

fn is_visible(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_encoded_bytes();
    entry.depth() == 0 || !(name.starts_with(b".") || (entry.file_type().is_dir() && name.starts_with(b"_")))
}

/// Nanoseconds since the epoch; a time that no clock shows counts as 0.
fn modified_ns(metadata: &Metadata) -> i64 {
    let Ok(time) = metadata.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}
