//! Names of tables in text that does not parse.

use crate::sql_facts::{Lines, TableUse};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// `layer.table` in text that is no SQL, so that one syntax error does not look like a missing dependency.
pub(crate) fn scan(sql: &str, lines: &Lines<'_>) -> Vec<TableUse> {
    let dialect = GenericDialect {};
    let mut tokens = Vec::new();
    // The tokens before the fault are enough.
    let _fault = Tokenizer::new(&dialect, sql).tokenize_with_location_into_buf(&mut tokens);
    let word = |index: usize| match tokens.get(index).map(|token| &token.token) {
        Some(Token::Word(word)) => Some(if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }),
        _ => None,
    };
    (0..tokens.len())
        .filter(|index| matches!(tokens.get(index + 1).map(|token| &token.token), Some(Token::Period)))
        .filter_map(|index| {
            let (layer, table) = (word(index)?, word(index + 2)?);
            karat_spec::model::Layer::parse(&layer)?;
            let place = lines.offset(tokens[index].span.start)..lines.offset(tokens[index + 2].span.end);
            Some(TableUse { parts: vec![layer, table], place })
        })
        .collect()
}
