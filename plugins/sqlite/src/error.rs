//! SQLite's errors as ours, with the database named.

use karat_plugin_api::{ConnectorError, ErrorKind};
use rusqlite::ErrorCode;
use std::path::Path;

/// An error of SQLite while doing `action` in the database at `path`.
pub(crate) fn wrap(action: &str, path: &Path, error: rusqlite::Error) -> ConnectorError {
    let (kind, help) = judge(&error);
    let wrapped = ConnectorError::new(kind, format!("cannot {action} in database `{}`", path.display())).with_source(error);
    match help {
        Some(help) => wrapped.with_help(help),
        None => wrapped,
    }
}

fn judge(error: &rusqlite::Error) -> (ErrorKind, Option<&'static str>) {
    let Some(code) = error.sqlite_error_code() else {
        return match error {
            rusqlite::Error::NulError(_) => (ErrorKind::BadConfiguration, Some("remove the NUL character from the name or the query")),
            rusqlite::Error::MultipleStatement => (ErrorKind::BadConfiguration, Some("write one SELECT without a semicolon")),
            rusqlite::Error::SqlInputError { .. } => (ErrorKind::BadConfiguration, Some("try the query in the `sqlite3` shell")),
            rusqlite::Error::InvalidQuery => (ErrorKind::BadConfiguration, Some("write a SELECT")),
            _ => (ErrorKind::Bug, None),
        };
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged | ErrorCode::FileLockingProtocolFailed => {
            (ErrorKind::Busy, Some("another program holds the database locked; run again when it is done"))
        }
        ErrorCode::DatabaseCorrupt => (ErrorKind::Corrupt, Some("check it with `PRAGMA integrity_check`, and restore it from a backup")),
        ErrorCode::NotADatabase => (ErrorKind::BadConfiguration, Some("`path` must name a SQLite database file (an encrypted one cannot be read)")),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => (ErrorKind::PermissionDenied, None),
        ErrorCode::ReadOnly => (ErrorKind::BadConfiguration, Some("the database is opened read-only; if a writer left a journal behind, let it open the database once")),
        ErrorCode::CannotOpen => (ErrorKind::PermissionDenied, Some("make the file and its folder readable; a database in WAL mode also needs its `-wal` and `-shm` files")),
        ErrorCode::DiskFull => (ErrorKind::NoSpace, Some("sorting needs room in the temporary folder: set SQLITE_TMPDIR, or index the cursor")),
        ErrorCode::OutOfMemory => (ErrorKind::OutOfMemory, None),
        ErrorCode::OperationInterrupted => (ErrorKind::Cancelled, None),
        ErrorCode::SystemIoFailure => (ErrorKind::Unreachable, None),
        ErrorCode::TooBig => (ErrorKind::BadData, None),
        ErrorCode::Unknown => (ErrorKind::BadConfiguration, Some("try the query in the `sqlite3` shell")),
        _ => (ErrorKind::Bug, None),
    }
}
