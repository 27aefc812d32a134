//! YAML text to a tree in which every key and value knows its bytes.

mod decoded;
mod load;
mod plain;
mod recover;
mod syntax_error;
mod tree;
mod unclosed;

pub(crate) use decoded::{DecodedPiece, decoded_pieces, source_span};
pub(crate) use load::load;
pub(crate) use plain::{Plain, resolve};
pub(crate) use tree::{Content, Entry, Key, Map, Node, Scalar, Style};
