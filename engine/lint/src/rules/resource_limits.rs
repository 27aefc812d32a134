//! L009: limits that nothing can run in.

use crate::rule::{Check, Group, Rule};
use crate::view::ProjectView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Cost,
    page: Explanation {
        code: "L009",
        title: "limits that nothing can run in",
        since: "0.1.0",
        what: "`memory_limit` of `karat.yaml` is below 64MiB, or `jobs` is 0.",
        why: "A run needs room for some batches of rows, and at least one table at a time.",
        fails: r#"# karat.yaml
version: 1
jobs: 0
"#,
        passes: r#"# karat.yaml
version: 1
jobs: 4
"#,
        fix: "Raise the limit, or take it out: the defaults are half of the memory and the number of processors.",
    },
    check: Check::Project(check),
};

const LITTLE: u64 = 64 << 20;

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Some(limit) = project.spec.memory_limit.filter(|limit| limit.0 < LITTLE) {
        found.push(
            project
                .at("/memory_limit", format!("a run may use only {limit} of memory"))
                .with_label("room for hardly a batch of rows")
                .with_help("set at least `64MiB`, or take it out: the default is half of the memory"),
        );
    }
    if project.spec.jobs.is_some_and(|jobs| jobs.0 == 0) {
        found.push(project.at("/jobs", "no table may run").with_label("at least 1").with_help("take `jobs` out: the default is the number of processors"));
    }
    found
}
