//! The driver's errors as ours: what was being done, on which object, and a cure.

use karat_plugin_api::{ConnectorError, ErrorKind};
use sqlx::postgres::PgDatabaseError;
use std::fmt::Write;

/// An error of the server or of the connection while doing `action`: "read table `public.trades`".
pub(crate) fn wrap(action: &str, error: sqlx::Error) -> ConnectorError {
    let (kind, help) = judge(&error);
    let mut message = format!("cannot {action}");
    // Messages of these classes quote the row's values, which belong in no log.
    let quotes_values = match state(&error) {
        Some(code) if code.starts_with("22") || code.starts_with("23") => {
            describe_without_values(&mut message, &error, code);
            true
        }
        _ => false,
    };
    let wrapped = ConnectorError::new(kind, message);
    let wrapped = if quotes_values { wrapped } else { wrapped.with_source(error) };
    match help {
        Some(help) => wrapped.with_help(help),
        None => wrapped,
    }
}

/// The SQLSTATE of an error that the server sent.
pub(crate) fn state(error: &sqlx::Error) -> Option<&str> {
    server_error(error).map(PgDatabaseError::code)
}

fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    match error {
        sqlx::Error::Database(database) => database.try_downcast_ref::<PgDatabaseError>(),
        _ => None,
    }
}

fn describe_without_values(message: &mut String, error: &sqlx::Error, code: &str) {
    let meaning = match code {
        "22001" => "a text is longer than its column",
        "22003" => "a number is out of range",
        "22007" | "22008" => "a date or time is out of range or of another form",
        "22012" => "an expression divides by zero",
        "22021" => "a text does not fit the database's encoding",
        "22P02" | "22P03" => "a value has another form than its type",
        "22P05" => "a character does not exist in UTF-8 or in the database's encoding",
        "23502" => "a column may not be NULL",
        "23503" => "a row refers to one that does not exist",
        "23505" => "a unique key exists already",
        "23514" => "a row breaks a CHECK constraint",
        _ => "a value is not taken",
    };
    // Writing into a string cannot fail.
    let _infallible = write!(message, ": {meaning} (SQLSTATE {code})");
    let Some(error) = server_error(error) else { return };
    for (what, name) in [("table", error.table()), ("column", error.column()), ("constraint", error.constraint())] {
        if let Some(name) = name {
            let _infallible = write!(message, ", {what} `{name}`");
        }
    }
}

fn judge(error: &sqlx::Error) -> (ErrorKind, Option<&'static str>) {
    match error {
        sqlx::Error::Database(_) => judge_state(state(error).unwrap_or_default()),
        sqlx::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => (ErrorKind::Unreachable, Some("is the server running, and are host and port right?")),
            std::io::ErrorKind::PermissionDenied => (ErrorKind::PermissionDenied, Some("make the server's socket readable for this user")),
            // The handshake fails so when a certificate is not trusted.
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => (ErrorKind::BadConfiguration, VERIFY),
            _ => (ErrorKind::Unreachable, None),
        },
        sqlx::Error::Tls(_) => (ErrorKind::BadConfiguration, VERIFY),
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => (ErrorKind::BadConfiguration, None),
        sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => (ErrorKind::Unreachable, None),
        _ => (ErrorKind::Bug, None),
    }
}

const VERIFY: Option<&str> =
    Some("name the server's authority in `ca`, connect by the name that is in its certificate, or say with `sslmode` what shall be verified; nothing is sent unencrypted instead");

const TRY_IN_PSQL: Option<&str> = Some("try the query in `psql`, with `SET search_path = public`");

fn judge_state(code: &str) -> (ErrorKind, Option<&'static str>) {
    match code {
        "40001" | "40P01" | "55006" | "72000" => (ErrorKind::Busy, None),
        "55P03" => (ErrorKind::Busy, Some("another session holds a lock on the table; see `pg_locks`")),
        "57014" => (ErrorKind::Busy, Some("somebody cancelled the query at the server")),
        "53300" => (ErrorKind::Busy, Some("the server has no connection left: raise `max_connections`, or lower `jobs` and `parallel`")),
        "21000" => (ErrorKind::BadData, Some("two rows of one load have the same key, or a subquery gives more than one row")),
        "53100" => (ErrorKind::NoSpace, Some("make room on the server's disk; an index on the cursor and the key saves sorting there")),
        "53400" => (ErrorKind::NoSpace, Some("the server's `temp_file_limit` is reached; an index on the cursor and the key saves sorting there")),
        "53200" => (ErrorKind::OutOfMemory, Some("the server has no memory left")),
        "42P01" | "3F000" => (ErrorKind::NotFound, Some("tables without a schema are looked for in `public`; write `schema.table`")),
        "3D000" => (ErrorKind::NotFound, Some("create the database, or correct `database` of the connection")),
        "42703" => (ErrorKind::SchemaMismatch, Some("run `karat lock` to see what changed at the source")),
        "28P01" | "28000" => (ErrorKind::PermissionDenied, Some("correct `user` and `password` of the connection, or the server's `pg_hba.conf`")),
        "42501" => (ErrorKind::PermissionDenied, Some("GRANT the connection's user what it needs: SELECT on what is read; CREATE and TEMPORARY for targets")),
        "25006" => (ErrorKind::BadConfiguration, Some("sources are only read: the query or a function in it wants to write; a target must not be a standby")),
        "40003" | "08007" => (ErrorKind::UnknownOutcome, None),
        "XX001" | "XX002" => (ErrorKind::Corrupt, Some("the server found a damaged page: check its disk, and restore from a backup")),
        _ => match code.get(..2).unwrap_or_default() {
            // Connections that break, servers that stop or recover, and errors that the server itself did not expect.
            "08" | "57" | "58" | "XX" | "25" => (ErrorKind::Unreachable, None),
            "53" | "55" => (ErrorKind::Busy, None),
            "40" => (ErrorKind::Busy, None),
            "22" | "23" => (ErrorKind::BadData, None),
            "0A" => (ErrorKind::Unsupported, None),
            "42" => (ErrorKind::BadConfiguration, TRY_IN_PSQL),
            "28" => (ErrorKind::PermissionDenied, None),
            _ => (ErrorKind::BadConfiguration, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_judged_by_what_helps() {
        for (code, kind) in [
            ("40001", ErrorKind::Busy),
            ("40P01", ErrorKind::Busy),
            ("55P03", ErrorKind::Busy),
            ("57P01", ErrorKind::Unreachable),
            ("57P03", ErrorKind::Unreachable),
            ("08006", ErrorKind::Unreachable),
            ("25P03", ErrorKind::Unreachable),
            ("42P01", ErrorKind::NotFound),
            ("42703", ErrorKind::SchemaMismatch),
            ("28P01", ErrorKind::PermissionDenied),
            ("53100", ErrorKind::NoSpace),
            ("22P02", ErrorKind::BadData),
            ("42601", ErrorKind::BadConfiguration),
        ] {
            assert_eq!(judge_state(code).0, kind, "{code}");
        }
    }
}
