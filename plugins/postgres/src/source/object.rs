//! Names of tables as people write them: `orders`, `shop.orders`, `"My Schema"."My.Table"`.

use karat_plugin_api::{ConnectorError, ErrorKind};

/// One part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePart {
    pub(crate) text: String,
    /// Written in quotes: then it is taken exactly as it is.
    pub(crate) quoted: bool,
}

impl NamePart {
    /// The spellings to look for, the likeliest first: as written, then as the server folds it.
    pub(crate) fn spellings(&self) -> Vec<String> {
        let folded = self.text.to_lowercase();
        if self.quoted || folded == self.text { vec![self.text.clone()] } else { vec![self.text.clone(), folded] }
    }
}

/// A table's name: schema, if written, and table.
pub(crate) fn parse(name: &str) -> Result<(Option<NamePart>, NamePart), ConnectorError> {
    let mut parts = Vec::new();
    let mut rest = name.trim();
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(|| unreadable(name))?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (NamePart { text: rest[..end].trim().to_owned(), quoted: false }, &rest[end..])
            }
        };
        if part.text.is_empty() || part.text.contains('\0') {
            return Err(unreadable(name));
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => break,
            None => return Err(unreadable(name)),
        }
    }
    match (parts.pop(), parts.pop(), parts.is_empty()) {
        (Some(table), schema, true) => Ok((schema, table)),
        _ => Err(unreadable(name)),
    }
}

fn unquote(text: &str) -> Option<(NamePart, &str)> {
    let mut out = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                out.push('"');
                rest = more;
            }
            None => return Some((NamePart { text: out, quoted: true }, rest)),
        }
    }
}

fn unreadable(name: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadConfiguration, format!("`{name}` does not name a table"))
        .with_help("write `table`, `schema.table`, or with quotes `\"My Schema\".\"My.Table\"`; other databases need a connection of their own")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;

    fn check(name: &str, schema: Option<(&str, bool)>, table: (&str, bool)) {
        let part = |(text, quoted): (&str, bool)| NamePart { text: text.into(), quoted };
        assert_eq!(parse(name).unwrap(), (schema.map(part), part(table)), "{name}");
    }

    #[test]
    fn names_are_read_as_sql_writes_them() {
        check("orders", None, ("orders", false));
        check("shop.Orders", Some(("shop", false)), ("Orders", false));
        check("\"My Schema\".\"My.\"\"Table\"", Some(("My Schema", true)), ("My.\"Table", true));
        check("shop.\"t\"", Some(("shop", false)), ("t", true));
        for name in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "\"\""] {
            assert_eq!(parse(name).unwrap_err().kind(), ErrorKind::BadConfiguration, "{name}");
        }
    }
}
