//! One connection of the sink: statements whose warnings are errors, and what the server says that they did.

use crate::client::{self, Family, quote};
use crate::config::Server;
use crate::error::{Fault, wrap};
use crate::sink::column::Dialect;
use karat_plugin_api::{ConnectorError, ErrorKind};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, InfileData};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// The modes that writing needs: strict, exact about zero, and with `\` as the escape that `LOAD DATA` is told of.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

/// Notes that say nothing of the data: unsafe for statement-based replication, deprecated spellings, a table that is or is not there.
const HARMLESS: [u32; 5] = [1592, 1287, 1681, 1050, 1051];

/// A server that keeps fewer warnings may keep just those that say nothing.
const FEWEST_WARNINGS: usize = 64;

/// An open connection.
pub(crate) struct Session {
    conn: Conn,
    server: Arc<Server>,
    /// What differs between servers.
    pub(crate) dialect: Dialect,
    /// Whether `LOAD DATA LOCAL` is allowed.
    pub(crate) can_load: bool,
    /// Longest statement.
    pub(crate) most_packet_bytes: usize,
}

/// What a statement did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Rows inserted, plus twice the rows changed.
    pub(crate) affected: u64,
    /// Rows looked at.
    pub(crate) records: u64,
    /// Of those, rows that replaced others.
    pub(crate) duplicates: u64,
    /// Rows left out.
    pub(crate) skipped: u64,
}

impl Session {
    /// Connects, and pins what writing depends on.
    pub(crate) async fn open(server: &Arc<Server>) -> Result<Self, ConnectorError> {
        let mut conn = client::connect(server).await?;
        let failed = |error| wrap("prepare a session", server, Fault::from(error));
        let settings = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'local_infile', 'max_allowed_packet', 'log_bin', 'binlog_format')";
        let found: Vec<(String, String)> = conn.query(settings).await.map_err(failed)?;
        let setting = |name: &str| found.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let Some(version) = setting("version") else {
            return Err(wrap("read the settings", server, Fault::Protocol("the server says no version")));
        };
        let is_on = |name: &str| setting(name).is_some_and(|value| value.eq_ignore_ascii_case("ON") || value == "1");
        let log_format = setting("binlog_format").unwrap_or("ROW");
        // Without gap locks, writers of different keys do not wait for each other; a statement-based log refuses that level.
        let isolation = if is_on("log_bin") && log_format.eq_ignore_ascii_case("STATEMENT") { "REPEATABLE READ" } else { "READ COMMITTED" };
        let is_mariadb = Family::of_version(version) == Family::MariaDb;
        // Joins without an index are hashed rather than looped. MySQL does that by itself, and lets nobody but administrators say how many warnings it keeps.
        let of_family = if is_mariadb { ", SESSION join_cache_level = 8, SESSION max_error_count = 64" } else { "" };
        let pins = [
            // Notes count as well: a decimal that lost digits is no more than a note.
            format!(
                "SET SESSION sql_mode = '{SQL_MODE}', SESSION sql_notes = 1, SESSION sql_safe_updates = 0, SESSION completion_type = 0, \
                 SESSION unique_checks = 1, SESSION foreign_key_checks = 1, SESSION max_sort_length = 4096, SESSION innodb_lock_wait_timeout = 20, \
                 SESSION lock_wait_timeout = 20{of_family}"
            ),
            format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}, READ WRITE"),
        ];
        for pin in pins {
            conn.query_drop(pin).await.map_err(failed)?;
        }
        Ok(Self {
            conn,
            server: Arc::clone(server),
            dialect: Dialect { is_mariadb },
            can_load: is_on("local_infile"),
            most_packet_bytes: setting("max_allowed_packet").and_then(|bytes| bytes.parse().ok()).unwrap_or(1 << 20),
        })
    }

    /// Runs a statement that changes rows. `action` completes "cannot …".
    ///
    /// # Errors
    /// [`ErrorKind::BadData`] when the server warns: it names the column and changed the value.
    pub(crate) async fn run(&mut self, action: &str, sql: &str) -> Result<Done, ConnectorError> {
        if let Err(error) = self.conn.query_drop(sql).await {
            return Err(self.failed(action, error));
        }
        self.done(action).await
    }

    /// Runs a statement whose notes do not matter: data definition, transaction control.
    pub(crate) async fn define(&mut self, action: &str, sql: &str) -> Result<(), ConnectorError> {
        self.conn.query_drop(sql).await.map_err(|error| wrap(action, &self.server, error))
    }

    /// Runs `LOAD DATA LOCAL` with this data.
    pub(crate) async fn load(&mut self, action: &str, sql: &str, data: InfileData) -> Result<Done, ConnectorError> {
        // The driver wants a handler that threads could share; only one ever runs it.
        let data = Mutex::new(data);
        self.conn.set_infile_handler(async move { Ok(data.into_inner().unwrap_or_else(PoisonError::into_inner)) });
        self.run(action, sql).await
    }

    /// The rows of a query.
    pub(crate) async fn rows<R: FromRow + Send + 'static>(&mut self, action: &str, sql: &str) -> Result<Vec<R>, ConnectorError> {
        self.conn.query(sql).await.map_err(|error| wrap(action, &self.server, error))
    }

    /// The first row of a query.
    pub(crate) async fn row<R: FromRow + Send + 'static>(&mut self, action: &str, sql: &str) -> Result<Option<R>, ConnectorError> {
        Ok(self.rows(action, sql).await?.into_iter().next())
    }

    /// Ends the connection in good order.
    pub(crate) async fn close(self) {
        if let Err(error) = self.conn.disconnect().await {
            tracing::debug!(%error, "a connection ended in disorder");
        }
    }

    async fn done(&mut self, action: &str) -> Result<Done, ConnectorError> {
        let mut done = Done { affected: self.conn.affected_rows(), ..Done::default() };
        let info = self.conn.info().into_owned();
        for (name, value) in numbers(&info) {
            match name {
                "Records" => done.records = value,
                "Duplicates" => done.duplicates = value,
                "Skipped" => done.skipped = value,
                _ => {}
            }
        }
        let count = usize::from(self.conn.get_warnings());
        if count > 0 {
            let warnings: Vec<(String, u32, String)> = self.rows("read warnings", "SHOW WARNINGS").await?;
            if let Some((_, code, message)) = warnings.iter().find(|(_, code, _)| !HARMLESS.contains(code)) {
                return Err(not_stored(action, u16::try_from(*code).unwrap_or(0), message));
            }
            if warnings.len() < count.min(FEWEST_WARNINGS) {
                return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("cannot {action}: the server has {count} warnings and keeps {} of them", warnings.len()))
                    .with_help("raise `max_error_count` at the server: a warning that is not seen may be a value that was changed"));
            }
        }
        Ok(done)
    }

    /// What the server says of values may quote them, which no message of ours does.
    fn failed(&self, action: &str, error: mysql_async::Error) -> ConnectorError {
        match Fault::from(error) {
            Fault::Server { code, state, message } if matches!(state.get(..2), Some("22" | "23" | "01")) || matches!(code, 1265 | 1300 | 1366 | 3140) => {
                not_stored(action, code, &message)
            }
            fault => wrap(action, &self.server, fault),
        }
    }
}

