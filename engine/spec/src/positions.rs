//! From a value to [`SqlText`]: the rendered text with its way back to the file, through template and YAML.

use crate::template::Rendered;
use crate::yaml::{DecodedPiece, Node, Scalar, decoded_pieces, source_span};
use crate::{Piece, SqlText};
use karat_diagnostics::{FileId, SourceMap, Span};
use std::ops::Range;

/// Where bytes of a scalar's undecorated text stand in the file.
pub(crate) fn value_span(map: &SourceMap, node: &Node, scalar: &Scalar, range: &Range<usize>) -> Span {
    let pieces = decoded_pieces(map.file(node.span.file).text(), node.span, scalar.style, &scalar.text);
    source_span(&pieces, node.span, range)
}

/// The text of a scalar as the engine uses it.
pub(crate) fn sql_text(map: &SourceMap, node: &Node, scalar: &Scalar) -> SqlText {
    let decoded = decoded_pieces(map.file(node.span.file).text(), node.span, scalar.style, &scalar.text);
    match &scalar.rendered {
        None => SqlText::new(&*scalar.text, decoded.into_iter().map(|piece| placed(node.span.file, piece.decoded, piece.source)).collect(), node.span),
        Some(rendered) => SqlText::new(&*rendered.text, compose(rendered, &decoded, node.span), node.span),
    }
}

/// The text of a whole file, rendered or not.
pub(crate) fn file_text(text: &str, file: FileId, rendered: Option<&Rendered>) -> SqlText {
    let whole = Span::new(file, 0, text.len());
    let identity = [DecodedPiece { decoded: 0..text.len(), source: 0..text.len() }];
    match rendered {
        None => SqlText::new(text, vec![placed(file, 0..text.len(), 0..text.len())], whole),
        Some(rendered) => SqlText::new(&*rendered.text, compose(rendered, &identity, whole), whole),
    }
}

fn placed(file: FileId, rendered: Range<usize>, source: Range<usize>) -> Piece {
    Piece { rendered, source: Span::new(file, source.start, source.end), inserted: false }
}

/// Rendered bytes to value bytes to file bytes.
fn compose(rendered: &Rendered, decoded: &[DecodedPiece], whole: Span) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(rendered.pieces.len() + decoded.len());
    for piece in &rendered.pieces {
        if !piece.exact {
            push_inexact(&mut pieces, piece.rendered.clone(), source_span(decoded, whole, &piece.origin), true);
            continue;
        }
        let mut at = piece.origin.start;
        let first = decoded.partition_point(|place| place.decoded.end <= at);
        for place in decoded[first..].iter().take_while(|place| place.decoded.start < piece.origin.end) {
            let start = place.decoded.start.max(at);
            let end = place.decoded.end.min(piece.origin.end);
            let to_rendered = |offset: usize| piece.rendered.start + (offset - piece.origin.start);
            let range = to_rendered(start)..to_rendered(end);
            if place.decoded.len() == place.source.len() {
                let source = place.source.start + (start - place.decoded.start);
                pieces.push(Piece { rendered: range.clone(), source: Span::new(whole.file, source, source + range.len()), inserted: false });
            } else {
                push_inexact(&mut pieces, range, Span::new(whole.file, place.source.start, place.source.end), false);
            }
            at = end;
        }
    }
    pieces
}

/// A piece that maps as a whole. One that happens to be as long as its source is cut, because equal length means byte by byte.
fn push_inexact(pieces: &mut Vec<Piece>, rendered: Range<usize>, source: Span, inserted: bool) {
    let width = (source.end - source.start) as usize;
    if width == rendered.len() && width > 1 {
        pieces.push(Piece { rendered: rendered.start..rendered.start + 1, source, inserted });
        pieces.push(Piece { rendered: rendered.start + 1..rendered.end, source, inserted });
    } else {
        pieces.push(Piece { rendered, source, inserted });
    }
}
