//! Names: of the target, and of what a load makes beside it.

use crate::source::object;
use crate::spelling::{literal, qualified};
use karat_plugin_api::{ConnectorError, ErrorKind, TargetObject};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Bytes that a name of the server may have; longer ones it would cut.
const NAME_BYTES: usize = 63;

/// A table's full name, as it is spelled in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl TableName {
    /// The table that `target` names: exactly as written, in `public` when no schema is.
    pub(crate) fn of(target: &TargetObject) -> Result<Self, ConnectorError> {
        let (schema, table) = object::parse(&target.table)?;
        let name = Self { schema: schema.map_or_else(|| "public".to_owned(), |schema| schema.text), table: table.text };
        for part in [&name.schema, &name.table] {
            if part.len() > NAME_BYTES {
                return Err(ConnectorError::new(ErrorKind::BadConfiguration, format!("`{part}` is longer than the {NAME_BYTES} bytes of a PostgreSQL name"))
                    .with_help("choose a shorter name in `to.table`"));
            }
        }
        if name.schema.starts_with("pg_") || name.schema == "information_schema" || name.table == COMMITS {
            return Err(ConnectorError::new(ErrorKind::Refused, format!("`{}` is not a place for data", target.table)).with_help("name another table in `to.table`"));
        }
        Ok(name)
    }

    /// In SQL.
    pub(crate) fn sql(&self) -> String {
        qualified(&self.schema, &self.table)
    }

    /// For messages.
    pub(crate) fn label(&self) -> String {
        format!("table `{}.{}`", self.schema, self.table)
    }

    /// What stands in the commit table: the name in SQL, which is unambiguous.
    pub(crate) fn key(&self) -> Result<String, ConnectorError> {
        literal(&self.sql())
    }

    /// The table of commits beside it, in SQL.
    pub(crate) fn commits(&self) -> String {
        qualified(&self.schema, COMMITS)
    }

    /// The number of the lock that commits to this table take.
    pub(crate) fn lock_key(&self) -> i64 {
        xxh3_64(format!("karat commit {}", self.sql()).as_bytes()).cast_signed()
    }

    /// The number of the lock under which the schema's table of commits is made.
    pub(crate) fn schema_lock_key(&self) -> i64 {
        xxh3_64(format!("karat schema {}", self.schema).as_bytes()).cast_signed()
    }

    /// A new table beside it, for one generation and one attempt.
    pub(crate) fn build(&self, generation: u64, attempt: &str) -> Self {
        let suffix = format!("__karat_g{generation}_{:08x}", xxh3_128(attempt.as_bytes()) & 0xffff_ffff);
        Self { schema: self.schema.clone(), table: with_suffix(&self.table, &suffix) }
    }
}

/// The table of commits, one in each schema that holds targets.
pub(crate) const COMMITS: &str = "karat_commits";

/// A name that ends in `suffix` and fits.
pub(crate) fn with_suffix(name: &str, suffix: &str) -> String {
    let room = NAME_BYTES.saturating_sub(suffix.len());
    let end = (0..=room.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{suffix}", &name[..end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

    use super::*;

    fn name(text: &str) -> Result<TableName, ErrorKind> {
        TableName::of(&TargetObject { table: text.into() }).map_err(|error| error.kind())
    }

    #[test]
    fn a_target_is_spelled_as_it_is_written() {
        assert_eq!(name("orders").unwrap().sql(), "\"public\".\"orders\"");
        assert_eq!(name("Sales.\"a.b\"").unwrap().sql(), "\"Sales\".\"a.b\"");
        assert_eq!(name("pg_catalog.t").unwrap_err(), ErrorKind::Refused);
        assert_eq!(name("x.karat_commits").unwrap_err(), ErrorKind::Refused);
        assert_eq!(name(&"x".repeat(64)).unwrap_err(), ErrorKind::BadConfiguration);
    }

    #[test]
    fn names_beside_it_differ_by_attempt_and_fit() {
        let long = name(&"ä".repeat(31)).unwrap();

        let (one, two) = (long.build(12, "run-1"), long.build(12, "run-2"));

        assert!(one.table.len() <= NAME_BYTES && one.table.contains("__karat_g12_"));
        assert_ne!(one, two);
    }
}
