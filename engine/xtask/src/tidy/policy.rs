//! The rules of the root manifest: `[workspace.metadata]`.

use crate::ChoreError;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Layers, forbidden edges and owners of heavy dependencies, as `Cargo.toml` declares them.
#[derive(Debug, Clone, Deserialize)]
pub struct Policy {
    /// Who may depend on whom.
    pub layers: Layers,
    /// Crates that may name a dependency, by the dependency's name.
    #[serde(rename = "restricted-deps", default)]
    pub restricted: BTreeMap<String, Vec<String>>,
    /// What must stay small.
    pub light: Light,
}

/// Who may depend on whom.
#[derive(Debug, Clone, Deserialize)]
pub struct Layers {
    /// A crate may depend only on crates of earlier rows.
    pub order: Vec<Vec<String>>,
    /// Edges that are forbidden although the order would allow them: from, to.
    #[serde(default)]
    pub forbid: Vec<(String, String)>,
    /// Edges that `forbid` does not mean: from, to.
    #[serde(default)]
    pub exempt: Vec<(String, String)>,
}

/// What must stay small.
#[derive(Debug, Clone, Deserialize)]
pub struct Light {
    /// The crates.
    pub crates: Vec<String>,
    /// What they must not link, however indirectly.
    #[serde(rename = "must-not-link")]
    pub must_not_link: Vec<String>,
}

impl Policy {
    /// Reads `[workspace.metadata]`.
    ///
    /// # Errors
    /// When a table is missing or has another shape.
    pub fn parse(metadata: &serde_json::Value) -> Result<Self, ChoreError> {
        Self::deserialize(metadata).map_err(|error| ChoreError::new(format!("`[workspace.metadata]` of the root Cargo.toml: {error}")))
    }
}

/// True when `pattern` names the crate: literally, or `plugins/*` for everything below `plugins/`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}
