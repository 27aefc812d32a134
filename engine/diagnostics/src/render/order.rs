//! The order in which findings are shown.

use crate::{Diagnostic, Label, SourceMap};

/// The distinct findings by path, position, code and message; findings without a place come last.
#[must_use]
pub fn in_order<'a>(findings: &'a [Diagnostic], sources: &SourceMap) -> Vec<&'a Diagnostic> {
    let place = |finding: &Diagnostic| finding.primary.as_ref().map(|Label { span, .. }| (span.start, span.end));
    let path = |finding: &Diagnostic| finding.primary.as_ref().map(|label| sources.file(label.span.file).path());
    let mut ordered: Vec<&Diagnostic> = findings.iter().collect();
    ordered.sort_by(|a, b| (a.primary.is_none(), path(a), place(a), a.code, &a.message).cmp(&(b.primary.is_none(), path(b), place(b), b.code, &b.message)));
    ordered.dedup();
    ordered
}
