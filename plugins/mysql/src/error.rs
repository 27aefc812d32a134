//! Errors of the server, the driver and the network as ours: one place that judges them.

use crate::config::Server;
use karat_plugin_api::{ConnectorError, ErrorKind};
use std::error::Error;
use std::{fmt, io};

/// What went wrong below SQL, whichever of our two ways to the server was used.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server's own words.
    Server {
        /// Its number, such as 1146.
        code: u16,
        /// SQLSTATE.
        state: String,
        /// Its text.
        message: String,
    },
    /// The connection broke.
    Io(io::Error),
    /// What came is not the protocol, or not of this server's kind.
    Protocol(&'static str),
    /// The server asks for a login that is not offered here.
    Login(String),
    /// Anything else that the driver says.
    Driver(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { code, state, message } => write!(out, "error {code} ({state}): {message}"),
            Self::Io(error) => write!(out, "{error}"),
            Self::Protocol(text) => out.write_str(text),
            Self::Login(plugin) => write!(out, "the server asks for the login method `{plugin}`"),
            Self::Driver(error) => write!(out, "{error}"),
        }
    }
}

impl Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<mysql_async::Error> for Fault {
    fn from(error: mysql_async::Error) -> Self {
        match error {
            mysql_async::Error::Server(error) => Self::Server { code: error.code, state: error.state, message: error.message },
            mysql_async::Error::Io(mysql_async::IoError::Io(error)) => Self::Io(error),
            mysql_async::Error::Driver(mysql_async::DriverError::ConnectionClosed) => Self::Io(io::ErrorKind::UnexpectedEof.into()),
            mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer) => Self::Protocol(NO_TLS),
            other => Self::Driver(Box::new(other)),
        }
    }
}

/// Said when TLS is wanted and the server has none.
pub(crate) const NO_TLS: &str = "the server offers no encryption";

/// An error while doing `action`, such as "read table `t`".
pub(crate) fn wrap(action: &str, server: &Server, fault: impl Into<Fault>) -> ConnectorError {
    let fault = fault.into();
    let (kind, help) = judge(&fault);
    let error = ConnectorError::new(kind, format!("cannot {action} at MySQL server `{server}`")).with_source(fault);
    match help {
        Some(help) => error.with_help(help),
        None => error,
    }
}

/// What kind of error it is, and how to mend it.
pub(crate) fn judge(fault: &Fault) -> (ErrorKind, Option<&'static str>) {
    match fault {
        Fault::Server { code, state, message } => judge_code(*code, state, message),
        Fault::Io(error) => (ErrorKind::Unreachable, judge_io(error)),
        Fault::Protocol(text) if *text == NO_TLS => (ErrorKind::BadConfiguration, Some("set up TLS at the server, or say `sslmode: disable` where the network is trusted")),
        Fault::Protocol(_) => (ErrorKind::Unreachable, Some("check that `host` and `port` are those of a MySQL or MariaDB server")),
        Fault::Login(_) => (ErrorKind::Unsupported, Some("use an account with `mysql_native_password` or `caching_sha2_password`")),
        Fault::Driver(error) if error.to_string().to_ascii_lowercase().contains("certificate") => {
            (ErrorKind::PermissionDenied, Some("name the authority that signed the server's certificate in `ca`, and the server as its certificate does in `host`"))
        }
        Fault::Driver(_) => (ErrorKind::Unreachable, None),
    }
}

fn judge_io(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("start the server, or correct `host` and `port`"),
        io::ErrorKind::NotFound => Some("correct the path of the socket"),
        io::ErrorKind::TimedOut => Some("check the network between here and the server"),
        io::ErrorKind::InvalidData => Some("check `sslmode`, `ca`, and that the certificate names the server as `host` does"),
        _ => None,
    }
}

fn judge_code(code: u16, state: &str, message: &str) -> (ErrorKind, Option<&'static str>) {
    match code {
        1205 | 1213 | 1206 | 3572 | 1412 | 1615 | 1637 => (ErrorKind::Busy, Some("other transactions hold locks; it is tried again")),
        1040 | 1203 | 1226 => (ErrorKind::Busy, Some("allow more connections at the server, or lower `parallel`")),
        1290 | 1836 | 1792 => (ErrorKind::Busy, Some("the server is read-only, as during a failover; write to the primary")),
        1317 => (ErrorKind::Busy, Some("somebody stopped the statement at the server")),
        1969 | 3024 => (ErrorKind::Busy, Some("the server limits how long statements may run (`max_statement_time`, `max_execution_time`)")),
        1053 | 1077..=1079 | 1152 | 1154..=1161 | 1184 | 1927 | 2002 | 2003 | 2005 | 2006 | 2013 | 2055 | 4031 => (ErrorKind::Unreachable, None),
        3750 => {
            (ErrorKind::BadConfiguration, Some("give the table a `key`, or set `sql_generate_invisible_primary_key` at the server, which takes no table without a primary key"))
        }
        1049 => (ErrorKind::NotFound, Some("correct `database`, or create it")),
        1051 | 1146 => (ErrorKind::NotFound, None),
        1054 => (ErrorKind::SchemaMismatch, Some("run `karat lock` to see what changed at the source")),
        1045 | 1698 | 1862 | 3118 | 4151 => (ErrorKind::PermissionDenied, Some("correct `user` and `password`, or unlock the account")),
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 => (ErrorKind::PermissionDenied, Some("grant the missing privilege to the user")),
        1021 | 1114 => (ErrorKind::NoSpace, Some("make room on the server's disks")),
        3 | 1026 | 1030 if message.contains("28") => (ErrorKind::NoSpace, Some("make room on the server's disks, also in its `tmpdir`")),
        1037 | 1038 | 1041 | 5 => (ErrorKind::OutOfMemory, Some("give the server more memory")),
        1034 | 1035 | 1194 | 1195 | 1712 => (ErrorKind::Corrupt, Some("check the table with `CHECK TABLE`")),
        1064 | 1149 | 1055 | 1140 => (ErrorKind::BadConfiguration, Some("try the query in the `mariadb` or `mysql` client")),
        1153 => (ErrorKind::BadData, Some("raise `max_allowed_packet` at the server")),
        _ => match state.get(..2) {
            Some("08") => (ErrorKind::Unreachable, None),
            Some("40") => (ErrorKind::Busy, None),
            Some("22" | "23") => (ErrorKind::BadData, None),
            Some("28") => (ErrorKind::PermissionDenied, None),
            _ => (ErrorKind::BadConfiguration, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: u16, state: &str, message: &str) -> ErrorKind {
        judge(&Fault::Server { code, state: state.into(), message: message.into() }).0
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for code in [1205, 1213, 2006, 2013, 1927, 1053, 1040, 1317, 1290, 4031] {
            assert!(kind(code, "HY000", "").is_transient(), "{code}");
        }
        for code in [1146, 1045, 1064, 1054, 1114, 1062, 1366, 1227] {
            assert!(!kind(code, "HY000", "").is_transient(), "{code}");
        }
        assert_eq!(kind(1030, "HY000", "Got error 28 \"No space left on device\" from storage engine"), ErrorKind::NoSpace);
        assert_eq!(kind(9999, "40001", ""), ErrorKind::Busy);
    }
}
