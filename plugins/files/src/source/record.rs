//! What can be wrong with a line of text, and how it is told.

use super::listing::Found;
use super::opened::read_failed;
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::io::{self, BufRead};

/// A longer line is a mistake in the file, and would otherwise take all memory.
pub(crate) const LONGEST_RECORD_BYTES: usize = 64 << 20;

/// Something wrong with a text file, before anybody knows which.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Reading or decompressing failed.
    Io(io::Error),
    /// A record is longer than memory should hold.
    TooLong { line: u64 },
    /// A quote is never closed.
    OpenQuote { line: u64 },
    /// Text stands between a closing quote and the delimiter.
    TextAfterQuote { line: u64 },
    /// The file is not UTF-8 but UTF-16.
    Utf16,
    /// Bytes that are not UTF-8.
    NotUtf8 { line: u64, offset: usize },
}

impl Fault {
    /// The error, with its file.
    pub(crate) fn of(self, file: &Found) -> ConnectorError {
        let path = &file.path;
        let bad = |text: String, help: &str| ConnectorError::new(ErrorKind::BadData, text).with_help(help);
        match self {
            Self::Io(error) => read_failed(file, error),
            Self::TooLong { line } => bad(format!("file `{path}`, line {line}: the record is longer than 64 MiB"), "check `delimiter`, `quote` and the line ends of the file"),
            Self::OpenQuote { line } => {
                bad(format!("file `{path}`, line {line}: a quote is opened and never closed"), "close the quote, or set `quote: \"\"` if quotes mean nothing in these files")
            }
            Self::TextAfterQuote { line } => bad(
                format!("file `{path}`, line {line}: text follows a closing quote"),
                "write a quote inside a quoted field twice, or set `quote: \"\"` if quotes mean nothing in these files",
            ),
            Self::Utf16 => bad(format!("file `{path}` is UTF-16"), "convert the file to UTF-8"),
            Self::NotUtf8 { line, offset } => bad(format!("file `{path}`, line {line}: byte {} of the line is not UTF-8", offset + 1), "convert the file to UTF-8"),
        }
    }
}

/// Reads one line into `line`, without its end; false after the last.
pub(crate) fn read_line(text: &mut dyn BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, Fault> {
    line.clear();
    let mut any = false;
    loop {
        let chunk = text.fill_buf().map_err(Fault::Io)?;
        if chunk.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..length]);
        text.consume(length + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(true);
        }
        if line.len() > LONGEST_RECORD_BYTES {
            return Err(Fault::TooLong { line: number });
        }
    }
}
