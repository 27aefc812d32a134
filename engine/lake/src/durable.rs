//! File operations whose effect survives a power loss.

use karat_plugin_api::{ConnectorError, ErrorKind};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes the names inside `folder` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> Result<(), ConnectorError> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(|error| ConnectorError::io("sync folder", folder, error))
}

/// Creates the folder and the missing folders above it, down to `top`, and makes their names durable.
pub(crate) fn create_folders(folder: &Path) -> Result<(), ConnectorError> {
    let mut missing = Vec::new();
    let mut at = folder;
    while !at.exists() {
        missing.push(at);
        let Some(parent) = at.parent() else { break };
        at = parent;
    }
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| ConnectorError::io("create folder", folder, error))?;
    for created in missing {
        if let Some(parent) = created.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
    }
    Ok(())
}

/// Writes `content` under `path` only if nothing has that name; returns false when something has. Readers see all of it or nothing.
///
/// # Errors
/// [`ErrorKind::UnknownOutcome`] when the name was given but it is not known to be durable; otherwise nothing was changed.
pub fn create_if_absent(path: &Path, content: &[u8]) -> Result<bool, ConnectorError> {
    let folder = path.parent().ok_or_else(|| ConnectorError::new(ErrorKind::Bug, format!("`{}` has no folder", path.display())))?;
    create_folders(folder)?;
    let private = private_name(path);
    let written = write_synced(&private, content);
    if let Err(error) = written {
        remove_private(&private);
        return Err(ConnectorError::io("write", &private, error));
    }
    let linked = fs::hard_link(&private, path);
    remove_private(&private);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(ConnectorError::io("create", path, error)),
    }
    sync_folder(folder)
        .map_err(|error| ConnectorError::new(ErrorKind::UnknownOutcome, format!("`{}` was created, but the disk did not confirm it", path.display())).with_source(error))?;
    Ok(true)
}

/// Writes `content` under `path`, whatever was there. Readers see all of the old content or all of the new.
///
/// # Errors
/// When the file cannot be written; what was there stays.
pub fn replace_file(path: &Path, content: &[u8]) -> Result<(), ConnectorError> {
    let private = private_name(path);
    if let Err(error) = write_synced(&private, content).and_then(|()| fs::rename(&private, path)) {
        remove_private(&private);
        return Err(ConnectorError::io("write", path, error));
    }
    path.parent().map_or(Ok(()), sync_folder)
}

fn private_name(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.tmp", uuid::Uuid::now_v7().simple()))
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The private name is invisible to readers: leaving it behind costs space, never correctness.
fn remove_private(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove a private file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_writer_of_a_name_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/0.json");

        assert!(create_if_absent(&path, b"first").unwrap());
        assert!(!create_if_absent(&path, b"second").unwrap());

        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
