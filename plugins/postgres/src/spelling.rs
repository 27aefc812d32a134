//! Names and values in SQL text: the only place that writes either.
//!
//! COPY takes no bound values, so this is what stands between a value and the statement around it.

use karat_plugin_api::{ConnectorError, ErrorKind};

/// A name in SQL, whatever it contains.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with its schema.
pub(crate) fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

/// A text value in SQL, read the same way whatever `standard_conforming_strings` says.
///
/// # Errors
/// For a NUL character, which no text of the server can hold.
pub(crate) fn literal(text: &str) -> Result<String, ConnectorError> {
    if text.contains('\0') {
        return Err(ConnectorError::new(ErrorKind::BadData, "a value holds a NUL character, which PostgreSQL's text cannot")
            .with_help("leave the column out, or choose another cursor or key"));
    }
    if text.contains('\\') {
        return Ok(format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''")));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;

    #[test]
    fn names_and_values_cannot_leave_their_quotes() {
        assert_eq!(quote("a\"b; --"), "\"a\"\"b; --\"");
        assert_eq!(qualified("My.Schema", "t"), "\"My.Schema\".\"t\"");
        assert_eq!(literal("it's; --").unwrap(), "'it''s; --'");
        assert_eq!(literal("\\'; DROP TABLE t; --").unwrap(), " E'\\\\''; DROP TABLE t; --'");
        assert_eq!(literal("a\0b").unwrap_err().kind(), ErrorKind::BadData);
    }
}