fn not_stored(action: &str, code: u16, message: &str) -> ConnectorError {
    let fault = |message: String| Fault::Server { code, state: "22000".to_owned(), message };
    if matches!(code, 1062 | 1586) {
        return ConnectorError::new(ErrorKind::BadData, format!("cannot {action}: two rows have one key"))
            .with_source(fault("duplicate entry".to_owned()))
            .with_help("the key is not unique at the source, or only in its own collation: choose other columns as `key`");
    }
    let place = match (column_in(message), row_in(message)) {
        (Some(column), Some(row)) => format!("column `{column}`, row {row} of the statement"),
        (Some(column), None) => format!("column `{column}`"),
        (None, _) => "a value".to_owned(),
    };
    let why = match code {
        1048 | 1263 => "NULL in a column that takes none",
        1264 => "out of the column's range",
        1406 => "too long for the column",
        1300 | 1366 => "not a value of the column's type or character set",
        3140 | 4025 => "not a JSON document, or refused by a check of the table",
        1451 | 1452 | 1216 | 1217 => "a foreign key refuses it",
        _ => "the server would not store it as it is",
    };
    ConnectorError::new(ErrorKind::BadData, format!("cannot {action}: {place}: {why}"))
        .with_source(fault("warnings are errors here".to_owned()))
        .with_help("give the column a type that holds the value, or mend the row at its source")
}

/// The column that a message of the server names last, as `'c'` or as `` `d`.`t`.`c` ``.
fn column_in(message: &str) -> Option<&str> {
    let tail = &message[message.rfind("olumn ")? + 6..];
    let tail = tail.split(" at row ").next()?.split(" cannot ").next()?.trim();
    let name = tail.rsplit(['.']).next()?.trim_matches(['`', '\'', '"', ' ']);
    (!name.is_empty() && !name.contains('\'')).then_some(name)
}

fn row_in(message: &str) -> Option<u64> {
    let tail = &message[message.rfind(" at row ")? + 8..];
    tail.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// `Records: 3  Duplicates: 1  Warnings: 0`, as pairs.
fn numbers(info: &str) -> impl Iterator<Item = (&str, u64)> {
    let mut words = info.split_whitespace();
    std::iter::from_fn(move || {
        let name = words.next()?.trim_end_matches(':');
        Some((name, words.next()?.parse().unwrap_or(0)))
    })
}

/// The server's number of what went wrong, where it was the server that said so.
pub(crate) fn code_of(error: &ConnectorError) -> Option<u16> {
    match error.source()?.downcast_ref::<Fault>()? {
        Fault::Server { code, .. } => Some(*code),
        Fault::Io(_) | Fault::Protocol(_) | Fault::Login(_) | Fault::Driver(_) => None,
    }
}

/// True when the connection is gone, so that nobody said what became of the statement.
pub(crate) fn is_lost(error: &ConnectorError) -> bool {
    match error.source().and_then(|source| source.downcast_ref::<Fault>()) {
        // The server says that it ends the connection; what it was doing may be done.
        Some(Fault::Server { code, .. }) => matches!(code, 1053 | 1152 | 1158..=1161 | 1927 | 2006 | 2013 | 2055 | 4031),
        Some(Fault::Io(_) | Fault::Protocol(_) | Fault::Driver(_)) => true,
        Some(Fault::Login(_)) | None => false,
    }
}

/// Several identifiers, quoted, separated by commas.
pub(crate) fn idents<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_the_column_and_never_the_value() {
        for message in ["Data too long for column 'note' at row 3", "Incorrect decimal value: 'secret' for column `shop`.`t`.`note` at row 3"] {
            let error = not_stored("write rows", 1366, message);
            assert!(error.to_string().contains("column `note`, row 3") && !error.chain().contains("secret"), "{}", error.chain());
        }
        assert_eq!(column_in("Column 'a' cannot be null"), Some("a"));
        assert!(!not_stored("write rows", 1062, "Duplicate entry 'secret' for key 'PRIMARY'").chain().contains("secret"));
    }

    #[test]
    fn the_servers_summary_is_read() {
        let info: Vec<_> = numbers("Records: 12  Duplicates: 3  Warnings: 0").collect();

        assert_eq!(info, [("Records", 12), ("Duplicates", 3), ("Warnings", 0)]);
    }
}
