//! The keys of a connection, and the server that they mean.

use karat_plugin_api::{ConnectorError, ErrorKind};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const DEFAULT_PORT: u16 = 3306;

/// A MySQL (8 or later) or MariaDB (10.11 or later) server: either `url`, or its parts.
///
/// A connection to another machine is encrypted, and the server's certificate and name are verified, unless `sslmode` says otherwise; a connection
/// to the same machine (a loopback address or a socket) is not encrypted by default.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MysqlConfig {
    /// `mysql://user:password@host:port/database`, with `?sslmode=`, `&ca=` and `&socket=` where wanted. Take it from the environment: `${NAME}`.
    pub url: Option<String>,
    /// Name or address of the server; a path that starts with `/` is a Unix socket. Default: `localhost`.
    pub host: Option<String>,
    /// Port. Default: 3306.
    pub port: Option<u16>,
    /// The database.
    pub database: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The password. Take it from the environment: `${NAME}`.
    pub password: Option<String>,
    /// How the connection is encrypted. Default: `verify_full`, and `disable` for loopback addresses and sockets.
    pub sslmode: Option<SslMode>,
    /// A file of certificates (PEM) that sign the server's, relative to the project. Default: the authorities that browsers trust.
    pub ca: Option<PathBuf>,
}

/// How a connection is encrypted.
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

/// One server and how to log in there. Its password is in no text that it gives.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) sslmode: SslMode,
    pub(crate) ca: Option<PathBuf>,
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => write!(out, "{}", socket.display()),
            None => write!(out, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Server({self}, database {})", self.database)
    }
}

impl MysqlConfig {
    /// The server that the keys mean; relative paths start at `root`.
    pub(crate) fn server(self, root: &Path) -> Result<Server, ConnectorError> {
        let mut parts = self;
        if let Some(url) = parts.url.take() {
            if parts.host.is_some() || parts.port.is_some() || parts.database.is_some() || parts.user.is_some() || parts.password.is_some() {
                return Err(unusable("a connection has `url` and parts of it", "write either `url`, or `host`, `port`, `database`, `user` and `password`"));
            }
            read_url(&url, &mut parts)?;
        }
        let host = parts.host.filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".into());
        let socket = host.starts_with('/').then(|| PathBuf::from(&host));
        let is_local = socket.is_some() || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let default_mode = if is_local { SslMode::Disable } else { SslMode::VerifyFull };
        let sslmode = parts.sslmode.unwrap_or(if parts.ca.is_some() && socket.is_none() { SslMode::VerifyFull } else { default_mode });
        if socket.is_some() && sslmode != SslMode::Disable {
            return Err(unusable("a connection through a socket cannot be encrypted", "leave `sslmode` and `ca` out, or connect to the server's address"));
        }
        Ok(Server {
            port: parts.port.unwrap_or(DEFAULT_PORT),
            database: parts.database.filter(|name| !name.is_empty()).ok_or_else(|| unusable("a connection names no database", "add `database`, or end `url` in `/<database>`"))?,
            user: parts.user.filter(|name| !name.is_empty()).ok_or_else(|| unusable("a connection names no user", "add `user`, or write it into `url`"))?,
            password: parts.password.unwrap_or_default(),
            ca: parts.ca.map(|path| root.join(path)),
            host,
            socket,
            sslmode,
        })
    }
}

fn unusable(what: &str, help: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadConfiguration, what).with_help(help)
}

