//! The folder of one engine's temporary files, and what killed runs left behind.

use karat_plugin_api::ConnectorError;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// `<spill_dir>/<process id>-<number>`, readable by its owner only; removed when the last user of the engine is gone.
#[derive(Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
}

impl SpillFolder {
    /// Makes the folder, and removes folders of processes that no longer live.
    pub(crate) fn create(parent: &Path) -> Result<Self, ConnectorError> {
        private_folder(parent)?;
        remove_orphans(parent);
        let path = parent.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        private_folder(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "temporary files were left behind");
        }
    }
}

fn private_folder(path: &Path) -> Result<(), ConnectorError> {
    // Rows are spilled here in clear text: nobody else may read them.
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| ConnectorError::io("create the folder for temporary files", path, error))
}

/// Removes what a killed process could not. Where processes cannot be told (no `/proc`) nothing is removed.
fn remove_orphans(parent: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.split_once('-')).and_then(|(process, number)| number.parse::<u32>().ok().and(process.parse::<u32>().ok()));
        let orphaned = process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists());
        if orphaned && let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "temporary files of a killed run could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_processes_are_removed_and_others_kept() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["4194999-0", "mine", "1-0"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }

        let folder = SpillFolder::create(parent.path()).unwrap();

        let own = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let names = || {
            let mut names: Vec<String> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert!(names().contains(&own) && !names().contains(&"4194999-0".to_owned()));
        drop(folder);
        assert_eq!(names(), ["1-0", "mine"]);
    }
}
