//! Which server, database and user a connection's settings name.

use crate::config::{PostgresConfig, SslMode};
use karat_plugin_api::{ConnectorError, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A server, a database and a user. Deliberately without `Debug`: it holds the password.
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: Option<String>,
    sslmode: SslMode,
    ca: Option<PathBuf>,
}

impl Endpoint {
    /// Reads the settings; paths are relative to `root`. Never quotes the URL, which is a secret.
    pub(crate) fn new(config: &PostgresConfig, root: &Path) -> Result<Self, ConnectorError> {
        let url = config.url.as_deref().map(Parts::parse).transpose()?.unwrap_or_default();
        let host = config.host.clone().or(url.host).filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".into());
        let user = config
            .user
            .clone()
            .or(url.user)
            .filter(|user| !user.is_empty())
            .ok_or_else(|| refused("a `postgres` connection names no user", "write `user`, or `postgres://user@host/database` in `url`"))?;
        let database = config.database.clone().or(url.database).filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
        if [&host, &user, &database].iter().any(|text| text.contains('\0')) {
            return Err(refused("a `postgres` connection has a NUL character in host, user or database", "remove it"));
        }
        let sslmode = config.sslmode.or(url.sslmode).unwrap_or(if is_this_machine(&host) { SslMode::Disable } else { SslMode::VerifyFull });
        let ca = config.ca.as_ref().map(|path| root.join(path)).or(url.ca.map(|path| root.join(path)));
        if let Some(path) = ca.as_ref().filter(|path| !path.is_file()) {
            return Err(ConnectorError::new(ErrorKind::NotFound, format!("`ca` of a `postgres` connection names no file: `{}`", path.display()))
                .with_help("the path is relative to the project"));
        }
        Ok(Self { host, port: config.port.or(url.port).unwrap_or(5432), database, user, password: config.password.clone().or(url.password), sslmode, ca })
    }

    /// What messages name: server and database, no secrets.
    pub(crate) fn label(&self) -> String {
        format!("`{}` at `{}:{}`", self.database, self.host, self.port)
    }

    /// For the driver.
    pub(crate) fn options(&self) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&self.user)
            .password(self.password.as_deref().unwrap_or_default())
            .ssl_mode(match self.sslmode {
                SslMode::Disable => PgSslMode::Disable,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            });
        if let Some(ca) = &self.ca {
            options = options.ssl_root_cert(ca);
        }
        options
    }
}

fn is_this_machine(host: &str) -> bool {
    host.starts_with('/') || host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a URL says.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    user: Option<String>,
    password: Option<String>,
    sslmode: Option<SslMode>,
    ca: Option<PathBuf>,
}

const FORM: &str = "write `postgres://user:password@host:port/database`; in the password `@`, `:`, `/`, `?`, `#` and `%` are written %40, %3A, %2F, %3F, %23 and %25";

impl Parts {
    fn parse(url: &str) -> Result<Self, ConnectorError> {
        let url = url.trim();
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme)).map(|_| &url[scheme.len()..]))
            .ok_or_else(|| refused("the `url` of a `postgres` connection does not begin with `postgres://`", FORM))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (account, server) = authority.rsplit_once('@').map_or(("", authority), |(account, server)| (account, server));
        let (user, password) = account.split_once(':').map_or((account, None), |(user, password)| (user, Some(password)));
        let (host, port) = split_port(server)?;
        let text = |part: &str| decode(part).map(|text| Some(text).filter(|text| !text.is_empty()));
        let mut parts = Self { host: text(host)?, port, database: text(database)?, user: text(user)?, password: password.map(decode).transpose()?, ..Self::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parts.set(name, decode(value)?)?;
        }
        Ok(parts)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), ConnectorError> {
        match name {
            "host" => self.host = Some(value),
            "sslrootcert" => self.ca = Some(value.into()),
            "sslmode" => {
                self.sslmode = Some(match value.replace('-', "_").as_str() {
                    "disable" => SslMode::Disable,
                    "require" => SslMode::Require,
                    "verify_ca" => SslMode::VerifyCa,
                    "verify_full" => SslMode::VerifyFull,
                    _ => {
                        return Err(refused(
                            "`sslmode` in the `url` of a `postgres` connection is none of `disable`, `require`, `verify_ca`, `verify_full`",
                            "choose one of them; `allow` and `prefer` may not encrypt at all, so they are not offered",
                        ));
                    }
                });
            }
            _ => {
                return Err(refused(
                    "the `url` of a `postgres` connection has a parameter that is none of `host`, `sslmode`, `sslrootcert`",
                    "remove it; sessions are set up the same way for everybody",
                ));
            }
        }
        Ok(())
    }
}

