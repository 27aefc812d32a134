//! Who may depend on whom: rows of the layers table, and forbidden edges.

use super::policy::matches;
use super::{DependencyKind, Finding, Policy, Workspace};

pub(super) fn check(policy: &Policy, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for from in &workspace.crates {
        let Some(row) = row_of(policy, &from.name) else {
            findings.push(Finding::new(
                "Cargo.toml",
                format!("crate `{}` is in no row of `[workspace.metadata.layers]`", from.name),
                "add it to the row below everything it depends on",
            ));
            continue;
        };
        // Tests may look anywhere; only what is linked into the product has layers.
        for dependency in from.dependencies.iter().filter(|dependency| dependency.is_own && dependency.kind == DependencyKind::Product) {
            let to = &dependency.name;
            if is_exempt(policy, &from.name, to) {
                continue;
            }
            if row_of(policy, to).is_some_and(|other| other >= row) {
                findings.push(Finding::new(
                    manifest(&from.name),
                    format!("`{}` depends on `{to}`, which is not in an earlier layer", from.name),
                    "move what is needed into an earlier layer, or pass it in as a value or a trait; if the design changed, change the layers table and say why in docs/adr",
                ));
            }
            if policy.layers.forbid.iter().any(|(source, target)| matches(source, &from.name) && matches(target, to)) {
                findings.push(Finding::new(
                    manifest(&from.name),
                    format!("`{}` must not depend on `{to}`: the edge is forbidden", from.name),
                    "go through a contract of `plugin-api`, and let `cli` join the two",
                ));
            }
        }
    }
    findings
}

fn row_of(policy: &Policy, name: &str) -> Option<usize> {
    let literal = policy.layers.order.iter().position(|row| row.iter().any(|member| member == name));
    literal.or_else(|| policy.layers.order.iter().position(|row| row.iter().any(|pattern| matches(pattern, name))))
}

fn is_exempt(policy: &Policy, from: &str, to: &str) -> bool {
    // An exempt edge may go within `plugins/`, never backwards: the order still holds for it through its literal row.
    let exempt = policy.layers.exempt.iter().any(|(source, target)| matches(source, from) && matches(target, to));
    exempt && row_of(policy, to) < row_of(policy, from)
}

pub(super) fn manifest(name: &str) -> String {
    match name {
        "tests" => "tests/Cargo.toml".to_owned(),
        _ if name.starts_with("plugins/") => format!("{name}/Cargo.toml"),
        _ => format!("engine/{name}/Cargo.toml"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    fn messages(workspace: &Workspace) -> Vec<String> {
        check(&fake::policy(), workspace).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn an_edge_to_an_earlier_layer_is_fine() {
        assert!(messages(&fake::workspace(&[("spec", &["diagnostics"]), ("plugins/sqlite", &["plugin-api"])])).is_empty());
    }

    #[test]
    fn an_edge_to_a_later_layer_is_found() {
        assert_eq!(messages(&fake::workspace(&[("spec", &["graph"])])), ["`spec` depends on `graph`, which is not in an earlier layer"]);
    }

    #[test]
    fn an_edge_within_a_layer_is_found() {
        assert_eq!(messages(&fake::workspace(&[("lint", &["plan"])])), ["`lint` depends on `plan`, which is not in an earlier layer"]);
    }

    #[test]
    fn a_forbidden_edge_is_found_although_the_order_allows_it() {
        assert_eq!(messages(&fake::workspace(&[("exec", &["plugins/sqlite"])])), ["`exec` must not depend on `plugins/sqlite`: the edge is forbidden"]);
    }

    #[test]
    fn the_bundle_may_depend_on_plugins() {
        assert!(messages(&fake::workspace(&[("plugins/bundle", &["plugins/sqlite"])])).is_empty());
    }

    #[test]
    fn a_crate_without_a_layer_is_found() {
        assert_eq!(messages(&fake::workspace(&[("magic", &[])])), ["crate `magic` is in no row of `[workspace.metadata.layers]`"]);
    }

    #[test]
    fn tests_of_a_crate_may_use_any_layer() {
        let mut workspace = fake::workspace(&[("spec", &["graph"])]);
        workspace.crates[0].dependencies[0].kind = DependencyKind::Development;

        assert!(messages(&workspace).is_empty());
    }
}
