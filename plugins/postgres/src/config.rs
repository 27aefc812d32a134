//! The keys of a connection.

use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// A PostgreSQL database: either `url`, or its parts; a part wins over the same part of the URL.
///
/// A host that is this machine (loopback, or a folder that holds a unix socket) is spoken to without encryption unless `sslmode` says otherwise;
/// to any other host the connection is encrypted, and certificate and name of the server are verified.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database`. Take it from the environment: `${NAME}`.
    pub url: Option<String>,
    /// Name or address of the server, or the folder of its unix socket.
    pub host: Option<String>,
    /// Port; default: 5432.
    pub port: Option<u16>,
    /// The database; default: named like the user.
    pub database: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The password. Take it from the environment: `${NAME}`.
    pub password: Option<String>,
    /// How the connection is encrypted. Default: `verify_full`; `disable` for loopback addresses and unix sockets.
    pub sslmode: Option<SslMode>,
    /// Certificate of a private authority in PEM form, relative to the project; default: the authorities that browsers know.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URL and password are secrets.
        out.debug_struct("PostgresConfig").field("host", &self.host).field("port", &self.port).field("database", &self.database).finish_non_exhaustive()
    }
}

/// How a connection is encrypted. It is never less than what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// Encrypted; the server is not verified.
    Require,
    /// Encrypted; the server's certificate is verified.
    VerifyCa,
    /// Encrypted; the server's certificate and name are verified.
    VerifyFull,
}
