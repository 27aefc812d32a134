//! The lines of a file that a finding shows.

use super::mask::Masked;
use crate::{Label, SourceFile, SourceMap, Span};
use annotate_snippets::{Annotation, AnnotationKind, Snippet};
use std::ops::Range;

/// Lines of one file with the marks that point into them, without secrets.
pub(crate) struct Excerpt {
    text: String,
    first_line: usize,
    marks: Vec<Mark>,
}

struct Mark {
    range: Range<usize>,
    text: String,
    is_primary: bool,
}

impl Excerpt {
    /// The lines that `primary` and the `secondary` labels of the same file stand in.
    pub(crate) fn new(sources: &SourceMap, primary: &Label, secondary: &[Label], secrets: &[String]) -> Self {
        let file = sources.file(primary.span.file);
        let others = secondary.iter().filter(|label| label.span.file == primary.span.file);
        let labels: Vec<(&Label, Range<usize>)> = std::iter::once(primary).chain(others).map(|label| (label, first_line_of(file, label.span))).collect();
        let start = labels.iter().map(|(_, range)| line_start(file, range.start)).min().unwrap_or(0);
        let end = labels.iter().map(|(_, range)| line_end(file, range.start)).max().unwrap_or(0);
        let masked = Masked::source(&file.text()[start..end.max(start)], secrets);
        let marks = labels
            .iter()
            .enumerate()
            .map(|(index, (label, range))| {
                let at = masked.offset(range.start - start);
                let text = Masked::message(&label.text, secrets).text;
                Mark { range: at..masked.offset(range.end - start).max(at), text, is_primary: index == 0 }
            })
            .collect();
        let first_line = file.line_column(u32::try_from(start).unwrap_or(u32::MAX)).line;
        Self { text: masked.text, first_line, marks }
    }

    /// The excerpt as annotate-snippets draws it.
    pub(crate) fn snippet<'a>(&'a self, path: &'a str) -> Snippet<'a, Annotation<'a>> {
        let marks = self.marks.iter().map(|mark| {
            let kind = if mark.is_primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            kind.span(mark.range.clone()).label((!mark.text.is_empty()).then_some(mark.text.as_str()))
        });
        Snippet::source(self.text.as_str()).path(path).line_start(self.first_line).annotations(marks)
    }
}

/// `span` cut to its first line and to whole characters: a finding about a block points at where it begins.
fn first_line_of(file: &SourceFile, span: Span) -> Range<usize> {
    let text = file.text();
    let mut start = floor(text, span.start as usize);
    if start == 0 && text.starts_with('\u{feff}') {
        start = '\u{feff}'.len_utf8();
    }
    let limit = line_end(file, start);
    let start = start.min(limit);
    let end = floor(text, span.end as usize).clamp(start, limit);
    let shown = text[start..end].trim_end().len();
    start..start + shown
}

fn line_start(file: &SourceFile, offset: usize) -> usize {
    let starts = file.line_starts();
    let line = starts.partition_point(|start| *start as usize <= offset).max(1) - 1;
    let start = starts[line] as usize;
    if start == 0 && file.text().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { start }
}

/// The end of the line that `offset` is in, without its line break.
fn line_end(file: &SourceFile, offset: usize) -> usize {
    let text = file.text();
    let end = text[offset..].find('\n').map_or(text.len(), |length| offset + length);
    if end > offset && text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end }
}

fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
