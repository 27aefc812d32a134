//! Opening a database, read-only.

use crate::error::wrap;
use karat_plugin_api::{ConnectorError, ErrorKind};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// How long a locked database is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the database and proves that it can be read.
pub(crate) fn open(path: &Path) -> Result<Connection, ConnectorError> {
    match std::fs::metadata(path) {
        Err(error) => return Err(ConnectorError::io("open database", path, error).with_help("`path` is relative to the project; create the database first")),
        Ok(metadata) if metadata.is_dir() => {
            return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("`{}` is a folder, not a database file", path.display())).with_help("name the file in `path`"));
        }
        Ok(_) => {}
    }
    match connect(path) {
        // In WAL mode SQLite wants to create the `-shm` file beside the database, which a read-only folder forbids.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !has_pending_changes(path) => connect(Path::new(&immutable_uri(path))),
        other => other,
    }
    .map_err(|error| wrap("begin reading", path, error))
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A view in a foreign database must not call what it likes.
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    // Pages are read once and in order, so a small cache is as good as a large one.
    connection.pragma_update(None, "cache_size", -8_000)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// True when a journal lies beside the database, so that its file alone is not the whole truth.
fn has_pending_changes(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(Path::new(&name)).is_ok_and(|metadata| metadata.len() > 0)
    })
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// A name in SQL, whatever it contains.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
