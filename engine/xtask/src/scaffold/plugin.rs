//! The folder of a new plugin.

use super::check_name;
use crate::ChoreError;
use std::path::Path;

/// Writes `plugins/<name>` and registers it.
///
/// # Errors
/// When the name is taken or not one.
pub fn new_plugin(root: &Path, name: &str) -> Result<String, ChoreError> {
    check_name(name)?;
    let folder = root.join("plugins").join(name);
    if folder.exists() {
        return Err(ChoreError::new(format!("`{}` exists already: choose another name", folder.display())));
    }
    Err(ChoreError::new("pending"))
}
