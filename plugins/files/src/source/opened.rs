//! One file as a stream of bytes: hashed while it is read, decompressed on the way, and proved complete at the end.

use super::listing::Found;
use crate::config::FileCompression;
use flate2::bufread::MultiGzDecoder;
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use xxhash_rust::xxh3::Xxh3;

const BUFFER_BYTES: usize = 256 << 10;

/// An opened text file.
pub(crate) struct Opened<'a> {
    file: &'a Found,
    hasher: Rc<RefCell<Hashing>>,
    /// The text, decompressed.
    pub(crate) text: Box<dyn BufRead>,
}

struct Hashing {
    file: File,
    hash: Xxh3,
    bytes: u64,
}

struct Shared(Rc<RefCell<Hashing>>);

impl Read for Shared {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut hashing = self.0.borrow_mut();
        let count = hashing.file.read(room)?;
        hashing.hash.update(&room[..count]);
        hashing.bytes += count as u64;
        Ok(count)
    }
}

impl<'a> Opened<'a> {
    /// Opens a file for one reading from start to end.
    pub(crate) fn new(file: &'a Found, compression: FileCompression) -> Result<Self, ConnectorError> {
        let handle = open(file)?;
        let hasher = Rc::new(RefCell::new(Hashing { file: handle, hash: Xxh3::new(), bytes: 0 }));
        let raw = BufReader::with_capacity(BUFFER_BYTES, Shared(Rc::clone(&hasher)));
        let text: Box<dyn BufRead> = match resolve(file, compression) {
            FileCompression::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw))),
            FileCompression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(|error| read_failed(file, error))?;
                Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
            }
            FileCompression::None | FileCompression::Auto => Box::new(raw),
        };
        Ok(Self { file, hasher, text })
    }

    /// The hash of the whole file, once its text was read to the end.
    ///
    /// # Errors
    /// When the file is not what it was when it was opened.
    pub(crate) fn finish(self) -> Result<String, ConnectorError> {
        drop(self.text);
        let mut hashing = Shared(self.hasher);
        // A decoder may stop before padding at the end of the file.
        io::copy(&mut hashing, &mut io::sink()).map_err(|error| read_failed(self.file, error))?;
        let hashing = hashing.0.borrow();
        check_unchanged(self.file, &hashing.file)?;
        if hashing.bytes != self.file.size {
            return Err(self.file.changed());
        }
        Ok(format!("{:032x}", hashing.hash.digest128()))
    }
}

/// The XXH3-128 of a file, hexadecimal.
pub(crate) fn hash_file(file: &Found) -> Result<String, ConnectorError> {
    Opened::new(file, FileCompression::None)?.finish()
}

/// Opens a file that must still be what the listing saw.
pub(crate) fn open(file: &Found) -> Result<File, ConnectorError> {
    let handle = File::open(&file.absolute).map_err(|error| ConnectorError::io("open file", &file.absolute, error))?;
    check_unchanged(file, &handle)?;
    Ok(handle)
}

/// Refuses a file that grew, shrank, was written to or replaced.
pub(crate) fn check_unchanged(file: &Found, handle: &File) -> Result<(), ConnectorError> {
    let failed = |error| ConnectorError::io("read file", &file.absolute, error);
    let by_handle = handle.metadata().map_err(failed)?;
    let by_name = std::fs::metadata(&file.absolute).map_err(failed)?;
    if file.is_unchanged(&by_handle) && file.is_unchanged(&by_name) { Ok(()) } else { Err(file.changed()) }
}

/// An error of the disk or of decompression.
pub(crate) fn read_failed(file: &Found, error: io::Error) -> ConnectorError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            ConnectorError::new(ErrorKind::BadData, format!("file `{}` is cut off: its compressed data does not end", file.path)).with_help("copy the file again")
        }
        // What a decoder says of bytes that are not its own.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            ConnectorError::new(ErrorKind::BadData, format!("file `{}` cannot be decompressed", file.path))
                .with_source(error)
                .with_help("set `compression` of the connection to what the files are, or copy the file again")
        }
        _ => ConnectorError::io("read file", &file.absolute, error),
    }
}

fn resolve(file: &Found, compression: FileCompression) -> FileCompression {
    match compression {
        FileCompression::Auto => match file.path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
            Some("gz" | "gzip") => FileCompression::Gzip,
            Some("zst" | "zstd") => FileCompression::Zstd,
            _ => FileCompression::None,
        },
        named => named,
    }
}
