//! C007: hour of a schedule without a time zone.

use crate::rule::{Check, Group, Rule, at};
use crate::view::PipelineView;
use karat_diagnostics::{Diagnostic, Explanation};

pub(super) static RULE: Rule = Rule {
    group: Group::Hint,
    page: Explanation {
        code: "C007",
        title: "hour of a schedule without a time zone",
        since: "0.1.0",
        what: "A schedule runs at a certain hour, but does not say in which time zone.",
        why: "The default is UTC, which is rarely the wall clock that was meant.",
        fails: r#"version: 1
schedule: { cron: "0 6 * * *" }
"#,
        passes: r#"version: 1
schedule: { cron: "0 6 * * *", timezone: Europe/Berlin }
"#,
        fix: "Write `timezone`.",
    },
    check: Check::Pipeline(check),
};

fn check(view: &PipelineView<'_>) -> Vec<Diagnostic> {
    let Some(schedule) = view.pipeline.schedule.as_ref().filter(|schedule| schedule.timezone.is_none()) else { return Vec::new() };
    let names_an_hour = schedule.cron.split_whitespace().nth(1).is_some_and(|hour| !hour.starts_with('*'));
    if !names_an_hour {
        return Vec::new();
    }
    let found = at(view.pipeline.spans.value("/schedule/cron"), format!("the schedule of `{}` names an hour, but no time zone", view.pipeline.name));
    vec![found.with_label("an hour in UTC").with_help("add `timezone: UTC` if that is meant, or another IANA time zone")]
}
