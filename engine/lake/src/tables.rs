//! What SQL sees of a lake: tables by version, as DataFusion providers.

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use karat_plugin_api::{ConnectContext, ConnectorError, ErrorKind, Plugin, Staged, TargetObject};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A table at one version, ready to be queried.
#[derive(Clone)]
pub struct LakeTable {
    /// The version; reading the same version again gives the same rows.
    pub version: String,
    /// The columns.
    pub schema: SchemaRef,
    /// Rows.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Scans with pruning by partition values and file statistics.
    pub provider: Arc<dyn TableProvider>,
}

impl LakeTable {
    /// All rows, in memory: for small tables and tests.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>, ConnectorError> {
        let failed = |error| ConnectorError::new(ErrorKind::Corrupt, format!("cannot read version {} of a table", self.version)).with_source(error);
        let frame = SessionContext::new().read_table(Arc::clone(&self.provider)).map_err(failed)?;
        frame.collect().await.map_err(failed)
    }
}

/// The readable side of a lake connection.
#[async_trait]
pub trait LakeTables: Send + Sync {
    /// The table at its newest version, or at `version`; `None` when there is no table.
    ///
    /// # Errors
    /// When the table's log cannot be read.
    async fn table(&self, target: &TargetObject, version: Option<&str>) -> Result<Option<LakeTable>, ConnectorError>;

    /// The rows of staged files that no reader sees yet, for checks before a commit.
    ///
    /// # Errors
    /// When a staged file cannot be read.
    async fn staged(&self, schema: SchemaRef, staged: &Staged) -> Result<Arc<dyn TableProvider>, ConnectorError>;
}

/// A plugin whose tables SQL can read natively.
pub trait LakePlugin: Plugin {
    /// Opens the readable side.
    ///
    /// # Errors
    /// As [`Plugin::open_sink`].
    fn open_lake(&self, settings: &Map<String, Value>, context: &ConnectContext) -> Result<Arc<dyn LakeTables>, ConnectorError>;
}
