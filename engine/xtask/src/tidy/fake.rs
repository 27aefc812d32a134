//! Made-up workspaces that prove that each check catches what it is for.

use super::{Crate, Dependency, DependencyKind, Policy, Workspace};
use std::collections::BTreeSet;

pub(super) fn policy() -> Policy {
    Policy::parse(&serde_json::json!({
        "layers": {
            "order": [["diagnostics"], ["spec"], ["graph", "plugin-api"], ["lint", "plan"], ["plugins/*"], ["exec", "plugins/bundle"], ["cli"]],
            "forbid": [["exec", "plugins/*"], ["plugins/*", "plugins/*"]],
            "exempt": [["plugins/bundle", "plugins/*"]],
        },
        "restricted-deps": { "petgraph": ["graph"], "schemars": ["plugins/*"] },
        "light": { "crates": ["diagnostics", "spec"], "must-not-link": ["tokio", "datafusion"] },
    }))
    .expect("the made-up policy has the right shape")
}

/// Crates with the names of what they depend on; names that are no crate of a layer are packages from outside.
pub(super) fn workspace(crates: &[(&str, &[&str])]) -> Workspace {
    let own = policy().layers.order.concat();
    let dependency = |name: &&str| Dependency { name: (*name).to_owned(), is_own: own.iter().any(|member| super::policy::matches(member, name)), kind: DependencyKind::Product };
    let crates = crates.iter().map(|(name, dependencies)| Crate { name: (*name).to_owned(), dependencies: dependencies.iter().map(dependency).collect(), links: BTreeSet::new() });
    Workspace { crates: crates.collect() }
}
