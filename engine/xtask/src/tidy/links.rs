//! Heavy dependencies: who may name them, and who must not even link them.

use super::layers::manifest;
use super::policy::matches;
use super::{Finding, Policy, Workspace};

pub(super) fn check_restricted(policy: &Policy, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for from in &workspace.crates {
        for dependency in &from.dependencies {
            let Some(owners) = policy.restricted.get(&dependency.name) else { continue };
            if !owners.iter().any(|owner| matches(owner, &from.name)) {
                findings.push(Finding::new(
                    manifest(&from.name),
                    format!("`{}` names `{}`, which only {} may", from.name, dependency.name, owners.join(", ")),
                    "ask the owner for a function that does what you need; if there must be one more owner, add it to `[workspace.metadata.restricted-deps]`",
                ));
            }
        }
    }
    findings
}

pub(super) fn check_light(policy: &Policy, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in &policy.light.crates {
        let Some(light) = workspace.crates.iter().find(|member| member.name == *name) else {
            findings.push(Finding::new(
                "Cargo.toml",
                format!("`[workspace.metadata.light]` names `{name}`, which is no crate"),
                "remove the name, or write the crate's folder without `engine/`",
            ));
            continue;
        };
        for heavy in policy.light.must_not_link.iter().filter(|heavy| light.links.contains(*heavy)) {
            findings.push(Finding::new(
                manifest(name),
                format!("`{name}` links `{heavy}`, and must stay light"),
                format!("run `cargo tree --package karat-{name} --invert {heavy}` to see through whom, and cut that edge"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn a_heavy_dependency_outside_its_owner_is_found() {
        let workspace = fake::workspace(&[("lint", &["petgraph"]), ("graph", &["petgraph"])]);

        let findings = check_restricted(&fake::policy(), &workspace);

        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].message, "`lint` names `petgraph`, which only graph may");
    }

    #[test]
    fn an_owner_may_be_a_pattern() {
        let workspace = fake::workspace(&[("plugins/sqlite", &["schemars"])]);

        assert!(check_restricted(&fake::policy(), &workspace).is_empty());
    }

    #[test]
    fn a_heavy_link_of_a_light_crate_is_found_however_indirect() {
        let mut workspace = fake::workspace(&[("diagnostics", &[]), ("spec", &[])]);
        workspace.crates[1].links.insert("tokio".to_owned());

        let findings = check_light(&fake::policy(), &workspace);

        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].message, "`spec` links `tokio`, and must stay light");
        assert!(findings[0].cure.contains("cargo tree --package karat-spec --invert tokio"));
    }

    #[test]
    fn a_light_crate_that_does_not_exist_is_found() {
        let workspace = fake::workspace(&[("diagnostics", &[])]);

        assert_eq!(check_light(&fake::policy(), &workspace).len(), 1);
    }
}
