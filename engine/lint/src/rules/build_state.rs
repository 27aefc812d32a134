//! P017: state that this build does not keep.

use crate::rule::{Check, Group, Rule};
use crate::view::ProjectView;
use karat_diagnostics::{Diagnostic, Explanation};
use karat_spec::model::StateSettings;

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P017",
        title: "state that this build does not keep",
        since: "0.1.0",
        what: "`state.type` is `postgres`.",
        why: "This build keeps state in SQLite only.",
        fails: r#"# karat.yaml
version: 1
state: { type: postgres, url: "${STATE_URL}" }
"#,
        passes: r#"# karat.yaml
version: 1
state: { type: sqlite, path: .karat/state.db }
"#,
        fix: "Set `state: { type: sqlite }` or take `state` out.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    if !matches!(project.spec.state, StateSettings::Postgres { .. }) {
        return Vec::new();
    }
    let found = project.at("/state/type", "this build does not keep state in PostgreSQL").with_label("not part of this build");
    vec![found.with_help("set `state: { type: sqlite }`, or take `state` out")]
}
