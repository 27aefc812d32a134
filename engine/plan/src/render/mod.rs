//! Renderings of a plan: for people, for a pull request, as diagrams, for programs.

mod diagram;
mod markdown;
mod number;
mod text;

pub use diagram::{dot, mermaid};
pub use markdown::markdown;
pub use number::{bytes, count};
pub use text::text;

use crate::RunPlan;

/// The plan as JSON with a final line break.
///
/// # Panics
/// Never: a plan holds nothing that JSON cannot.
#[must_use]
pub fn json(plan: &RunPlan) -> String {
    let mut out = serde_json::to_string_pretty(plan).expect("a plan holds only texts, numbers and lists");
    out.push('\n');
    out
}

/// `3 tables in 2 waves, offline`.
fn headline(plan: &RunPlan) -> String {
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut line = format!("{} in {}", plural(plan.tables.len(), "table"), plural(plan.waves.len(), "wave"));
    if plan.full_refresh {
        line.push_str(", full refresh");
    }
    if plan.offline {
        line.push_str(", offline: only files of the project were read");
    }
    line
}