/// Takes a URL apart. Messages never quote it: it may hold a password.
fn read_url(url: &str, parts: &mut MysqlConfig) -> Result<(), ConnectorError> {
    let form = || unusable("`url` is not of the form `mysql://user:password@host:port/database`", "write special characters of user and password as `%XX`");
    let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
    if !matches!(scheme, "mysql" | "mariadb") {
        return Err(unusable("the `url` of a `mysql` connection starts with another scheme", "start it with `mysql://` or `mariadb://`"));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    let decoded = |text: &str| decode(text).ok_or_else(form);
    parts.user = Some(decoded(user)?);
    parts.password = password.map(decoded).transpose()?;
    parts.database = Some(decoded(database)?);
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(form)?;
            (host, port.strip_prefix(':'))
        }
        None => address.rsplit_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    parts.host = Some(decoded(host)?);
    parts.port = port.filter(|port| !port.is_empty()).map(|port| port.parse().map_err(|_| form())).transpose()?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value)?;
        match name {
            "sslmode" | "ssl-mode" => parts.sslmode = Some(read_mode(&value)?),
            "ca" => parts.ca = Some(value.into()),
            "socket" => parts.host = Some(value),
            _ => return Err(unusable("`url` has an option that this plugin does not know", "its options are `sslmode`, `ca` and `socket`")),
        }
    }
    Ok(())
}

fn read_mode(text: &str) -> Result<SslMode, ConnectorError> {
    match text.to_ascii_lowercase().replace('-', "_").as_str() {
        "disable" | "disabled" => Ok(SslMode::Disable),
        "require" | "required" => Ok(SslMode::Require),
        "verify_ca" => Ok(SslMode::VerifyCa),
        "verify_full" | "verify_identity" => Ok(SslMode::VerifyFull),
        _ => Err(unusable("`sslmode` in `url` is not a mode", "it is one of `disable`, `require`, `verify_ca`, `verify_full`")),
    }
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]
    use super::*;

    fn of_url(url: &str) -> Result<Server, ConnectorError> {
        let empty = MysqlConfig { url: Some(url.into()), host: None, port: None, database: None, user: None, password: None, sslmode: None, ca: None };
        empty.server(Path::new("/project"))
    }

    #[test]
    fn a_url_gives_all_parts_with_special_characters() {
        let server = of_url("mysql://us%40er:p%3Aa%2Fs%25s@[::1]:3307/sh%20op?sslmode=require&ca=certs/ca.pem").unwrap();
        assert_eq!((server.user.as_str(), server.password.as_str(), server.host.as_str(), server.port), ("us@er", "p:a/s%s", "::1", 3307));
        assert_eq!((server.database.as_str(), server.sslmode, server.ca), ("sh op", SslMode::Require, Some("/project/certs/ca.pem".into())));
    }

    #[test]
    fn other_machines_are_verified_and_this_one_is_not_encrypted() {
        assert_eq!(of_url("mysql://u@db.example.com/d").unwrap().sslmode, SslMode::VerifyFull);
        assert_eq!(of_url("mariadb://u@10.0.0.7/d").unwrap().sslmode, SslMode::VerifyFull);
        assert_eq!(of_url("mysql://u@127.0.0.1/d").unwrap().sslmode, SslMode::Disable);
        assert_eq!(of_url("mysql://u@localhost/d?ca=x.pem").unwrap().sslmode, SslMode::VerifyFull);
        let socket = of_url("mysql://u@localhost/d?socket=/run/mysqld/mysqld.sock").unwrap();
        assert_eq!((socket.sslmode, socket.socket), (SslMode::Disable, Some("/run/mysqld/mysqld.sock".into())));
    }

    #[test]
    fn what_cannot_work_is_refused_without_quoting_the_url() {
        for url in [
            "mysql://u:secret@h:port/d",
            "postgres://u:secret@h/d",
            "mysql://u:secret@h",
            "mysql://:secret@h/d",
            "mysql://u:secret@h/d?tls=no",
            "mysql://u:secret@h/d?sslmode=maybe",
            "secret",
        ] {
            let error = of_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadConfiguration, "{url}");
            assert!(!error.chain().contains("secret") && !error.help().unwrap().contains("secret"), "{url}");
        }
    }

    #[test]
    fn a_server_never_shows_its_password() {
        let server = of_url("mysql://u:secret@h/d").unwrap();
        assert!(!format!("{server:?} {server}").contains("secret"));
    }
}
