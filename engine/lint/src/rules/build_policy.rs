//! P018: lint policy that this build does not check.

use crate::rule::{Check, Group, Rule};
use crate::view::ProjectView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Capability,
    page: Explanation {
        code: "P018",
        title: "lint policy that this build does not check",
        since: "0.1.0",
        what: "`lint.policy` of `karat.yaml` is written.",
        why: "This build does not check policies, so a breach would go unseen.",
        fails: r#"# karat.yaml
version: 1
lint: { policy: { required_tags: [owner] } }
"#,
        passes: r#"# karat.yaml
version: 1
lint: { levels: { C003: warn } }
"#,
        fix: "Take `policy` out. The rules C002 and C003 ask for descriptions and owners when their level is raised.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    if project.spec.lint.policy.is_empty() {
        return Vec::new();
    }
    let found = project.at_key("/lint/policy", "this build does not check `lint.policy`").with_label("not part of this build");
    vec![found.with_help("take `policy` out; `levels: { C002: error, C003: error }` asks for descriptions and owners")]
}
