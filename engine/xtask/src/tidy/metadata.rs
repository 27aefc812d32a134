//! What `cargo metadata` prints, as far as tidy needs it.

use crate::ChoreError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The output of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
    pub(super) workspace_members: Vec<String>,
    pub(super) resolve: Resolve,
    /// `[workspace.metadata]` of the root manifest.
    pub(super) metadata: serde_json::Value,
}

/// One package, of the workspace or from a registry.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) manifest_path: PathBuf,
    pub(super) dependencies: Vec<NamedDependency>,
}

/// One dependency as a manifest names it.
#[derive(Debug, Deserialize)]
pub(super) struct NamedDependency {
    pub(super) name: String,
    /// `None` for an ordinary one, `dev` or `build` else.
    pub(super) kind: Option<String>,
}

/// The resolved graph of packages.
#[derive(Debug, Deserialize)]
pub(super) struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo about the workspace at `root`, for the platform that it is built on.
    pub(super) fn read(root: &Path) -> Result<Self, ChoreError> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(root)
            .output()
            .map_err(|error| ChoreError::new(format!("cannot start cargo: {error}")))?;
        if !output.status.success() {
            return Err(ChoreError::new(format!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim())));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| ChoreError::new(format!("`cargo metadata` printed another shape than expected: {error}")))
    }

    /// The packages of the workspace.
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Who links whom, without dev-dependencies and build scripts.
    pub(super) fn links(&self) -> BTreeMap<&str, Vec<&str>> {
        let is_linked = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
        self.resolve.nodes.iter().map(|node| (node.id.as_str(), node.deps.iter().filter(is_linked).map(|edge| edge.pkg.as_str()).collect())).collect()
    }
}
