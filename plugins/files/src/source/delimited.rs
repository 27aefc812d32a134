//! CSV records: fields, quotes and line ends, and nothing about types.

use super::record::{Fault, LONGEST_RECORD_BYTES};
use std::io::BufRead;

/// Reads records one after the other; its room is used again for each.
pub(crate) struct Records<'a> {
    text: &'a mut dyn BufRead,
    delimiter: u8,
    quote: Option<u8>,
    /// The fields of the current record, one after the other.
    bytes: Vec<u8>,
    /// End of each field in `bytes`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
    /// Line on which the next record begins, from 1.
    next_line: u64,
    /// Line on which the current record began.
    pub(crate) line: u64,
    at_start: bool,
    skip_line_feed: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: the second of two, or the end.
    QuoteSeen,
}

impl<'a> Records<'a> {
    /// Reads `text` from its start; a byte-order mark is skipped.
    pub(crate) fn new(text: &'a mut dyn BufRead, delimiter: u8, quote: Option<u8>) -> Self {
        Self { text, delimiter, quote, bytes: Vec::new(), ends: Vec::new(), next_line: 1, line: 1, at_start: true, skip_line_feed: false }
    }

    /// How many fields the current record has.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field of the current record, and whether it was quoted.
    #[inline]
    pub(crate) fn field(&self, at: usize) -> Option<(&[u8], bool)> {
        let (end, quoted) = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1].0 };
        self.bytes.get(start..end).map(|field| (field, quoted))
    }

    /// Bytes of the current record's fields.
    pub(crate) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// True for a line without anything on it.
    pub(crate) fn is_blank(&self) -> bool {
        self.bytes.is_empty() && self.ends.len() == 1 && !self.ends[0].1
    }

    /// Reads the next record; false after the last.
    pub(crate) fn advance(&mut self) -> Result<bool, Fault> {
        self.bytes.clear();
        self.ends.clear();
        if self.at_start {
            self.at_start = false;
            self.skip_mark()?;
        }
        self.line = self.next_line;
        let mut state = State::FieldStart;
        let mut quoted = false;
        loop {
            let chunk = self.text.fill_buf().map_err(Fault::Io)?;
            if chunk.is_empty() {
                return self.end_of_text(state, quoted);
            }
            let mut used = 0;
            let mut is_complete = false;
            while used < chunk.len() {
                let byte = chunk[used];
                if self.skip_line_feed {
                    self.skip_line_feed = false;
                    if byte == b'\n' {
                        used += 1;
                        continue;
                    }
                }
                match state {
                    State::Quoted => {
                        // Everything up to the next quote belongs to the field.
                        let rest = &chunk[used..];
                        let length = rest.iter().position(|byte| Some(*byte) == self.quote).unwrap_or(rest.len());
                        self.next_line += rest[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
                        self.bytes.extend_from_slice(&rest[..length]);
                        used += length;
                        if length < rest.len() {
                            state = State::QuoteSeen;
                            used += 1;
                        }
                        continue;
                    }
                    State::Unquoted | State::FieldStart
                        if byte != self.delimiter && byte != b'\n' && byte != b'\r' && !(state == State::FieldStart && Some(byte) == self.quote) =>
                    {
                        let rest = &chunk[used..];
                        let length = rest.iter().position(|byte| *byte == self.delimiter || *byte == b'\n' || *byte == b'\r').unwrap_or(rest.len());
                        self.bytes.extend_from_slice(&rest[..length]);
                        used += length;
                        state = State::Unquoted;
                        continue;
                    }
                    State::QuoteSeen if Some(byte) == self.quote => {
                        self.bytes.push(byte);
                        state = State::Quoted;
                    }
                    State::FieldStart if Some(byte) == self.quote => {
                        quoted = true;
                        state = State::Quoted;
                    }
                    _ if byte == self.delimiter => {
                        self.ends.push((self.bytes.len(), quoted));
                        quoted = false;
                        state = State::FieldStart;
                    }
                    _ if byte == b'\n' || byte == b'\r' => {
                        self.skip_line_feed = byte == b'\r';
                        is_complete = true;
                    }
                    _ => return Err(Fault::TextAfterQuote { line: self.next_line }),
                }
                used += 1;
                if is_complete {
                    break;
                }
            }
            self.text.consume(used);
            if is_complete {
                self.ends.push((self.bytes.len(), quoted));
                self.next_line += 1;
                return Ok(true);
            }
            if self.bytes.len() > LONGEST_RECORD_BYTES {
                return Err(Fault::TooLong { line: self.line });
            }
        }
    }

    fn end_of_text(&mut self, state: State, quoted: bool) -> Result<bool, Fault> {
        if state == State::Quoted {
            return Err(Fault::OpenQuote { line: self.line });
        }
        if state == State::FieldStart && self.ends.is_empty() {
            return Ok(false);
        }
        self.ends.push((self.bytes.len(), quoted));
        Ok(true)
    }

    fn skip_mark(&mut self) -> Result<(), Fault> {
        let chunk = self.text.fill_buf().map_err(Fault::Io)?;
        if chunk.starts_with(b"\xef\xbb\xbf") {
            self.text.consume(3);
        } else if chunk.starts_with(b"\xff\xfe") || chunk.starts_with(b"\xfe\xff") {
            return Err(Fault::Utf16);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn records(text: &[u8], chunk: usize) -> Result<Vec<(u64, Vec<String>)>, Fault> {
        let mut reader = BufReader::with_capacity(chunk, text);
        let mut records = Records::new(&mut reader, b',', Some(b'"'));
        let mut found = Vec::new();
        while records.advance()? {
            let fields = (0..records.len()).map(|at| String::from_utf8_lossy(records.field(at).unwrap().0).into_owned()).collect();
            found.push((records.line, fields));
        }
        Ok(found)
    }

    fn check(text: &str, expected: &[(u64, &[&str])]) {
        for chunk in [3, 5, 1000] {
            let found = records(text.as_bytes(), chunk).unwrap();
            let found: Vec<(u64, Vec<&str>)> = found.iter().map(|(line, fields)| (*line, fields.iter().map(String::as_str).collect())).collect();
            assert_eq!(found, expected.iter().map(|(line, fields)| (*line, fields.to_vec())).collect::<Vec<_>>(), "{text:?} by {chunk}");
        }
    }

    #[test]
    fn fields_quotes_and_line_ends_are_read_as_rfc_4180_says() {
        check("a,b\n1,2\n", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("\u{feff}a,b\r\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("\"x\ny\",\"say \"\"hi\"\"\"\n,\n", &[(1, &["x\ny", "say \"hi\""]), (3, &["", ""])]);
        check("a\r\rb\r\n", &[(1, &["a"]), (2, &[""]), (3, &["b"])]);
        check("5\" disk,\"\"\n", &[(1, &["5\" disk", ""])]);
        check("a,", &[(1, &["a", ""])]);
        check("", &[]);
    }

    #[test]
    fn broken_quotes_are_faults_with_their_line() {
        assert!(matches!(records(b"a\n\"b", 4), Err(Fault::OpenQuote { line: 2 })));
        assert!(matches!(records(b"a\n\"b\"c\n", 4), Err(Fault::TextAfterQuote { line: 2 })));
        assert!(matches!(records(b"\xff\xfea\0", 4), Err(Fault::Utf16)));
    }

    #[test]
    fn a_record_without_end_is_a_fault_and_not_all_the_memory() {
        let endless = std::io::repeat(b'x').take(200 << 20);
        let mut reader = BufReader::with_capacity(1 << 20, endless);
        let mut records = Records::new(&mut reader, b',', Some(b'"'));
        assert!(matches!(records.advance(), Err(Fault::TooLong { line: 1 })));
        assert!(records.bytes.capacity() < 150 << 20);
    }

    use std::io::Read;

    proptest! {
        #[test]
        fn what_is_written_with_quotes_comes_back(rows in prop::collection::vec(prop::collection::vec("[a,\"\n\r é]{0,6}", 2..4), 1..6), chunk in 3_usize..20) {
            let text: String = rows.iter().map(|row| row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect::<Vec<_>>().join(",") + "\n").collect();
            let found: Vec<Vec<String>> = records(text.as_bytes(), chunk).unwrap().into_iter().map(|(_, fields)| fields).collect();
            prop_assert_eq!(found, rows);
        }
    }
}
