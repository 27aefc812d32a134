//! Connections: opened with every setting pinned, kept for the next request, never opened again behind anybody's back.

use crate::config::PostgresConfig;
use crate::endpoint::Endpoint;
use crate::error::wrap;
use karat_plugin_api::{ConnectorError, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, ValueRef};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How many idle connections are kept.
const IDLE_CONNECTIONS: usize = 8;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading only; such sessions never hold back a watermark.
    Read,
    /// Writing.
    Write,
}

/// The name under which sessions that only read are seen at the server.
pub(crate) const READER_NAME: &str = "karat read";

/// Settings that every server since 9.6 knows. They are part of the connection's start, so that nothing runs under what a role or a database has
/// set by default: another search path, a tiny timeout, other text forms.
const PINNED: [(&str, &str); 14] = [
    ("search_path", "public"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("synchronize_seqscans", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "0"),
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "6"),
];

/// Settings that only newer servers know. With the first, a server notices within seconds that nobody waits for a query any more.
const PINNED_LATER: &str = "SELECT set_config(name, value, false) FROM (VALUES \
     ('client_connection_check_interval', '1s'), ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('jit', 'off')) AS pinned (name, value) \
     WHERE current_setting(name, true) IS NOT NULL";

/// One database, and the connections to it that are not in use.
pub(crate) struct Client {
    options: PgConnectOptions,
    label: String,
    idle: Mutex<Vec<Session>>,
}

/// One connection. Dropping it closes it, which ends whatever it was doing; [`Client::put_back`] keeps it.
pub(crate) struct Session {
    connection: PgConnection,
    /// Server version as a number: 150004.
    pub(crate) version: u32,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(config: &PostgresConfig, root: &Path, purpose: Purpose) -> Result<Arc<Self>, ConnectorError> {
        let endpoint = Endpoint::new(config, root)?;
        let (name, read_only, temp_buffers) = match purpose {
            Purpose::Read => (READER_NAME, "on", "8MB"),
            // Staged rows of one commit stay in memory; the setting cannot be changed once a session has had a temporary table.
            Purpose::Write => ("karat", "off", "64MB"),
        };
        let options = endpoint
            .options()
            .application_name(name)
            .extra_float_digits(3)
            .options(PINNED)
            .options([("default_transaction_read_only", read_only), ("temp_buffers", temp_buffers)])
            .disable_statement_logging();
        Ok(Arc::new(Self { options, label: endpoint.label(), idle: Mutex::default() }))
    }

    /// What messages name: "`shop` at `db.example.com:5432`".
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// A connection that answers: one that was kept, or a new one.
    pub(crate) async fn session(&self) -> Result<Session, ConnectorError> {
        while let Some(mut session) = self.take_idle() {
            if session.connection.ping().await.is_ok() {
                return Ok(session);
            }
        }
        self.connect().await
    }

    /// Keeps a connection for the next request. It must be outside a transaction, with its last answer read.
    pub(crate) fn put_back(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(session);
        }
    }

    fn take_idle(&self) -> Option<Session> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn connect(&self) -> Result<Session, ConnectorError> {
        let action = format!("connect to database {}", self.label);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options)).await;
        let connection = connected
            .map_err(|_| {
                ConnectorError::new(ErrorKind::Unreachable, format!("cannot {action}: no answer within {} s", CONNECT_TIMEOUT.as_secs())).with_help("is a firewall in between?")
            })?
            .map_err(|error| wrap(&action, error))?;
        let mut session = Session { connection, version: 0 };
        // A platform without such a check refuses the setting; closing the connection then ends a query at its next row.
        if let Err(error) = session.rows(PINNED_LATER).await
            && crate::error::state(&error).is_none()
        {
            return Err(wrap(&action, error));
        }
        let version = session.rows("SELECT current_setting('server_version_num')").await.map_err(|error| wrap(&action, error))?;
        session.version = version.first().and_then(|row| row.text(0)).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(session)
    }
}

impl Session {
    /// The driver's connection, for COPY.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Runs statements without rows.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection).await.map(|_| ())
    }

    /// The rows of one query as the server writes them. For catalogues and other small answers.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, sqlx::Error> {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.connection).await?;
        rows.iter().map(TextRow::of).collect()
    }
}

/// One row of an answer, as text.
#[derive(Debug, Clone)]
pub(crate) struct TextRow(Vec<Option<String>>);

impl TextRow {
    fn of(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let value = |at| {
            let raw = row.try_get_raw(at)?;
            if raw.is_null() {
                return Ok(None);
            }
            raw.as_str().map(|text| Some(text.to_owned())).map_err(sqlx::Error::Decode)
        };
        (0..row.len()).map(value).collect::<Result<_, _>>().map(Self)
    }

    /// The value at `at`; `None` for NULL.
    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        self.0.get(at)?.as_deref()
    }

    /// The value at `at` as a number; `None` for NULL.
    pub(crate) fn number(&self, at: usize) -> Option<i64> {
        self.text(at)?.parse().ok()
    }

    /// True when the value at `at` is true.
    pub(crate) fn is_true(&self, at: usize) -> bool {
        self.text(at) == Some("t")
    }
}
