//! Which version of each table the readers of one run see: one and the same, whatever is committed meanwhile.

use crate::Services;
use crate::services::target_of;
use karat_lake::LakeTable;
use karat_plugin_api::{ConnectorError, ErrorKind};
use karat_spec::model::TableName;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Versions by table. A table of the run is pinned when its stage is done, any other before the first stage begins.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    versions: Mutex<BTreeMap<TableName, String>>,
}

impl Pins {
    /// Pins the newest version of each of `tables` that exists.
    ///
    /// # Errors
    /// When a table's log cannot be read.
    pub(crate) async fn of(services: &Services, tables: impl Iterator<Item = &TableName>) -> Result<Self, ConnectorError> {
        let pins = Self::default();
        for table in tables {
            if let Some(found) = open(services, table, None).await? {
                pins.set(table.clone(), found.version);
            }
        }
        Ok(pins)
    }

    /// Pins one table.
    pub(crate) fn set(&self, table: TableName, version: String) {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(table, version);
    }

    /// The version to read; `None` when the table does not exist.
    pub(crate) fn get(&self, table: &TableName) -> Option<String> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned()
    }
}

/// A table of the project for SQL to read; `None` when it does not exist yet.
///
/// # Errors
/// [`ErrorKind::Unsupported`] when it is written to a connection that SQL cannot read.
pub(crate) async fn open(services: &Services, table: &TableName, version: Option<&str>) -> Result<Option<LakeTable>, ConnectorError> {
    let connections = &services.connections;
    let home = connections.home(table).ok_or_else(|| ConnectorError::new(ErrorKind::NotFound, format!("`{table}` is no table of this project")))?;
    let Some(lake) = connections.lake(home.pipeline, &home.connection)? else {
        return Err(ConnectorError::new(ErrorKind::Unsupported, format!("SQL cannot read `{table}`: connection `{}` is no lake", home.connection))
            .with_help("write the table to a lake connection, such as the built-in `warehouse`"));
    };
    let sink = connections.sink(home.pipeline, &home.connection)?;
    lake.table(&target_of(sink.as_ref(), table, home.table.as_deref()), version).await
}
