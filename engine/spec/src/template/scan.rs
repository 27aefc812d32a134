//! Splits a value into literal text, `${NAME}` and template tags, without evaluating anything.

use std::ops::Range;

/// One part of a value, in bytes of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Text that stands for itself; white space that a neighbouring `-` removes is not part of it.
    Literal(Range<usize>),
    /// `$${`, which means `${`.
    Escaped(Range<usize>),
    /// `${NAME}` or `${NAME:-default}`.
    Variable { range: Range<usize>, name: Range<usize>, default: Option<Range<usize>> },
    /// `{{ … }}`.
    Expression { range: Range<usize>, inner: Range<usize> },
    /// `{% … %}`.
    Statement { range: Range<usize>, inner: Range<usize> },
    /// The text between `{% raw %}` and `{% endraw %}`.
    Raw(Range<usize>),
}

/// What stops the scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScanProblem {
    pub(crate) range: Range<usize>,
    pub(crate) kind: ScanProblemKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanProblemKind {
    /// `${` without `}`.
    VariableOpen,
    /// The name between `${` and `}` is no name.
    VariableName,
    /// A `${` inside a default.
    VariableNested,
    /// A tag, comment or raw block without its end.
    TagOpen,
    /// `${` inside of a template tag.
    VariableInTag,
}

/// True when `text` holds nothing to evaluate.
pub(crate) fn is_literal(text: &str) -> bool {
    !(text.contains("${") || text.contains("{{") || text.contains("{%") || text.contains("{#"))
}

/// Splits `text`; problems are reported beside the segments that could be read.
pub(crate) fn scan(text: &str) -> (Vec<Segment>, Vec<ScanProblem>) {
    let mut scanner = Scanner { text, segments: Vec::new(), problems: Vec::new(), literal_from: 0, trim_next: false };
    let mut at = 0;
    while let Some(offset) = text[at..].find(['$', '{']) {
        at = scanner.step(at + offset);
    }
    scanner.literal(text.len(), false);
    (scanner.segments, scanner.problems)
}

struct Scanner<'a> {
    text: &'a str,
    segments: Vec<Segment>,
    problems: Vec<ScanProblem>,
    literal_from: usize,
    trim_next: bool,
}

impl Scanner<'_> {
    /// Reads what may begin at `at`; returns where to go on.
    fn step(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        if rest.starts_with("$${") {
            self.push(at, at + 3, Segment::Escaped(at..at + 3))
        } else if rest.starts_with("${") {
            self.variable(at)
        } else if rest.starts_with("{{") {
            self.tag(at, "}}")
        } else if rest.starts_with("{%") {
            self.tag(at, "%}")
        } else if rest.starts_with("{#") {
            self.comment(at)
        } else {
            at + 1
        }
    }

    fn push(&mut self, start: usize, end: usize, segment: Segment) -> usize {
        self.literal(start, false);
        self.segments.push(segment);
        self.literal_from = end;
        end
    }

    /// Ends the literal that began after the last segment, minus what `-` takes away on either side.
    fn literal(&mut self, end: usize, trim_end: bool) {
        let mut range = self.literal_from..end;
        if std::mem::take(&mut self.trim_next) {
            range.start = end - self.text[range.clone()].trim_start().len();
        }
        if trim_end {
            range.end = range.start + self.text[range.clone()].trim_end().len();
        }
        if !range.is_empty() {
            self.segments.push(Segment::Literal(range));
        }
    }

    fn variable(&mut self, at: usize) -> usize {
        let Some(length) = self.text[at..].find('}') else {
            self.problems.push(ScanProblem { range: at..at + 2, kind: ScanProblemKind::VariableOpen });
            return at + 2;
        };
        let end = at + length + 1;
        let body = at + 2..end - 1;
        let (name, default) = match self.text[body.clone()].find(":-") {
            Some(split) => (body.start..body.start + split, Some(body.start + split + 2..body.end)),
            None => (body, None),
        };
        if default.clone().is_some_and(|default| self.text[default].contains("${")) {
            self.problems.push(ScanProblem { range: at..end, kind: ScanProblemKind::VariableNested });
            return end;
        }
        if !is_variable_name(&self.text[name.clone()]) {
            self.problems.push(ScanProblem { range: at..end, kind: ScanProblemKind::VariableName });
            return end;
        }
        self.push(at, end, Segment::Variable { range: at..end, name, default })
    }

    fn tag(&mut self, at: usize, close: &str) -> usize {
        let Some(inner_end) = tag_end(&self.text[at + 2..], close).map(|length| at + 2 + length) else {
            self.problems.push(ScanProblem { range: at..at + 2, kind: ScanProblemKind::TagOpen });
            return at + 2;
        };
        let end = inner_end + 2;
        let raw_inner = &self.text[at + 2..inner_end];
        if let Some(variable) = raw_inner.find("${") {
            self.problems.push(ScanProblem { range: at + 2 + variable..at + 4 + variable, kind: ScanProblemKind::VariableInTag });
        }
        let trims_before = raw_inner.starts_with('-');
        let trims_after = raw_inner.len() > 1 && raw_inner.ends_with('-');
        let inner = at + 2 + usize::from(raw_inner.starts_with(['-', '+']))..inner_end - usize::from(raw_inner.len() > 1 && raw_inner.ends_with(['-', '+']));
        self.literal(at, trims_before);
        self.literal_from = end;
        self.trim_next = trims_after;
        if close == "%}" && self.text[inner.clone()].trim() == "raw" {
            return self.raw(at, end);
        }
        let range = at..end;
        self.segments.push(if close == "}}" { Segment::Expression { range, inner } } else { Segment::Statement { range, inner } });
        end
    }

    /// Reads up to `{% endraw %}`; `start` is the end of `{% raw %}`.
    fn raw(&mut self, at: usize, start: usize) -> usize {
        let mut from = start;
        while let Some(open) = self.text[from..].find("{%").map(|offset| from + offset) {
            let Some(length) = self.text[open + 2..].find("%}") else { break };
            let tag = &self.text[open + 2..open + 2 + length];
            let end = open + 4 + length;
            if tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim() == "endraw" {
                let mut range = start..open;
                if std::mem::take(&mut self.trim_next) {
                    range.start = open - self.text[range.clone()].trim_start().len();
                }
                if tag.starts_with('-') {
                    range.end = range.start + self.text[range.clone()].trim_end().len();
                }
                self.segments.push(Segment::Raw(range));
                self.literal_from = end;
                self.trim_next = tag.ends_with('-');
                return end;
            }
            from = open + 2;
        }
        self.problems.push(ScanProblem { range: at..start, kind: ScanProblemKind::TagOpen });
        self.literal_from = self.text.len();
        self.text.len()
    }

    fn comment(&mut self, at: usize) -> usize {
        let Some(length) = self.text[at + 2..].find("#}") else {
            self.problems.push(ScanProblem { range: at..at + 2, kind: ScanProblemKind::TagOpen });
            return at + 2;
        };
        let end = at + 4 + length;
        let inner = &self.text[at + 2..end - 2];
        self.literal(at, inner.starts_with('-'));
        self.literal_from = end;
        self.trim_next = inner.len() > 1 && inner.ends_with('-');
        end
    }
}

/// Bytes before `close`, stepping over quoted strings.
fn tag_end(text: &str, close: &str) -> Option<usize> {
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if text[at..].starts_with(close) => return Some(at),
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {}
        }
    }
    None
}

/// `[A-Za-z_][A-Za-z0-9_]*`
fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
