//! Which files were read already, by path, size, time and content.

use super::listing::{Found, Listing};
use super::opened::hash_file;
use karat_plugin_api::{ConnectorError, ErrorKind, FileIdentity, Position, ReadStrategy};
use std::collections::BTreeMap;

/// What to read, and what is known of the rest.
pub(crate) struct Work<'a> {
    /// Files to read, in the order of their paths.
    pub(crate) unread: Vec<&'a Found>,
    /// What the position says of files that are not read now, by path.
    pub(crate) ledger: BTreeMap<String, FileIdentity>,
}

/// Compares a listing with what was read before.
pub(crate) fn work<'a>(listing: &'a Listing, strategy: &ReadStrategy) -> Result<Work<'a>, ConnectorError> {
    let ReadStrategy::NewFiles { known } = strategy else {
        return Ok(Work { unread: listing.files.iter().collect(), ledger: BTreeMap::new() });
    };
    // Files that are gone stay known: their rows were delivered.
    let mut ledger: BTreeMap<String, FileIdentity> = known.iter().map(|file| (file.path.clone(), file.clone())).collect();
    let mut unread = Vec::new();
    let mut touched = Vec::new();
    for file in &listing.files {
        match ledger.get(&file.path) {
            None => unread.push(file),
            Some(known) if is_same(known, file) => {}
            Some(known) => {
                let hash = hash_file(file)?;
                if hash != known.hash {
                    return Err(ConnectorError::new(ErrorKind::Refused, format!("file `{}` changed after it was read", file.path))
                        .with_help("files that were read must stay as they are: write new rows into new files, or read everything again with `karat run --full-refresh`"));
                }
                touched.push(identity(file, hash));
            }
        }
    }
    // A new time alone moves no position: an idle run ends exactly where it began.
    if !unread.is_empty() {
        ledger.extend(touched.into_iter().map(|file| (file.path.clone(), file)));
    }
    Ok(Work { unread, ledger })
}

/// Where a read would end, without reading rows.
pub(crate) fn probe(listing: &Listing, strategy: &ReadStrategy, committed: &Position) -> Result<Position, ConnectorError> {
    let Work { unread, mut ledger } = work(listing, strategy)?;
    let known: BTreeMap<&str, &FileIdentity> = match committed {
        Position::Files { files } => files.iter().map(|file| (file.path.as_str(), file)).collect(),
        _ => BTreeMap::new(),
    };
    for file in unread {
        let seen = match known.get(file.path.as_str()) {
            Some(known) if is_same(known, file) => (*known).clone(),
            known => {
                let hash = hash_file(file)?;
                // The same content with a new time is the same file.
                known.filter(|known| known.hash == hash).map_or_else(|| identity(file, hash), |known| (*known).clone())
            }
        };
        ledger.insert(file.path.clone(), seen);
    }
    Ok(position(ledger))
}

/// The position after all these files.
pub(crate) fn position(ledger: BTreeMap<String, FileIdentity>) -> Position {
    Position::Files { files: ledger.into_values().collect() }
}

/// What the ledger remembers of a file.
pub(crate) fn identity(file: &Found, hash: String) -> FileIdentity {
    FileIdentity { path: file.path.clone(), size: file.size, modified_ns: file.modified_ns, hash }
}

fn is_same(known: &FileIdentity, file: &Found) -> bool {
    known.size == file.size && known.modified_ns == file.modified_ns
}
