//! S104: level of an unknown rule.

use crate::rule::{Check, Group, Rule};
use crate::view::ProjectView;
use karat_diagnostics::{Diagnostic, Explanation, did_you_mean};
use karat_spec::pointer_part;

pub(super) static RULE: Rule = Rule {
    group: Group::Correctness,
    page: Explanation {
        code: "S104",
        title: "level of an unknown rule",
        since: "0.1.0",
        what: "`lint.levels` names a code that is no rule, or one whose level cannot be changed.",
        why: "The level has no effect, and the rule that was meant keeps its own.",
        fails: r#"# karat.yaml
version: 1
lint: { levels: { C0001: off } }
"#,
        passes: r#"# karat.yaml
version: 1
lint: { levels: { C001: "off" } }
"#,
        fix: "Name a rule; `karat explain CODE` shows its page.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    let codes = || super::RULES.iter().map(|rule| rule.code()).chain(project.levels_elsewhere.iter().copied());
    let mut found = Vec::new();
    for code in project.spec.lint.levels.keys().filter(|code| codes().all(|known| known != *code)) {
        let finding = project.at_key(&format!("/lint/levels/{}", pointer_part(code)), format!("`{code}` is no lint rule"));
        // Shape, graph and SQL are no rules: what they find cannot be run.
        found.push(if is_code(code) && code.starts_with(['S', 'G', 'Q']) {
            finding.with_label("its level cannot be changed").with_help("take it out: only rules of lint have a level")
        } else {
            let help = did_you_mean(code, codes()).unwrap_or_else(|| "rules have codes such as `D001` or `C005`".to_owned());
            finding.with_label("no rule has this code").with_help(help)
        });
    }
    found
}

fn is_code(text: &str) -> bool {
    text.len() == 4 && text.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}
