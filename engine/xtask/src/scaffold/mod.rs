//! New rules and new plugins: everything that is the same in all of them, written so that it compiles and its tests pass.

mod plugin;
mod rule;
mod sorted;

pub use plugin::new_plugin;
pub use rule::new_rule;

use crate::ChoreError;

/// A name as files and YAML spell it: `stale_cursor`.
fn check_name(name: &str) -> Result<(), ChoreError> {
    let fits = name.starts_with(|letter: char| letter.is_ascii_lowercase()) && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if fits {
        return Ok(());
    }
    Err(ChoreError::new(format!("`{name}` is not a name here: write lowercase letters, digits and `_`, and begin with a letter")))
}
