//! From places in the model to places in the text.

use karat_diagnostics::Span;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Spans of every key and value of one YAML mapping, by JSON pointer (`/cdc/cursor`, `/checks/0/columns/1`).
///
/// A value that came from defaults points into the defaults' own file.
#[derive(Debug, Clone, Default)]
pub struct SpanIndex {
    entries: BTreeMap<String, Entry>,
    root: Option<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Option<Span>,
    value: Span,
}

impl SpanIndex {
    /// An index whose root value stands at `root`.
    #[must_use]
    pub fn new(root: Span) -> Self {
        Self { entries: BTreeMap::new(), root: Some(root) }
    }

    /// Records one value, and its key if it is a mapping's.
    pub fn insert(&mut self, pointer: impl Into<String>, key: Option<Span>, value: Span) {
        self.entries.insert(pointer.into(), Entry { key, value });
    }

    /// True when the text holds a value at `pointer`.
    #[must_use]
    pub fn contains(&self, pointer: &str) -> bool {
        self.entries.contains_key(pointer)
    }

    /// The value at `pointer`, or the nearest enclosing value that exists.
    ///
    /// # Panics
    /// If the index is empty, which only `SpanIndex::default()` is.
    #[must_use]
    pub fn value(&self, pointer: &str) -> Span {
        self.nearest(pointer).map_or_else(|| self.root_span(), |entry| entry.value)
    }

    /// The key at `pointer`; without a key the value; or the nearest enclosing key that exists.
    #[must_use]
    pub fn key(&self, pointer: &str) -> Span {
        self.nearest(pointer).map_or_else(|| self.root_span(), |entry| entry.key.unwrap_or(entry.value))
    }

    /// All recorded pointers, sorted.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    fn root_span(&self) -> Span {
        self.root.expect("a span index is created with its root span")
    }

    fn nearest(&self, pointer: &str) -> Option<Entry> {
        let mut at = pointer;
        loop {
            if let Some(entry) = self.entries.get(at) {
                return Some(*entry);
            }
            at = &at[..at.rfind('/')?];
        }
    }
}

/// A key as part of a JSON pointer.
#[must_use]
pub fn pointer_part(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A text as the engine uses it (templates rendered, block scalar unindented), with the way back to the source.
///
/// Its `Debug` form shows `***` for what a template or the environment put in, because that may be a secret of any length.
#[derive(Clone)]
pub struct SqlText {
    text: Arc<str>,
    pieces: Arc<[Piece]>,
    whole: Span,
}

/// `rendered` bytes of the text came from `source`; equally long pieces map byte by byte, others as a whole.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Bytes of the rendered text.
    pub rendered: Range<usize>,
    /// Bytes of the source.
    pub source: Span,
    /// True when a template or the environment put these bytes in: they are not what stands in the source.
    pub inserted: bool,
}

impl fmt::Debug for SqlText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.text.len());
        let mut at = 0;
        for piece in self.pieces.iter().filter(|piece| piece.inserted) {
            // Two pieces may come from one tag.
            if piece.rendered.start > at || at == 0 {
                shown.push_str(self.text.get(at..piece.rendered.start).unwrap_or_default());
                shown.push_str("***");
            }
            at = piece.rendered.end;
        }
        shown.push_str(self.text.get(at..).unwrap_or_default());
        out.debug_tuple("SqlText").field(&shown).finish()
    }
}

impl SqlText {
    /// A text whose `pieces`, sorted by `rendered`, came from the given places; `whole` is the entire YAML value.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>, pieces: Vec<Piece>, whole: Span) -> Self {
        Self { text: text.into(), pieces: pieces.into(), whole }
    }

    /// The text to parse.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole YAML value.
    #[must_use]
    pub fn whole(&self) -> Span {
        self.whole
    }

    /// Where `range` bytes of the text stand in the source: exact for literal text, the whole template tag for rendered text.
    #[must_use]
    pub fn span(&self, range: Range<usize>) -> Span {
        let Some(first) = self.place(range.start) else { return self.whole };
        let Some(last) = self.place(range.end.saturating_sub(1).max(range.start)) else { return first };
        if first.file != last.file || last.end < first.start {
            return first;
        }
        Span { file: first.file, start: first.start, end: last.end }
    }

    /// Where line `line`, column `column` (both from 1, columns in characters) of the text begins, in bytes.
    #[must_use]
    pub fn offset(&self, line: u64, column: u64) -> usize {
        let line_index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let start = if line_index == 0 { 0 } else { self.text.match_indices('\n').nth(line_index - 1).map_or(self.text.len(), |(at, _)| at + 1) };
        let skip = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        self.text[start..].char_indices().nth(skip).map_or(self.text.len(), |(at, _)| start + at)
    }

    fn place(&self, at: usize) -> Option<Span> {
        let index = self.pieces.partition_point(|piece| piece.rendered.end <= at);
        let piece = self.pieces.get(index).filter(|piece| piece.rendered.start <= at)?;
        let width = (piece.source.end - piece.source.start) as usize;
        if width != piece.rendered.len() {
            return Some(piece.source);
        }
        let start = piece.source.start as usize + (at - piece.rendered.start);
        Some(Span::new(piece.source.file, start, start + 1))
    }
}
