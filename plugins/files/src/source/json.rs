//! One JSON object on a line: keys, and values by their form. Numbers stay text, so that no digit is lost.

use std::borrow::Cow;

/// Deeper nesting is a mistake in the file.
const DEEPEST: usize = 128;

/// A value as it is written.
#[derive(Debug, PartialEq)]
pub(crate) enum JsonValue<'a> {
    Null,
    Boolean(bool),
    /// A number's text.
    Number(&'a [u8]),
    /// A string, escapes resolved.
    Text(Cow<'a, [u8]>),
    /// An object or array, verbatim.
    Nested(&'a [u8]),
}

/// Where a line stops being JSON: a byte of it, from zero, and what was expected there.
#[derive(Debug, PartialEq)]
pub(crate) struct JsonFault {
    pub(crate) offset: usize,
    pub(crate) expected: &'static str,
}

/// Reads a line that is one object, and hands its members over in order. The line is UTF-8.
pub(crate) fn read_object<'a, E: From<JsonFault>>(line: &'a [u8], mut member: impl FnMut(Cow<'a, [u8]>, JsonValue<'a>) -> Result<(), E>) -> Result<(), E> {
    let mut scanner = Scanner { text: line, at: 0 };
    scanner.blank();
    scanner.expect(b'{', "an object `{…}`")?;
    scanner.blank();
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
    } else {
        loop {
            scanner.blank();
            scanner.expect(b'"', "a key in quotes")?;
            let key = scanner.string()?;
            scanner.blank();
            scanner.expect(b':', "`:`")?;
            scanner.blank();
            let value = scanner.value(1)?;
            member(key, value)?;
            scanner.blank();
            match scanner.peek() {
                Some(b',') => scanner.at += 1,
                _ => break,
            }
        }
        scanner.expect(b'}', "`,` or `}`")?;
    }
    scanner.blank();
    if scanner.at < line.len() {
        return Err(scanner.fault("the end of the line").into());
    }
    Ok(())
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn fault(&self, expected: &'static str) -> JsonFault {
        JsonFault { offset: self.at, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonFault> {
        if self.peek() != Some(byte) {
            return Err(self.fault(what));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<JsonValue<'a>, JsonFault> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(JsonValue::Text)
            }
            Some(b'{' | b'[') => {
                self.nested(depth)?;
                Ok(JsonValue::Nested(&self.text[start..self.at]))
            }
            Some(b't') => self.word(b"true").map(|()| JsonValue::Boolean(true)),
            Some(b'f') => self.word(b"false").map(|()| JsonValue::Boolean(false)),
            Some(b'n') => self.word(b"null").map(|()| JsonValue::Null),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(JsonValue::Number(&self.text[start..self.at]))
            }
            _ => Err(self.fault("a value")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonFault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fault("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), JsonFault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits()?
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn nested(&mut self, depth: usize) -> Result<(), JsonFault> {
        if depth > DEEPEST {
            return Err(self.fault("at most 128 levels"));
        }
        let is_object = self.peek() == Some(b'{');
        let close = if is_object { b'}' } else { b']' };
        self.at += 1;
        self.blank();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            if is_object {
                self.expect(b'"', "a key in quotes")?;
                self.string()?;
                self.blank();
                self.expect(b':', "`:`")?;
                self.blank();
            }
            self.value(depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.fault("`,` or a closing bracket")),
            }
        }
    }

    /// The rest of a string, after its opening quote.
    fn string(&mut self) -> Result<Cow<'a, [u8]>, JsonFault> {
        let start = self.at;
        let mut resolved: Option<Vec<u8>> = None;
        loop {
            let run = self.at;
            while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
                self.at += 1;
            }
            if let Some(text) = &mut resolved {
                text.extend_from_slice(&self.text[run..self.at]);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(resolved.map_or_else(|| Cow::Borrowed(&self.text[start..self.at - 1]), Cow::Owned));
                }
                Some(b'\\') => {
                    let before = &self.text[start..self.at];
                    let text = resolved.get_or_insert_with(|| before.to_vec());
                    self.at += 1;
                    let c = escape(self.text, &mut self.at).ok_or(JsonFault { offset: self.at, expected: "an escape such as `\\n` or `\\u00e9`" })?;
                    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(self.fault("a closing quote")),
            }
        }
    }
}

fn escape(text: &[u8], at: &mut usize) -> Option<char> {
    let kind = *text.get(*at)?;
    *at += 1;
    Some(match kind {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex(text, at)?;
            if (0xD800..0xDC00).contains(&high) {
                if text.get(*at..*at + 2)? != b"\\u" {
                    return None;
                }
                *at += 2;
                let low = hex(text, at)?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x10000 + ((high - 0xD800) << 10) + low);
            }
            return char::from_u32(high);
        }
        _ => return None,
    })
}

fn hex(text: &[u8], at: &mut usize) -> Option<u32> {
    let digits = text.get(*at..*at + 4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    *at += 4;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(line: &str) -> Result<Vec<(String, String)>, JsonFault> {
        let mut found = Vec::new();
        read_object::<JsonFault>(line.as_bytes(), |key, value| {
            let value = match value {
                JsonValue::Null => "null".into(),
                JsonValue::Boolean(value) => value.to_string(),
                JsonValue::Number(text) | JsonValue::Nested(text) => String::from_utf8_lossy(text).into_owned(),
                JsonValue::Text(text) => format!("'{}'", String::from_utf8_lossy(&text)),
            };
            found.push((String::from_utf8_lossy(&key).into_owned(), value));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn members_are_read_with_numbers_untouched() {
        let found = members(r#" {"a": 1.10, "b\n":"\u00e9\ud83e\udd80\"", "c":{"x":[1,{}]}, "d":null,"e":true } "#).unwrap();
        let expected = [("a", "1.10"), ("b\n", "'é🦀\"'"), ("c", r#"{"x":[1,{}]}"#), ("d", "null"), ("e", "true")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(members("{}"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_json_has_a_place() {
        for (line, offset) in [
            ("", 0),
            ("[1]", 0),
            ("{\"a\":}", 5),
            ("{\"a\":01}", 6),
            ("{\"a\":1,}", 7),
            ("{\"a\":\"\\x\"}", 8),
            ("{\"a\":\"", 6),
            ("{\"a\":1} x", 8),
            ("{\"a\":\"\\ud800\"}", 12),
            ("{\"a\":nul}", 5),
        ] {
            assert_eq!(members(line).map_err(|fault| fault.offset), Err(offset), "{line}");
        }
        assert!(members(&format!("{{\"a\":{}}}", "[".repeat(100_000))).is_err());
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_on_what_is_json(line in "[\\[\\]{}:,\"\\\\u0-9aeE.\\-+ tfn]{0,20}") {
            let serde: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&line);
            prop_assert_eq!(members(&line).is_ok(), serde.is_ok(), "{}", line);
        }

        #[test]
        fn strings_come_back(text in any::<String>()) {
            let line = serde_json::json!({"k": text}).to_string();
            prop_assert_eq!(members(&line).unwrap(), [("k".to_owned(), format!("'{text}'"))]);
        }
    }
}
