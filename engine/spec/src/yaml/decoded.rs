//! From bytes of a decoded scalar back to bytes of the file.
//!
//! The parser has decoded the scalar; this module lays the result along the source text again and keeps only what matches, so a mistake
//! here can make a position coarser, but not wrong.

use super::Style;
use karat_diagnostics::{FileId, Span};
use std::ops::Range;

/// Bytes of the decoded text that came from bytes of the file; pieces of equal length match byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecodedPiece {
    pub(crate) decoded: Range<usize>,
    pub(crate) source: Range<usize>,
}

/// Pieces of a scalar that stands at `span` of the file's `text`, in order; gaps are line breaks and indentation.
pub(crate) fn decoded_pieces(text: &str, span: Span, style: Style, decoded: &str) -> Vec<DecodedPiece> {
    let (start, end) = (span.start as usize, span.end as usize);
    match style {
        Style::Literal | Style::Folded => block(text, start, end, decoded),
        Style::SingleQuoted | Style::DoubleQuoted => flow(text, start + 1, end.saturating_sub(1).max(start + 1), decoded, style),
        Style::Plain | Style::Text => flow(text, start, end, decoded, Style::Plain),
    }
}

/// Lays lines of a block scalar along `decoded`; the span starts at the first character after the indentation.
fn block(text: &str, start: usize, end: usize, decoded: &str) -> Vec<DecodedPiece> {
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = start - line_start;
    let mut pieces = Vec::new();
    let (mut at, mut source, mut break_start) = (0, line_start, line_start);
    while source < end {
        let line_end = text[source..end].find('\n').map_or(end, |newline| source + newline);
        let content_end = source + text[source..line_end].trim_end_matches('\r').len();
        let content_start = (source + indent).min(content_end);
        let content = text.get(content_start..content_end).unwrap_or("");
        if !content.trim().is_empty() {
            let Some(found) = skip_breaks(decoded, at, content) else { break };
            if found > at {
                pieces.push(DecodedPiece { decoded: at..found, source: break_start..content_start });
            }
            pieces.push(DecodedPiece { decoded: found..found + content.len(), source: content_start..content_end });
            at = found + content.len();
            break_start = content_end;
        }
        source = line_end + 1;
    }
    if at < decoded.len() {
        pieces.push(DecodedPiece { decoded: at..decoded.len(), source: break_start..end.max(break_start) });
    }
    pieces
}

/// The first place at or after `at`, over nothing but line breaks and blanks, where `content` follows.
fn skip_breaks(decoded: &str, at: usize, content: &str) -> Option<usize> {
    let rest = decoded.get(at..)?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\n', '\t']).len();
    (at..=at + blanks).find(|place| decoded.get(*place..).is_some_and(|tail| tail.starts_with(content)))
}

/// Lays a plain or quoted scalar along `decoded`, character by character.
fn flow(text: &str, start: usize, end: usize, decoded: &str, style: Style) -> Vec<DecodedPiece> {
    let mut pieces: Vec<DecodedPiece> = Vec::new();
    let (mut source, mut at) = (start, 0);
    while source < end && at < decoded.len() {
        let (Some(here), Some(there)) = (text.get(source..end).and_then(|rest| rest.chars().next()), decoded[at..].chars().next()) else { break };
        let break_length = line_break(&text[source..end]);
        let (taken, made) = if break_length > 0 {
            (break_length, decoded[at..].len() - decoded[at..].trim_start_matches(if there == ' ' { ' ' } else { '\n' }).len())
        } else if style == Style::DoubleQuoted && here == '\\' {
            let length = escape(&text[source..end]);
            let continued = text[source + 1..end].starts_with(['\n', '\r']);
            (length, if continued { 0 } else { there.len_utf8() })
        } else if style == Style::SingleQuoted && text[source..end].starts_with("''") && there == '\'' {
            (2, 1)
        } else if here == there {
            (here.len_utf8(), there.len_utf8())
        } else {
            break;
        };
        let exact = here == there && taken == made && break_length == 0;
        match pieces.last_mut() {
            Some(last) if exact && last.decoded.len() == last.source.len() && last.decoded.end == at && last.source.end == source => {
                last.decoded.end += made;
                last.source.end += taken;
            }
            _ if made > 0 => pieces.push(DecodedPiece { decoded: at..at + made, source: source..source + taken }),
            _ => {}
        }
        source += taken;
        at += made;
    }
    pieces
}

/// Bytes of a folded line break: blanks, the break, empty lines, the next line's indentation. Zero when there is none here.
fn line_break(rest: &str) -> usize {
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if !rest[blanks..].starts_with(['\n', '\r']) {
        return 0;
    }
    rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len()
}

/// Bytes of a double-quoted escape.
fn escape(rest: &str) -> usize {
    let Some(kind) = rest[1..].chars().next() else { return 1 };
    let length = match kind {
        'x' => 4,
        'u' => 6,
        'U' => 10,
        '\n' | '\r' => 1 + rest[1..].len() - rest[1..].trim_start_matches([' ', '\t', '\n', '\r']).len(),
        _ => 1 + kind.len_utf8(),
    };
    // A surrogate pair is one character.
    let pair = kind == 'u'
        && rest
            .get(2..4)
            .is_some_and(|head| head.eq_ignore_ascii_case("d8") || head.eq_ignore_ascii_case("d9") || head.eq_ignore_ascii_case("da") || head.eq_ignore_ascii_case("db"));
    if pair && rest.get(6..8) == Some("\\u") { 12.min(rest.len()) } else { length.min(rest.len()) }
}

/// The bytes of the file that `decoded` bytes came from: from the first piece touched to the last.
pub(crate) fn source_span(pieces: &[DecodedPiece], whole: Span, decoded: &Range<usize>) -> Span {
    let file: FileId = whole.file;
    let Some(first) = pieces.get(pieces.partition_point(|piece| piece.decoded.end <= decoded.start)) else { return whole };
    let last_at = pieces.partition_point(|piece| piece.decoded.start < decoded.end.max(decoded.start + 1));
    let Some(last) = last_at.checked_sub(1).and_then(|at| pieces.get(at)) else { return whole };
    let start = if exact(first) { first.source.start + decoded.start.saturating_sub(first.decoded.start) } else { first.source.start };
    let end = if exact(last) { last.source.end - last.decoded.end.saturating_sub(decoded.end) } else { last.source.end };
    Span::new(file, start, end.max(start))
}

fn exact(piece: &DecodedPiece) -> bool {
    piece.decoded.len() == piece.source.len()
}
