//! The crates of the workspace and their dependencies, without what tidy does not need.

use super::metadata::{Metadata, NamedDependency};
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
            .members()
            .map(|package| {
                let folder = package.manifest_path.parent().unwrap_or(Path::new(""));
                let relative = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned();
                (package.name.as_str(), relative.strip_prefix("engine/").unwrap_or(&relative).to_owned())
            })
            .collect();
        let links = metadata.links();
        let mut crates: Vec<Crate> = metadata
            .members()
            .map(|package| Crate {
                name: short[package.name.as_str()].clone(),
                dependencies: package.dependencies.iter().map(|dependency| read_dependency(dependency, &short)).collect(),
                links: reachable(metadata, &links, &package.id),
            })
            .collect();
        crates.sort_by(|one, two| one.name.cmp(&two.name));
        Self { crates }
    }
}

fn read_dependency(dependency: &NamedDependency, short: &BTreeMap<&str, String>) -> Dependency {
    let own = short.get(dependency.name.as_str());
    let kind = if dependency.kind.as_deref() == Some("dev") { DependencyKind::Development } else { DependencyKind::Product };
    Dependency { name: own.cloned().unwrap_or_else(|| dependency.name.clone()), is_own: own.is_some(), kind }
}

fn reachable(metadata: &Metadata, links: &BTreeMap<&str, Vec<&str>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(links.get(next).into_iter().flatten());
        }
    }
    metadata.packages.iter().filter(|package| seen.contains(package.id.as_str()) && package.id != from).map(|package| package.name.clone()).collect()
}
