//! Files as a source and as a sink.
//!
//! The source reads Parquet, CSV and NDJSON from a local disk; the sink writes Parquet with a commit log of its own. This crate must not know how a
//! run is scheduled. Read next: `source/mod.rs`.

mod commit_log;
mod config;
mod sink;
mod source;

pub use config::{CsvOptions, FileCompression, FileFormat, FilesConfig};

use karat_lake::{LakePlugin, LakeTables};
use karat_plugin_api::{ConnectContext, Connector, ConnectorError, ErrorKind, Sink, Source};
use karat_spec::Capabilities;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The plugin: `type: files`.
#[derive(Debug, Clone, Copy)]
pub struct Files;

/// The one value of it.
pub static FILES: Files = Files;

impl Connector for Files {
    type Config = FilesConfig;

    const NAME: &'static str = "files";

    const DESCRIPTION: &'static str = "Files in a local folder: reads Parquet, CSV and NDJSON, writes Parquet with a commit log.";

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source_strategies: vec!["full".to_owned()],
            source_objects: vec!["path".to_owned()],
            load_modes: ["append", "upsert", "replace", "window"].map(str::to_owned).to_vec(),
            layout: true,
            atomic_position: true,
            declared_types_only: false,
            serial_commits: false,
            settles_late_commits: false,
            parallel_writers: false,
        }
    }

    fn source(&self, config: FilesConfig, context: &ConnectContext) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(source::FilesSource::new(config, context)?))
    }

    fn sink(&self, config: FilesConfig, context: &ConnectContext) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(sink::lake_sink(&config, context)?))
    }
}

impl LakePlugin for Files {
    fn open_lake(&self, settings: &Map<String, Value>, context: &ConnectContext) -> Result<Arc<dyn LakeTables>, ConnectorError> {
        // The cause is left out on purpose: serde quotes the value, which may be a secret.
        let config: FilesConfig = serde_json::from_value(Value::Object(settings.clone()))
            .map_err(|_| ConnectorError::new(ErrorKind::BadConfiguration, "settings of a `files` connection do not fit").with_help("run `karat lint`"))?;
        Ok(Arc::new(sink::lake_sink(&config, context)?))
    }
}
