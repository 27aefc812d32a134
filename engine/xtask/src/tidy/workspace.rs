//! The crates of the workspace and their dependencies, without what tidy does not need.

use cargo_metadata::{Metadata, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The crates of the workspace.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// The crates, sorted by name.
    pub crates: Vec<Crate>,
}

/// One crate of the workspace.
#[derive(Debug, Clone)]
pub struct Crate {
    /// Its folder without `engine/`: `spec`, `plugins/sqlite`, `tests`.
    pub name: String,
    /// What its manifest names.
    pub dependencies: Vec<Dependency>,
    /// The names of all packages that are linked into it, however indirectly, without dev-dependencies.
    pub links: BTreeSet<String>,
}

/// One dependency that a manifest names.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The package, or the short name of a crate of the workspace.
    pub name: String,
    /// True for a crate of the workspace.
    pub is_own: bool,
    /// What it is for.
    pub kind: DependencyKind,
}

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyKind {
    /// Linked or run at build time.
    Product,
    /// Only for tests.
    Development,
}

impl Workspace {
    pub(super) fn from_metadata(metadata: &Metadata, root: &Path) -> Self {
        let short: BTreeMap<&str, String> = metadata
            .workspace_packages()
            .into_iter()
            .map(|package| {
                let folder = package.manifest_path.parent().map_or(Path::new(""), |path| path.as_std_path());
                let relative = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().replace('\\', "/");
                (package.name.as_str(), relative.strip_prefix("engine/").unwrap_or(&relative).to_owned())
            })
            .collect();
        let edges = product_edges(metadata);
        let mut crates: Vec<Crate> = metadata
            .workspace_packages()
            .into_iter()
            .map(|package| Crate {
                name: short[package.name.as_str()].clone(),
                dependencies: package.dependencies.iter().map(|dependency| read_dependency(dependency, &short)).collect(),
                links: reachable(metadata, &edges, &package.id),
            })
            .collect();
        crates.sort_by(|one, two| one.name.cmp(&two.name));
        Self { crates }
    }
}

fn read_dependency(dependency: &cargo_metadata::Dependency, short: &BTreeMap<&str, String>) -> Dependency {
    let own = short.get(dependency.name.as_str());
    let kind = match dependency.kind {
        cargo_metadata::DependencyKind::Development => DependencyKind::Development,
        _ => DependencyKind::Product,
    };
    Dependency { name: own.cloned().unwrap_or_else(|| dependency.name.clone()), is_own: own.is_some(), kind }
}

/// The resolved graph without dev-dependencies.
fn product_edges(metadata: &Metadata) -> BTreeMap<&PackageId, Vec<&PackageId>> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    nodes
        .map(|node| {
            let normal = node.deps.iter().filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind == cargo_metadata::DependencyKind::Normal));
            (&node.id, normal.map(|edge| &edge.pkg).collect())
        })
        .collect()
}

fn reachable(metadata: &Metadata, edges: &BTreeMap<&PackageId, Vec<&PackageId>>, from: &PackageId) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(edges.get(next).into_iter().flatten().copied());
        }
    }
    metadata.packages.iter().filter(|package| seen.contains(&package.id) && package.id != *from).map(|package| package.name.to_string()).collect()
}
