//! Names of tables in a file that YAML cannot read, so that references to them are not reported as well.

use crate::model::{Layer, TableName};
use crate::names::is_name;
use karat_diagnostics::{FileId, Span};

/// Names that look like tables: first-level keys below a line `bronze:`, `silver:` or `gold:`.
pub(crate) fn likely_tables(file: FileId, text: &str) -> Vec<(TableName, Span)> {
    let mut found = Vec::new();
    let mut layer = None;
    let mut indent = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let content = line.trim_start_matches(' ');
        let depth = line.len() - content.len();
        let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with('#')) else { continue };
        if depth == 0 {
            layer = Layer::parse(key.trim_end());
            indent = None;
            continue;
        }
        let Some(layer) = layer.filter(|_| *indent.get_or_insert(depth) == depth) else { continue };
        let name = key.trim().trim_matches(['"', '\'']);
        if is_name(name) {
            found.push((TableName::new(layer, name), Span::new(file, start + depth, start + depth + key.trim_end().len())));
        }
    }
    found
}
