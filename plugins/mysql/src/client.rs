//! Sessions at a server: connecting, TLS, and settings that no default of the server may change.
//!
//! Both ways to a server pin the same settings: the driver's connections here, which write and ask, and the reading sessions of `wire`.

use crate::config::{Server, SslMode};
use crate::error::{Fault, wrap};
use karat_plugin_api::{ConnectorError, ErrorKind};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};
use std::io;
use std::time::Duration;

/// How long a server may take to answer a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Packets that we accept: the protocol's own limit.
pub(crate) const MAX_PACKET: usize = 1 << 30;

/// Which of the two families a server belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// MySQL, and what calls itself so.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl Family {
    /// The family of a server that gives this version.
    pub(crate) fn of_version(version: &str) -> Self {
        if version.to_ascii_lowercase().contains("mariadb") { Self::MariaDb } else { Self::MySql }
    }
}

/// The statement that makes a session independent of the server's global settings.
///
/// Reads wait for a slow taker, so writing to the network may take an hour; rows are never cut by limits that somebody set for people.
pub(crate) fn pins(family: Family) -> String {
    let family_pins = match family {
        Family::MariaDb => {
            "max_statement_time = 0, idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0, query_cache_type = OFF, tx_isolation = 'REPEATABLE-READ'"
        }
        Family::MySql => "max_execution_time = 0, transaction_isolation = 'REPEATABLE-READ'",
    };
    format!(
        "SET NAMES utf8mb4, SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, wait_timeout = 28800, interactive_timeout = 28800, \
         net_write_timeout = 3600, net_read_timeout = 3600, lock_wait_timeout = 60, innodb_lock_wait_timeout = 50, sql_select_limit = 18446744073709551615, \
         sql_big_selects = 1, sql_auto_is_null = 0, group_concat_max_len = 1073741824, sql_quote_show_create = 1, {family_pins}"
    )
}

/// A name in SQL, whatever it contains.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Text as a literal in SQL; needs a session of ours, in which backslashes escape.
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// Opens a connection of the driver, pinned: for writing, and for logins that only the driver knows.
///
/// # Errors
/// [`ErrorKind::Unreachable`] when nobody answers, [`ErrorKind::PermissionDenied`] when the login or the certificate is refused.
pub(crate) async fn connect(server: &Server) -> Result<Conn, ConnectorError> {
    let failed = |fault: Fault| wrap("connect", server, fault);
    let mut connection = login(server).await.map_err(failed)?;
    let version: Option<String> = connection.query_first("SELECT VERSION()").await.map_err(|error| failed(error.into()))?;
    let family = Family::of_version(&version.ok_or_else(|| ConnectorError::new(ErrorKind::Bug, "the server says no version"))?);
    connection.query_drop(pins(family)).await.map_err(|error| failed(error.into()))?;
    Ok(connection)
}

/// Logs in with the driver, without pins.
pub(crate) async fn login(server: &Server) -> Result<Conn, Fault> {
    let mut options = OptsBuilder::default()
        .ip_or_hostname(&server.host)
        .tcp_port(server.port)
        .user(Some(&server.user))
        .pass(Some(&server.password))
        .db_name(Some(&server.database))
        // A loopback address means that address, and not whichever socket the server also has.
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .max_allowed_packet(Some(MAX_PACKET))
        .wait_timeout(Some(28_800));
    if let Some(socket) = &server.socket {
        options = options.socket(Some(socket.display().to_string()));
    }
    if server.sslmode != SslMode::Disable {
        let mut tls = SslOpts::default();
        match server.sslmode {
            SslMode::Disable | SslMode::VerifyFull => {}
            SslMode::VerifyCa => tls = tls.with_danger_skip_domain_validation(true),
            SslMode::Require => tls = tls.with_danger_accept_invalid_certs(true),
        }
        if let Some(ca) = &server.ca {
            tls = tls.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
        }
        options = options.ssl_opts(Some(tls));
    }
    match tokio::time::timeout(CONNECT_TIMEOUT, Conn::new(options)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Fault::Io(io::ErrorKind::TimedOut.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_what_they_are() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(literal("it's \\ \0"), "'it''s \\\\ \\0'");
        assert_eq!(Family::of_version("5.5.5-10.11.6-MariaDB-0+deb12u1"), Family::MariaDb);
        assert_eq!(Family::of_version("8.4.2"), Family::MySql);
    }
}
