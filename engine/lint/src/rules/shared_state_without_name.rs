//! P021: shared state of a project without a name.

use crate::rule::{Check, Group, Rule};
use crate::view::ProjectView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::StateSettings;

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P021",
        title: "shared state of a project without a name",
        since: "0.1.0",
        what: "`state.type` is `postgres`, and `karat.yaml` gives the project no `name`.",
        why: "One database keeps the state of many projects, by name. Without one the name of the folder counts, which differs from machine to machine: \
              two runners would not see each other's lease and positions.",
        fails: r#"# karat.yaml
version: 1
state: { type: postgres, url: "${STATE_URL}" }
"#,
        passes: r#"# karat.yaml
version: 1
name: market
state: { type: postgres, url: "${STATE_URL}" }
"#,
        fix: "Give the project a `name` that no other project of this database has.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    if !matches!(project.spec.state, StateSettings::Postgres { .. }) || project.spec.spans.contains("/name") {
        return Vec::new();
    }
    let found = project.at("/state/type", "this project shares a state database, but has no name there").with_label("needs a `name`");
    vec![found.with_help("add `name: …` to karat.yaml")]
}