fn split_port(server: &str) -> Result<(&str, Option<u16>), ConnectorError> {
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or(rest)),
        None => server.rsplit_once(':').unwrap_or((server, "")),
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let port = port.parse().map_err(|_| refused("the port in the `url` of a `postgres` connection is not a number from 0 to 65535", FORM))?;
    Ok((host, Some(port)))
}

fn decode(text: &str) -> Result<String, ConnectorError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(digits.ok_or_else(|| refused("the `url` of a `postgres` connection has a `%` without two hexadecimal digits", FORM))?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| refused("the `url` of a `postgres` connection is not UTF-8", FORM))
}

fn refused(message: &str, help: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::BadConfiguration, message).with_help(help)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, ConnectorError> {
        Endpoint::new(&PostgresConfig { url: Some(url.into()), ..PostgresConfig::default() }, Path::new("/project"))
    }

    fn check(url: &str, expected: (&str, u16, &str, &str, Option<&str>, SslMode)) {
        let found = endpoint(url).map_err(|error| error.chain()).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.database.as_str(), found.user.as_str(), found.password.as_deref(), found.sslmode), expected, "{url}");
    }

    #[test]
    fn a_url_is_taken_apart() {
        check("postgres://app:p%40ss@db.example.com:6543/shop", ("db.example.com", 6543, "shop", "app", Some("p@ss"), SslMode::VerifyFull));
        check("postgresql://app@localhost", ("localhost", 5432, "app", "app", None, SslMode::Disable));
        check("postgres://app@[::1]:5433/x", ("::1", 5433, "x", "app", None, SslMode::Disable));
        check("postgres://app@%2Fvar%2Frun%2Fpostgresql/x", ("/var/run/postgresql", 5432, "x", "app", None, SslMode::Disable));
        check("postgres://app@/x?host=/tmp", ("/tmp", 5432, "x", "app", None, SslMode::Disable));
        check("postgres://app@10.0.0.7/x?sslmode=require", ("10.0.0.7", 5432, "x", "app", None, SslMode::Require));
        check("postgres://app:a:b@127.0.0.1/x?sslmode=verify-full", ("127.0.0.1", 5432, "x", "app", Some("a:b"), SslMode::VerifyFull));
    }

    #[test]
    fn what_a_url_gets_wrong_is_said_without_quoting_it() {
        for url in [
            "mysql://a:hunter2@b/c",
            "postgres://a:hunter2@b:hunter2/c",
            "postgres://a:hunter2%4@b/c",
            "postgres://a:hunter2@b/c?sslmode=prefer",
            "postgres://a:hunter2@b/c?hunter2=1",
        ] {
            let error = endpoint(url).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::BadConfiguration);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn parts_win_over_the_url() {
        let config = PostgresConfig { url: Some("postgres://a:b@c:1/d".into()), host: Some("h".into()), port: Some(2), database: Some("e".into()), ..PostgresConfig::default() };
        let found = Endpoint::new(&config, Path::new("/")).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.database.as_str(), found.user.as_str()), ("h", 2, "e", "a"));
        assert!(!format!("{config:?}").contains("//a:b"));
    }
}
