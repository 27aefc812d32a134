//! C006: unused var.

use crate::rule::{Check, Group, Rule, at};
use crate::view::ProjectView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Style,
    page: Explanation {
        code: "C006",
        title: "unused var",
        since: "0.1.0",
        what: "A var is defined, but no template reads it.",
        why: "It is left over, or a template reads another var by mistake.",
        fails: r#"version: 1
vars: { quote: USDT, base: BTC }
silver:
  orders: { sql: "SELECT '{{ vars.quote }}' AS quote" }
"#,
        passes: r#"version: 1
vars: { quote: USDT }
silver:
  orders: { sql: "SELECT '{{ vars.quote }}' AS quote" }
"#,
        fix: "Take the var out, or use it as `{{ vars.name }}`.",
    },
    check: Check::Project(check),
};

fn check(project: &ProjectView<'_>) -> Vec<Diagnostic> {
    // What a broken table would use is not known: it may lack the very key that says so.
    if !project.spec.broken_tables.is_empty() {
        return Vec::new();
    }
    let unused = project.spec.vars.iter().filter(|var| !var.used && !project.spec.left_out.may_use(&var.name));
    unused
        .map(|var| {
            at(var.span, format!("var `{}` is not used", var.name)).with_label("no template reads it").with_help(format!("take it out, or use it as `{{{{ vars.{} }}}}`", var.name))
        })
        .collect()
}
