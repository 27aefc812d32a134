//! Paths of data files as the log spells them: percent-encoded, relative, `/` between names.

use std::fmt::Write as _;

/// The path as the log writes it.
pub(crate) fn encode(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'=') {
            text.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The path as the file system has it; `None` when it is not percent-encoded UTF-8, or leads out of the table.
pub(crate) fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut path = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            path.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            path.push(bytes[at]);
            at += 1;
        }
    }
    let path = String::from_utf8(path).ok()?;
    let is_inside = !path.is_empty() && !path.contains(['\0', ':']) && path.split('/').all(|name| !matches!(name, "" | "." | ".."));
    is_inside.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_survive_and_escapes_are_refused() {
        for path in ["who=a%2Fb/part-0.parquet", "ä=x y/part.parquet"] {
            assert_eq!(decode(&encode(path)).as_deref(), Some(path));
        }
        for path in ["../x.parquet", "/etc/passwd", "a//b", "%zz", "a%2F..%2Fb", "s3://bucket/x", ""] {
            assert_eq!(decode(path), None, "{path}");
        }
    }
}
