//! Delta Lake tables on a local disk: a sink, and tables that SQL reads natively.
//!
//! Knows the Delta protocol: which actions make a version, how a version is appended, how versions become a table. Files, partitions and statistics
//! are the business of `karat-lake`. Read next: `log.rs`, then `replay.rs`.

mod action;
mod checkpoint;
mod checkpoint_write;
mod log;
mod replay;
mod schema;
mod url_path;

use karat_lake::{LakePlugin, LakeSink, LakeTables};
use karat_plugin_api::{ConnectContext, Connector, ConnectorError, ErrorKind, Sink, Source};
use karat_spec::Capabilities;
use log::DeltaLog;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;

/// The plugin.
pub static DELTA: Delta = Delta;

/// Delta Lake tables in the folders below a path.
pub struct Delta;

/// A folder of Delta tables.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeltaConfig {
    /// The folder that holds the tables, relative to the project's root; created when it does not exist.
    pub path: PathBuf,
}

impl Connector for Delta {
    type Config = DeltaConfig;

    const NAME: &'static str = "delta";

    const DESCRIPTION: &'static str = "Delta Lake tables on a local disk.";

    fn capabilities(&self) -> Capabilities {
        let modes = ["append", "upsert", "replace", "window"];
        Capabilities { load_modes: modes.map(str::to_owned).to_vec(), layout: true, atomic_position: true, ..Capabilities::default() }
    }

    fn source(&self, _config: DeltaConfig, _context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        Err(ConnectorError::new(ErrorKind::Unsupported, "connection type `delta` is no source").with_help("read its tables in SQL: `sql: SELECT … FROM bronze.name`"))
    }

    fn sink(&self, config: DeltaConfig, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(open(&config, context)?))
    }
}

impl LakePlugin for Delta {
    fn open_lake(&self, settings: &Map<String, Value>, context: &ConnectContext) -> Result<Arc<dyn LakeTables>, ConnectorError> {
        // The cause is left out on purpose: serde quotes the value, which may be a secret.
        let config: DeltaConfig = serde_json::from_value(Value::Object(settings.clone()))
            .map_err(|_| ConnectorError::new(ErrorKind::BadConfiguration, "settings of a `delta` connection do not fit").with_help("run `karat lint`"))?;
        Ok(Arc::new(open(&config, context)?))
    }
}

fn open(config: &DeltaConfig, context: &ConnectContext) -> Result<LakeSink<DeltaLog>, ConnectorError> {
    if config.path.as_os_str().is_empty() {
        return Err(ConnectorError::new(ErrorKind::BadConfiguration, "`path` of a `delta` connection is empty").with_help("name a folder, such as `.karat/warehouse`"));
    }
    let root = context.root.join(&config.path);
    let root = std::path::absolute(&root).map_err(|error| ConnectorError::io("resolve", &root, error))?;
    Ok(LakeSink::new(DeltaLog::default(), root))
}
