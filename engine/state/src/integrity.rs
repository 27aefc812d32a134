//! Checksums of stored rows, and the checks of the file itself.

use crate::StateError;
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// A value as stored: canonical JSON and the CRC-32 of it together with its key, so that a row copied to another key is noticed too.
pub(crate) struct Sealed {
    pub(crate) body: String,
    pub(crate) crc: i64,
}

pub(crate) fn seal(key: &str, value: &impl Serialize) -> Sealed {
    let body = serde_json::to_string(value).expect("state holds only text, numbers and times");
    let crc = checksum(key, &body);
    Sealed { body, crc }
}

pub(crate) fn unseal<T: DeserializeOwned>(place: &str, key: &str, body: &str, crc: i64) -> Result<T, StateError> {
    let damaged = |reason: String| StateError::Corrupt { place: place.to_owned(), reason };
    if checksum(key, body) != crc {
        return Err(damaged(format!("the checksum of `{key}` does not match")));
    }
    serde_json::from_str(body).map_err(|error| damaged(format!("`{key}` cannot be read: {error}")))
}

fn checksum(key: &str, body: &str) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key.as_bytes());
    hasher.update(body.as_bytes());
    i64::from(hasher.finalize())
}

/// Refuses file systems on which advisory locks or shared memory are unreliable.
pub(crate) fn refuse_network_file_system(path: &Path) -> Result<(), StateError> {
    // Magic numbers: statfs(2).
    const NFS: i64 = 0x6969;
    const SMB: i64 = 0x517b;
    const SMB2: i64 = 0xfe53_4d42;
    const CIFS: i64 = 0xff53_4d42;
    const V9FS: i64 = 0x0102_1997;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(found) = rustix::fs::statfs(folder) else { return Ok(()) };
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the width of f_type differs between platforms")]
    let kind = (found.f_type as i64) & 0xffff_ffff;
    if [NFS, SMB, SMB2, CIFS, V9FS].contains(&kind) { Err(StateError::NetworkFileSystem { path: path.to_owned() }) } else { Ok(()) }
}
