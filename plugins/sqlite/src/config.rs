//! The keys of a connection.

use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// A SQLite database file. It is opened read-only, and never changed.
///
/// SQLite stores in each cell whatever was inserted; Karat checks every cell against the column's declared type (or `types`) and refuses what
/// does not fit exactly. Timestamps may be ISO 8601 text, or whole seconds since 1970 (`timestamp`), milliseconds (`timestamp(3)`) or nanoseconds
/// (`timestamp(9)`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The file, relative to the project.
    pub path: PathBuf,
}
